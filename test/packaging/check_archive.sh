#!/usr/bin/env bash
# Installs and packs DIVS, and runs what was packed where nothing else is: in a fresh Debian root of the base system alone.
#   check_archive.sh [FOLDER]    works in FOLDER and leaves it (default: a temporary one, removed at the end)
# First the archive with Open MPI in it, then, after the root got Debian's Open MPI, the one that runs on the site's.
# Needs root and the network. The same suite as the machine's, since the archive takes its libraries along but
# not its C library. DIVS_MIRROR: another mirror of Debian than deb.debian.org.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/work_folder.sh"
"$top/jobs/install_packages.sh" build package
cd "$top"  # where the presets are
say() { echo "== $*"; }

# pack ON|OFF NAME: builds, installs, tries the installed tree at two places, and packs. Leaves $work/NAME.tar.gz.
pack() {
    say "build and install, Open MPI in the archive: $1"
    folder=$top/build/archive
    { cmake --preset release -S "$top" -B "$folder" -DDIVS_TESTS=OFF -DDIVS_BUNDLE_MPI="$1" &&
        cmake --build "$folder" -j "$(nproc)"; } >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; exit 1; }
    rm -rf "$work/prefix" "$work/elsewhere" "$work/packed"
    cmake --install "$folder" --prefix "$work/prefix" >"$work/install.log" || { tail "$work/install.log"; exit 1; }
    for file in bin/divs share/man/man1/divs.1 share/bash-completion/completions/divs share/zsh/site-functions/_divs \
        share/fish/vendor_completions.d/divs.fish share/divs/jobs/train.sbatch share/doc/divs/LICENSE \
        share/doc/divs/notices/README; do
        [ -s "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
    done
    "$work/prefix/bin/divs" --version
    mv "$work/prefix" "$work/elsewhere"
    "$work/elsewhere/bin/divs" --version >/dev/null  # wherever it lies
    (cd "$folder" && cpack -B "$work/packed") >"$work/cpack.log" || { tail "$work/cpack.log"; exit 1; }
    mv "$work"/packed/*.tar.gz "$work/$2.tar.gz"
    ls -l "$work/$2.tar.gz"
}

# try NAME MPIRUN: unpacks the archive in the root and uses it there, as a user without anything else would.
try() {
    say "$1 in the bare root"
    rm -rf "$work/root/opt/divs" "$work/root/tmp/job"
    mkdir -p "$work/root/opt/divs" "$work/root/tmp/job"
    tar -xzf "$work/$1.tar.gz" -C "$work/root/opt/divs" --strip-components=1
    cat >"$work/root/tmp/job/job.toml" <<'TOML'
[data]
dataset = "data"
[clip]
frames = 2
hop = 10
[model]
height = 32
width = 32
threads = 1
[train]
epochs = 1
batch = 8
TOML
    cat >"$work/root/tmp/job/use.sh" <<SH
set -eu
cd /tmp/job
export PATH=/opt/divs/bin:\$PATH OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none
! ldd /opt/divs/bin/divs | grep "not found" || exit 1
divs --version
divs info --json >info.json
divs synth data --videos 3 --seconds 6 --size 160x90 >/dev/null
divs doctor job.toml
$2 -n 2 divs doctor job.toml
$2 -n 2 divs train job.toml
divs export run model.h5
divs eval job.toml --weights model.h5 --split train
bash -c 'source /opt/divs/share/bash-completion/completions/divs; complete -p divs'
SH
    # Its own /proc and devices, gone with the shell.
    unshare -m bash -c "mount --bind /proc '$work/root/proc' && mount --rbind /dev '$work/root/dev' &&
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot '$work/root' timeout -k 10 300 bash /tmp/job/use.sh"
}

pack ON bundled
make_bare_root
try bundled mpirun
pack OFF site
say "the site's Open MPI"
chroot "$work/root" env DEBIAN_FRONTEND=noninteractive bash -c \
    "apt-get update -qq && apt-get install -qq -y --no-install-recommends openmpi-bin" >"$work/apt.log" 2>&1 ||
    { tail "$work/apt.log"; exit 1; }
try site /usr/bin/mpirun
say "both archives run in a bare root"
