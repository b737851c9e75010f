# shellcheck shell=bash
# What needs no QEMU: format, lints, unit tests.

in_root() { (cd "$root" && "$@"); }

unit_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        in_root cargo nextest run --workspace --no-fail-fast
        # nextest runs no documentation tests.
        in_root cargo test --workspace --doc
    else
        in_root cargo test --workspace --no-fail-fast
    fi
}

# Where something is unsafe and can be run by an interpreter, it is: pools, queues, locks, run page and VMCB,
# page tables in simulated memory, XSAVE images. By integers to pointers, as the kernel has them, so without
# strict provenance. Left out is what takes minutes there and is safe code, above page tables that other tests
# change: the loader of executables, the fuzz targets, a loop over every stack's address.
miri() {
    in_root env MIRIFLAGS=-Zmiri-permissive-provenance cargo +nightly miri test -p vmm-kernel -- \
        --skip task::elf --skip host::targets --skip below_each_stack
}

check format in_root cargo fmt --all --check
check lints in_root cargo clippy --workspace --all-targets -- -D warnings
check unit-tests unit_tests
if cargo +nightly miri --version >/dev/null 2>&1; then
    check miri miri
else
    echo 'skipped miri: needs a nightly toolchain with it (rustup +nightly component add miri)'
fi
if have shellcheck; then
    check shell-scripts in_root shellcheck -x {fuzz/run,scripts/{run,test,soak,bench,profile,decoder-cost}} scripts/lib/*.sh scripts/tests/*.sh scripts/guest/init
fi
