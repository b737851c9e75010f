# shellcheck shell=bash
# Every accepted form that reaches memory, on a device that behaves like memory and on memory itself: no
# differences.

. "$root/scripts/lib/bench.sh"

# Cases of each form, and the seed they are drawn from; more by PLINTH_MMIO_CASES=30 PLINTH_MMIO_SEED=2.
mmio_each=${PLINTH_MMIO_CASES:-3} mmio_seed=${PLINTH_MMIO_SEED:-1}
# Forms in 64-, 32- and 16-bit code.
mmio_forms=(2641 2641 2609)

# mmio_build: the guest, and the table of cases that is its initial RAM disk.
mmio_build() {
    local source=$root/scripts/tests/guests/mmio-forms index bits=(64 32 16)
    gcc -c -o "$bench/setup.o" "$root/benches/guest/setup.S"
    gcc -c -o "$bench/mmio-forms-entry.o" "$source.S"
    gcc -c -o "$bench/mmio-legacy.o" "${source%forms}legacy.S"
    gcc -c -O2 -Wall -Wextra -Werror -std=gnu11 -masm=intel -ffreestanding -fno-pic -mno-red-zone -mgeneral-regs-only \
        -fno-stack-protector -fno-asynchronous-unwind-tables -o "$bench/mmio-forms.o" "$source.c"
    bench_link guest "$bench/mmio-forms.bin" "$bench"/{setup,mmio-forms-entry,mmio-legacy,mmio-forms}.o
    (cd "$root" && cargo run --quiet --release -p decoder-oracle --bin mmio-cases "$bench/mmio-forms.cases" "$mmio_each" "$mmio_seed") >"$bench/mmio-forms.counts"
    cat "$bench/mmio-forms.counts"
    for index in 0 1 2; do
        expect "$bench/mmio-forms.counts" "${bits[index]}-bit code: ${mmio_forms[index]} forms, $((mmio_forms[index] * mmio_each)) cases"
    done
}

# every STEP FIRST COUNT: how many of COUNT numbers from FIRST on are multiples of STEP.
every() { echo $((($2 + $3 - 1) / $1 - ($2 - 1) / $1)); }

# mmio_compare NAME [SETTING]: the guest, with one more setting of the VMM's. It counts cases, skipped ones
# and differences.
mmio_compare() {
    local name=$1 end long=$((mmio_forms[0] * mmio_each)) wide=$((mmio_forms[1] * mmio_each)) narrow=$((mmio_forms[2] * mmio_each))
    config_with vmm "$tests/$name.conf" "memory-device yes" "${@:2}"
    kernel=$bench/mmio-forms.bin initrd=$bench/mmio-forms.cases append=- image=$tests/$name.igvm
    # The VMM that can do without caches.
    pack_image bench "$image" --set debug=true --set "files.vmm=$target/$bare/release/step-vmm" --set "files.init.conf=$tests/$name.conf"
    # The cases are the same below every QEMU, CMPXCHG16B among them.
    qemu_cpu=max
    end=$(memory=256 boot_guest "$name" pvh 1)
    cat "$tests/$name.console"
    [[ $end == reboot ]] || trouble "$tests/$name.log" "ended with $end, not with the guest's reset"
    expect "$tests/$name.console" "FORMS 64 $long 0 0"
    expect "$tests/$name.console" "FORMS 32 $wide 0 0"
    expect "$tests/$name.console" "LEGACY 32 $(every 4 "$long" "$wide") 0 0"
    expect "$tests/$name.console" "FORMS 16 $narrow 0 0"
    expect "$tests/$name.console" "LEGACY 16 $(every 4 $((long + wide)) "$narrow") 0 0"
    expect "$tests/$name.console" "LMSW 6 0"
    expect "$tests/$name.console" "FORMS end"
}

qemu_find
check mmio-forms-build mmio_build
check mmio-forms mmio_compare mmio-forms
check mmio-forms-uncached mmio_compare mmio-forms-uncached "caches no"
