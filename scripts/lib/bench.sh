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

# bench_peer_initramfs KERNEL-RELEASE: an L1 with KVM's modules, the peer and the guest.
bench_peer_initramfs() {
    local image version deb tree
    fetch_kernel "$1" >/dev/null
    read -r image version <"$cache/kernels/$1/package"
    deb=$(fetch_package "$image" "$version")
    tree=$(mktemp -d "$work/bench.XXXXXX")
    mkdir -p "$tree/bench/modules"
    # What is not a module of this kernel is built into it; insmod will tell if something lacks.
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tree/bench/modules" --transform='s|.*/||' --wildcards \
        '*/irqbypass.ko' '*/kvm.ko' '*/kvm-amd.ko'
    cp "$bench/peer" "$bench/guest.bin" "$tree/bench/"
    install -m 755 "$root/benches/peer/l1.sh" "$tree/bench/run"
    make_initramfs "$bench/l1.gz" "$tree"
    rm -rf "$tree"
}

# bench_qemu SIDE LOADER MEMORY: boots what $kernel, $initrd, $append or $image say and adds the side's rows to $bench/rows.raw.
bench_qemu() {
    local side=$1 console=$bench/$1.console status=0
    qemu_cpu=$bench_cpu
    qemu_compose "$2" "$3" 1
    timeout --kill-after=5 "${PLINTH_BENCH_LIMIT:-1200}" "${qemu_command[@]}" "${bench_flags[@]}" -serial stdio \
        </dev/null >"$console" 2>"$bench/$side.err" || status=$?
    tr -d '\r' <"$console" | sed -n "s/^\(ROW\|NONE\|IPIS\) /$side &/p" >"$bench/$side.raw"
    if ! grep -q ' ROW ' "$bench/$side.raw"; then
        tail -n 25 "$console" "$bench/$side.err" >&2
        die "the benchmark of $side gave no rows (QEMU's status $status)"
    fi
}

bench_floor() {
    kernel=$bench/floor.elf initrd='' append=''
    bench_qemu floor direct 64
}

# bench_kvm SIDE ITERATIONS ROUNDS [APPEND]
bench_kvm() {
    kernel=$(fetch_kernel 6.1) initrd=$bench/l1.gz
    append="console=ttyS0 loglevel=4 ${4:-} plinth.test=\"/bench/run $2 $3\""
    bench_qemu "$1" direct 2048
}

# bench_plinth ITERATIONS ROUNDS: the same guest in an image of Plinth's, all groups of rows in one run.
bench_plinth() {
    bench_plinth_as plinth "$1" "$2" 256
}

# bench_plinth_guarded ITERATIONS ROUNDS: the same with measures against speculative execution.
bench_plinth_guarded() {
    bench_plinth_as plinth_guarded "$1" "$2" 256 --set mitigations=true
}

# bench_flat ITERATIONS ROUNDS: the same again, with more devices and with other sizes of memory, which should not matter; and
# without the VMM's caches, which should.
bench_flat() {
    config_with bench "$bench/devices.conf" "extra-devices 1000"
    bench_plinth_as plinth_devices "$1" "$2" 256 --set "files.init.conf=$bench/devices.conf"
    # A machine of 32 MiB, of which Plinth's window takes 16 from 15 on: firmware keeps a little at the end. The guest has the rest.
    bench_plinth_as plinth_small "$1" "$2" 32 --set layout.window_base=15M --set layout.window_bytes=16M --set layout.payload_base=12M
    bench_plinth_as plinth_large "$1" "$2" 4096
    config_with bench "$bench/uncached.conf" "caches no"
    bench_plinth_as plinth_uncached "$1" "$2" 256 \
        --set "files.vmm=$target/$bare/release/step-vmm" --set "files.init.conf=$bench/uncached.conf"
}

# bench_plinth_as SIDE ITERATIONS ROUNDS MEMORY [OPTION...]: the options are pack_image's.
bench_plinth_as() {
    kernel=$bench/guest.bin initrd='' append="$2 $3 15 -" image=$bench/$1.igvm
    pack_image bench "$image" "${@:5}"
    bench_qemu "$1" "$bench_loader" "$4"
}

# bench_batch: a process that gives the kernel batches of operations; no guest.
bench_batch() {
    image=$bench/batch.igvm
    pack_bare batch "$image"
    bench_qemu batch "$bench_loader" 256
}

# bench_report: rows, JSON, table and picture of all sides that were run, now or before.
bench_report() {
    local side raw=()
    for side in plinth plinth_guarded kvm kvm_off floor plinth_devices plinth_small plinth_large plinth_uncached batch; do
        [[ ! -e $bench/$side.raw ]] || raw+=("$bench/$side.raw")
    done
    awk -f "$root/benches/report/rows.awk" "${raw[@]}" >"$bench/rows"
    awk -f "$root/benches/report/json.awk" "$bench/rows" >"$bench/exits.json"
    awk -f "$root/benches/report/table.awk" "$root/benches/report/rows.txt" "$bench/rows" >"$bench/exits.md"
    awk -f "$root/benches/report/bars.awk" "$bench/rows" >"$bench/exits.svg"
}

# bench_publish: docs/benchmarks.md gets these tables in place of those between its marks, docs/exits.svg this picture.
bench_publish() {
    local document=$root/docs/benchmarks.md
    awk -v tables="$bench/exits.md" '
        /^<!-- results end/ { inside = 0 }
        !inside { print }
        /^<!-- results begin/ { inside = 1; while ((getline line <tables) > 0) print line }' "$document" >"$bench/benchmarks.md"
    cp "$bench/benchmarks.md" "$document"
    cp "$bench/exits.svg" "$root/docs/exits.svg"
}

# bench_accept: the rows as benches/expected.txt has them, "id instructions".
bench_accept() {
    echo "# Instructions an exit takes, which scripts/test holds new ones against. Written by scripts/bench --quick --accept."
    awk 'NR == 1 && $5 != "-" { print "floor", $5 } $2 != "-" { print $1, $2 } $10 != "-" { print $1 "/mitigations", $10 }' "$bench/rows"
}

# bench_compare: fails when a row costs more than 2% above what is expected, or is gone; tells of what has become cheaper.
bench_compare() {
    bench_accept | awk '
        /^#/ { next }
        FNR == NR { expected[$1] = $2; next }
        { now[$1] = $2 }
        END {
            for (id in expected) {
                if (!(id in now)) { print id ": no such row any more"; bad = 1; continue }
                if (now[id] > expected[id] * 1.02 + 0.05) { verdict = "too much"; bad = 1 }
                else verdict = now[id] < expected[id] * 0.98 ? "less: take it with scripts/bench --quick --accept" : "as expected"
                printf "%-20s %10.2f, expected %10.2f: %s\n", id, now[id], expected[id], verdict
            }
            exit bad
        }' "$root/benches/expected.txt" -
}

# bench_compare_flat: fails when a row costs 3% more, and two instructions, with more devices or with another size of memory.
bench_compare_flat() {
    awk '
        $2 != "-" && $6 != "-" {
            rows++
            for (i = 6; i <= 8; i++) {
                if ($i > $2 * 1.03 + 2) { print $1 ": " $2 ", but " $i " in column " i; bad = 1 }
            }
        }
        END { print rows + 0 " rows compared"; exit bad || !rows }' "$bench/rows"
}
