# shellcheck shell=bash
# Installs what a fresh Debian 12 lacks. Where nothing is missing it asks nobody and takes no time.

# Commands the scripts need, each with the Debian package that has it.
setup_commands=(
    qemu-system-x86_64:qemu-system-x86
    gcc:gcc
    cpio:cpio
    gzip:gzip
    mke2fs:e2fsprogs
    mmdebstrap:mmdebstrap
    fakeroot:fakeroot
    fakechroot:fakechroot
)

# Files and commands that the tests of the TPM need besides, in the same way.
setup_for_tests=(
    tpm2_getrandom:tpm2-tools
    swtpm:swtpm
    openssl:openssl
    pkg-config:pkg-config
    /usr/include/tss2/tss2_esys.h:libtss2-dev
)

# setup COMMAND: everything the build and a boot need, and `test` more. A QEMU given by path makes Debian's
# unnecessary.
setup() {
    local entry missing=()
    [[ ${1:-} != test ]] || setup_commands+=("${setup_for_tests[@]}")
    # Where mke2fs is, which not everybody's path has.
    PATH=$PATH:/usr/sbin:/sbin
    for entry in "${setup_commands[@]}"; do
        case $entry in
        qemu-system-x86_64:*) [[ -n ${PLINTH_QEMU:-} ]] && continue ;;
        esac
        have "${entry%%:*}" || [[ $entry == /* && -e ${entry%%:*} ]] || missing+=("${entry#*:}")
    done
    # The linker needs the C library's start files as well as the compiler.
    if have gcc && [[ $(gcc -print-file-name=crt1.o) == crt1.o ]]; then
        missing+=(libc6-dev)
    elif ! have gcc; then
        missing+=(libc6-dev)
    fi
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
    setup_rust
}

# install_packages NAME...: by apt, as root or through sudo.
install_packages() {
    local as_root=()
    have apt-get || die "please install by your system's own means: $* (this script knows only Debian's apt)"
    if ((EUID != 0)); then
        have sudo || die "missing packages: $*. Install them as root: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing $*"
    quietly "$work/apt-update.log" "${as_root[@]}" apt-get update ||
        say "apt-get update had errors; trying all the same"
    quietly "$work/apt-install.log" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@" ||
        die "apt-get install failed; its output is above and in $work/apt-install.log"
}

# setup_rust: cargo, and the toolchain that rust-toolchain.toml names, with the bare-metal target.
setup_rust() {
    [[ -e $HOME/.cargo/bin/cargo ]] && PATH=$HOME/.cargo/bin:$PATH
    have cargo || install_rustup
    if have rustup; then
        setup_rust_target
    elif [[ ! -d $(rustc --print sysroot)/lib/rustlib/x86_64-unknown-none ]]; then
        die "this rustc lacks the target x86_64-unknown-none, and there is no rustup to add it;" \
            "install Rust by rustup (https://rustup.rs)"
    fi
}

setup_rust_target() {
    # Asked from the repository, so that the toolchain file counts. `rustup show` would install what it names.
    (cd "$root" && rustup target list --installed 2>/dev/null) | grep -qx x86_64-unknown-none && return
    say "installing the Rust toolchain and the x86_64-unknown-none target"
    (cd "$root" && quietly "$work/rustup.log" rustup target add x86_64-unknown-none) ||
        die "rustup could not add the target x86_64-unknown-none; its output is above"
}

install_rustup() {
    have curl || install_packages curl ca-certificates
    say "installing Rust by its own installer (https://rustup.rs), for this user only"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$work/rustup-init.sh" ||
        die "the Rust installer could not be fetched; install Rust 1.95 or newer by hand (https://rustup.rs)"
    quietly "$work/rustup.log" sh "$work/rustup-init.sh" -y --profile minimal \
        --component clippy --component rustfmt ||
        die "the Rust installer failed; its output is above"
    PATH=$HOME/.cargo/bin:$PATH
}
