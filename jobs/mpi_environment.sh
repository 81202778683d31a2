# Sourced by the scripts that start ranks on one machine: Open MPI as root too, more ranks than cores, none bound to one.
# Versions 4 (OMPI_) and 5 (PRTE_) read different names. On a cluster nothing of this is wanted.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
