# shellcheck shell=bash
# A smoke run of each fuzz target: its corpus, and inputs made from it. libFuzzer itself runs where there are a nightly
# toolchain and cargo-fuzz; elsewhere, and there too, the same targets run as an ordinary program.

smoke_runs=1000000 libfuzzer_runs=100000

fuzz_targets() {
    local file
    for file in "$root"/fuzz/fuzz_targets/*.rs; do basename "$file" .rs; done
}

fuzz_smoke() {
    local out=$tests/fuzz-smoke.counts target inputs
    cd "$root" || return
    cargo run -p decoder-oracle --bin fuzz-smoke -- fuzz/corpus "$smoke_runs" | tee "$out"
    for target in $(fuzz_targets); do
        inputs=$(find "$root/fuzz/corpus/$target" -type f | wc -l)
        expect "$out" "$target: $inputs inputs of the corpus, $smoke_runs made from them"
    done
}

fuzz_libfuzzer() {
    local out=$tests/fuzz-libfuzzer.counts target executed
    "$root/fuzz/run" "$libfuzzer_runs" | tee "$out"
    for target in $(fuzz_targets); do
        executed=$(sed -n "s/^$target: \([0-9]*\) executions .*/\1/p" "$out")
        ((executed >= libfuzzer_runs)) || { echo "$target: ${executed:-no} executions"; return 1; }
    done
}

check fuzz-smoke fuzz_smoke
if cargo +nightly fuzz --version >/dev/null 2>&1; then
    check fuzz-libfuzzer fuzz_libfuzzer
fi
