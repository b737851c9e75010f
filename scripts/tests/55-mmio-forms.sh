# shellcheck shell=bash
# Every accepted form that reaches memory, on a device that behaves like memory and on memory itself: no differences.

. "$root/scripts/lib/bench.sh"

# What mmio-cases prints with three cases a form, and what the guest then counts: cases, skipped, differences.
mmio_cases=(
    '64-bit code: 2641 forms, 7923 cases'
    '32-bit code: 2641 forms, 7923 cases'
    '16-bit code: 2609 forms, 7827 cases'
)
mmio_counts=('FORMS 64 7923 0 0' 'FORMS 32 7923 0 0' 'FORMS 16 7827 0 0' 'LMSW 6 0' 'FORMS end')

# mmio_build: the guest, and the table of cases that is its initial RAM disk.
mmio_build() {
    local source=$root/scripts/tests/guests/mmio-forms line
    gcc -c -o "$bench/setup.o" "$root/benches/guest/setup.S"
    gcc -c -o "$bench/mmio-forms-entry.o" "$source.S"
    gcc -c -O2 -Wall -Wextra -Werror -std=gnu11 -masm=intel -ffreestanding -fno-pic -mno-red-zone -mgeneral-regs-only \
        -fno-stack-protector -fno-asynchronous-unwind-tables -o "$bench/mmio-forms.o" "$source.c"
    bench_link guest "$bench/mmio-forms.bin" "$bench"/{setup,mmio-forms-entry,mmio-forms}.o
    (cd "$root" && cargo run --quiet --release -p decoder-oracle --bin mmio-cases "$bench/mmio-forms.cases" 3 1) >"$bench/mmio-forms.counts"
    cat "$bench/mmio-forms.counts"
    for line in "${mmio_cases[@]}"; do expect "$bench/mmio-forms.counts" "$line"; done
}

# mmio_forms NAME [SETTING]: the guest, with one more setting of the VMM's.
mmio_forms() {
    local name=$1 end line
    config_with vmm "$tests/$name.conf" "memory-device yes" "${@:2}"
    kernel=$bench/mmio-forms.bin initrd=$bench/mmio-forms.cases append=- image=$tests/$name.igvm
    pack_image bench "$image" --set debug=true --set "files.init.conf=$tests/$name.conf"
    # The cases are the same below every QEMU, CMPXCHG16B among them.
    qemu_cpu=max
    end=$(memory=256 boot_guest "$name" pvh 1)
    cat "$tests/$name.console"
    [[ $end == reboot ]] || trouble "$tests/$name.log" "ended with $end, not with the guest's reset"
    for line in "${mmio_counts[@]}"; do expect "$tests/$name.console" "$line"; done
}

qemu_find
check mmio-forms-build mmio_build
check mmio-forms mmio_forms mmio-forms
check mmio-forms-uncached mmio_forms mmio-forms-uncached "caches no"
