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

check format in_root cargo fmt --all --check
check lints in_root cargo clippy --workspace --all-targets -- -D warnings
check unit-tests unit_tests
check documents in_root scripts/check-docs
if have shellcheck; then
    check shell-scripts in_root shellcheck -x {fuzz/run,scripts/{run,test,soak,bench,profile,decoder-cost,check-docs}} scripts/lib/*.sh scripts/tests/*.sh scripts/guest/init
fi
