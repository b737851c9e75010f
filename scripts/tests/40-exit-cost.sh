# shellcheck shell=bash
# What exits cost must not grow: counts of instructions, which are the same in every run, against benches/expected.txt; nor may it
# with the number of devices or the size of memory.

. "$root/scripts/lib/bench.sh"

exit_cost() {
    bench_build
    bench_floor
    # Until a count of Plinth's is accepted there is none to hold.
    if grep -vqE '^(#|floor )' "$root/benches/expected.txt"; then
        bench_plinth "$bench_quick_iterations" 1
        bench_plinth_guarded "$bench_quick_iterations" 1
        bench_batch
    fi
    bench_report
    bench_compare
}

exit_cost_flat() {
    bench_plinth "$bench_quick_iterations" 1
    bench_flat "$bench_quick_iterations" 1
    bench_report
    bench_compare_flat
}

qemu_find
check exit-cost exit_cost
check exit-cost-flat exit_cost_flat
