# Sourced by the checks here, with their arguments: $top, the checkout; $work, the folder named, or a temporary one that
# goes at the end; $suite, the machine's Debian; make_bare_root. DIVS_MIRROR: another mirror than deb.debian.org.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "needs root: debootstrap and chroot"; exit 77; }
if [ $# -ge 1 ]; then
    mkdir -p "$1"
    work=$(realpath "$1")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# The base system alone, in $work/root.
make_bare_root() {
    echo "== a bare root ($suite)"
    rm -rf "$work/root"
    debootstrap --variant=minbase "$suite" "$work/root" ${DIVS_MIRROR:-} >"$work/debootstrap.log" 2>&1 ||
        { tail "$work/debootstrap.log"; exit 1; }
}
