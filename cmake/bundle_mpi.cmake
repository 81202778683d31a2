# At installation: Debian's Open MPI, with its plugins and PMIx's, under lib/divs/openmpi.
set(home "${MPI_ROOT}/lib/divs/openmpi")
foreach(program orterun orted)
  file(INSTALL "/usr/bin/${program}" DESTINATION "${home}/bin" USE_SOURCE_PERMISSIONS FOLLOW_SYMLINK_CHAIN)
endforeach()
file(INSTALL "${MPI_LIBRARIES_FOLDER}/openmpi/lib/openmpi3" DESTINATION "${home}/lib" USE_SOURCE_PERMISSIONS)
file(INSTALL "${MPI_LIBRARIES_FOLDER}/pmix2/lib/pmix" DESTINATION "${home}/lib" USE_SOURCE_PERMISSIONS)
file(INSTALL "/usr/share/openmpi" DESTINATION "${home}/share")
file(GLOB plugins "${home}/lib/openmpi3/*.so" "${home}/lib/pmix/*.so")
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES "${home}/bin/orterun" "${home}/bin/orted" MODULES ${plugins}
     RESOLVED_DEPENDENCIES_VAR found UNRESOLVED_DEPENDENCIES_VAR missing
     PRE_EXCLUDE_REGEXES "ld-linux.*" "lib(c|m|dl|rt|pthread|resolv|util)\\.so.*")
foreach(library IN LISTS found)
  file(INSTALL "${library}" DESTINATION "${MPI_ROOT}/lib/divs" FOLLOW_SYMLINK_CHAIN)
endforeach()
# They name the folder that they were built for, which would hide the program's own path to lib/divs.
file(GLOB libraries "${MPI_ROOT}/lib/divs/*.so*")
foreach(library IN LISTS libraries plugins)
  if(NOT IS_SYMLINK "${library}")
    file(RPATH_REMOVE FILE "${library}")
  endif()
endforeach()
