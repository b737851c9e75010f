# shellcheck shell=bash
# The exit benchmark's parts: its programs, and a run of each side. Everything is in $bench.
#
# With -icount shift=0 one tick of the time-stamp counter is one executed instruction; with a fixed clock and seed two runs agree.

bench=$target/bench
mkdir -p "$bench"
bench_flags=(-icount "shift=0,sleep=off" -rtc "base=2026-01-01,clock=vm" -seed 1)
bench_quick_iterations=500
# How Plinth's image is loaded; after that, no matter.
bench_loader=pvh
# The machine both sides run on. It is a processor's model, not `max`, so that a newer QEMU gives the same one.
bench_cpu=EPYC

# bench_build: the guest, the floor, the peer.
bench_build() {
    local source
    for source in "$root"/benches/{guest,floor}/*.S; do
        gcc -c -o "$bench/$(basename "$source" .S).o" "$source" || die "$source could not be assembled"
    done
    bench_link guest "$bench/guest.bin" "$bench"/{setup,start,text,rows}.o
    bench_link floor "$bench/floor.elf" "$bench"/{floor,text}.o
    gcc -O2 -Wall -Wextra -static -o "$bench/peer" "$root/benches/peer/peer.c" || die "the peer could not be built"
}

# bench_link NAME FILE OBJECT...
bench_link() {
    local name=$1 file=$2
    shift 2
    ld --no-warn-rwx-segments -n -T "$root/benches/$name/$name.ld" -o "$file" "$@" || die "$file could not be linked"
}
