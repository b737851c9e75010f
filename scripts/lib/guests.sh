# shellcheck shell=bash
# Guest kernels: Debian's linux-image-cloud-amd64, unmodified, of the release asked for.
#
# $cache/kernels/RELEASE/ holds vmlinuz, the .deb's name (for its modules) and the package's version.

kernel_meta=linux-image-cloud-amd64

# fetch_kernel RELEASE: prints the path of a vmlinuz. RELEASE is "newest" or the start of a version, such as 6.1.
fetch_kernel() {
    local release=$1 dir=$cache/kernels/$1
    if [[ -e $dir/vmlinuz && -n $(find "$dir/vmlinuz" -mtime "-$apt_fresh_days") ]]; then
        printf '%s\n' "$dir/vmlinuz"
        return
    fi
    if ! (refresh_kernel "$release" "$dir"); then
        [[ -e $dir/vmlinuz ]] || exit 1
        say "keeping the kernel of release $release fetched before"
    fi
    printf '%s\n' "$dir/vmlinuz"
}

# refresh_kernel RELEASE DIR: fetches the newest such kernel into DIR.
refresh_kernel() {
    local release=$1 dir=$2 meta_version image version
    apt_refresh
    meta_version=$(kernel_version "$release")
    [[ -n $meta_version ]] || die "no Debian kernel $release is to be had; apt's words are in $work/apt-lists.log"
    read -r image version < <(package_depends "$kernel_meta" "$meta_version" 'linux-image-[0-9][^ ]*')
    [[ -n ${image:-} ]] || die "$kernel_meta $meta_version names no kernel package"
    kernel_extract "$image" "${version:-$meta_version}" "$dir"
    say "guest kernel $release is ${image#linux-image-}"
}

# kernel_version RELEASE: the version of the meta package.
kernel_version() {
    if [[ $1 == newest ]]; then
        package_versions "$kernel_meta" | head -n 1
    else
        package_versions "$kernel_meta" | awk -v release="$1." 'index($1, release) == 1 { print; exit }'
    fi
}

# kernel_extract IMAGE VERSION DIR: the vmlinuz out of the package, or out of the linux-binary- package it depends on.
kernel_extract() {
    local image=$1 version=$2 dir=$3 binary deb
    read -r binary _ < <(package_depends "$image" "$version" 'linux-binary-[0-9][^ ]*') || binary=
    deb=$(fetch_package "${binary:-$image}" "$version")
    mkdir -p "$dir"
    dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards '*/vmlinuz*' >"$dir/vmlinuz.new"
    [[ -s $dir/vmlinuz.new ]] || die "$deb has no vmlinuz in it"
    printf '%s\n' "$image $version" >"$dir/package"
    mv "$dir/vmlinuz.new" "$dir/vmlinuz"
}
