# shellcheck shell=bash
# Builds Plinth and packs an image.

bare=x86_64-unknown-none

# build_plinth: the kernel, the processes, the PVH loader, and the host tool that packs them.
build_plinth() {
    # Cargo shows its progress to a terminal; a file need not have it.
    local quiet=()
    [[ -t 2 ]] || quiet=(--quiet)
    say "building Plinth"
    (cd "$root" && cargo build "${quiet[@]}" --release --target "$bare" -p vmm-kernel -p init -p vmm -p test-vmm -p abi-test -p batch -p pvh-loader) ||
        die "the build of Plinth failed"
    (cd "$root" && cargo build "${quiet[@]}" -p igvm-tools) || die "the build of igvm-tools failed"
}

# pack_image RECIPE IMAGE [OPTION...]: one IGVM file of what was built and of $kernel, $initrd and $append.
pack_image() {
    local recipe=$1 image=$2
    [[ $recipe == */* || $recipe == *.json ]] || recipe=$root/igvm-tools/recipes/$recipe.json
    [[ -e $recipe ]] || die "there is no recipe $recipe; those of the project are in igvm-tools/recipes"
    # An empty value leaves that part out.
    "$target/debug/igvm-tools" build "$recipe" -o "$image" --file-root "$target/$bare/release" \
        --set "payload.linux=$kernel" --set "payload.initrd=$initrd" --set "payload.cmdline=text:$append" "${@:3}" >&2 ||
        die "the image could not be packed"
}

# pack_bare RECIPE IMAGE [OPTION...]: one IGVM file of a recipe without a guest.
pack_bare() {
    "$target/debug/igvm-tools" build "$root/igvm-tools/recipes/$1.json" -o "$2" --file-root "$target/$bare/release" "${@:3}" >&2 ||
        die "the image could not be packed"
}

# config_with NAME FILE SETTING...: writes a configuration of the project's with more settings of its last
# process.
config_with() {
    { cat "$root/vmm-user/config/$1.conf" && printf '  set %s\n' "${@:3}"; } >"$2"
}
