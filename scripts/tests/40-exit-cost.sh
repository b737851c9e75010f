# shellcheck shell=bash
# What exits cost must not grow: counts of instructions, which are the same in every run, against benches/expected.txt.

. "$root/scripts/lib/bench.sh"

exit_cost() {
    qemu_find
    bench_build
    bench_floor
    # Until a count of Plinth's is accepted there is none to hold.
    if grep -vqE '^(#|floor )' "$root/benches/expected.txt"; then bench_plinth "$bench_quick_iterations" 1; fi
    bench_report
    bench_compare
}

check exit-cost exit_cost
