#!/usr/bin/env bash
# Runs jobs/quickstart.sh as the first thing ever in a fresh Debian root of the base system alone, and once more.
#   check_quickstart.sh [FOLDER]    works in FOLDER and leaves it (default: a temporary one, removed at the end)
# Needs root and the network. What is committed is tried. DIVS_MIRROR: another mirror of Debian than deb.debian.org.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/work_folder.sh"
"$top/jobs/install_packages.sh" package
root=$work/root
make_bare_root
git clone -q --no-hardlinks "$top" "$root/divs"
for time in first second; do
    echo "== the $time time"
    SECONDS=0
    # Its own /proc, /sys and devices, gone with the shell.
    unshare -m bash -c "mount --bind /proc '$root/proc' && mount --rbind /sys '$root/sys' &&
        mount --rbind /dev '$root/dev' &&
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot '$root' \
            timeout -k 10 1800 /divs/jobs/quickstart.sh /quickstart" </dev/null
    echo "== the $time time: $SECONDS s"
done
for result in run/report.html model.h5; do
    [ -s "$root/quickstart/$result" ] || { echo "not there: $result"; exit 1; }
done
