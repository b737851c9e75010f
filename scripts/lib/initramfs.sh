# shellcheck shell=bash
# The guest's initramfs: busybox and one script, packed so that the same inputs give the same bytes.

# make_initramfs FILE [MORE...]: MORE are folders whose files are laid over the tree.
make_initramfs() {
    local file=$1 tree
    shift
    tree=$(mktemp -d "$work/initramfs.XXXXXX")
    mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp}
    busybox_extract "$tree/bin/busybox"
    busybox_links "$tree/bin"
    install -m 755 "$root/scripts/guest/init" "$tree/init"
    install -m 644 "$root"/scripts/guest/{inittab,profile} "$tree/etc"
    local more
    for more in "$@"; do cp -R "$more/." "$tree/"; done
    pack_initramfs "$tree" "$file"
    rm -rf "$tree"
}

# busybox_extract FILE: Debian 12's static busybox, whatever the machine itself has.
busybox_extract() {
    if [[ ! -x $cache/busybox ]]; then
        apt_refresh
        local version deb
        version=$(package_versions busybox-static | tail -n 1)
        [[ -n $version ]] || die "Debian's busybox-static is not to be had; apt's words are in $work/apt-lists.log"
        deb=$(fetch_package busybox-static "$version")
        dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards '*/bin/busybox' >"$cache/busybox.new"
        chmod 755 "$cache/busybox.new"
        mv "$cache/busybox.new" "$cache/busybox"
    fi
    install -m 755 "$cache/busybox" "$1"
}

busybox_links() {
    local applet
    "$cache/busybox" --list | while read -r applet; do
        [[ $applet == busybox ]] || ln -s busybox "$1/$applet"
    done
}

# pack_initramfs TREE FILE: names sorted, times zero, everything root's.
pack_initramfs() {
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . -print0 | LC_ALL=C sort -z |
        cpio --null --create --format=newc --owner=0:0 --reproducible --quiet) | gzip -n -9 >"$2.new"
    mv "$2.new" "$2"
}
