# shellcheck shell=bash
# What the VMM remembers of the guest's code must not show, nor that it batches, nor the kernel's short cuts:
# a guest that changes its code, and Linux, with each of them and without.

. "$root/scripts/lib/bench.sh"

# The VMM that can do without.
step_vmm=$target/$bare/release/step-vmm

# changing_code NAME SHORTCUTS [SETTING]: the guest of scripts/tests/guests/changing-code.S, with one more
# setting of the VMM's.
changing_code() {
    local name=$1 end
    gcc -I"$root/benches/guest" -c -o "$bench/changing-code.o" "$root/scripts/tests/guests/changing-code.S"
    bench_link guest "$tests/$name.bin" "$bench"/{setup,start,text,changing-code}.o
    config_with bench "$tests/$name.conf" "extra-devices 2" "${@:3}"
    kernel=$tests/$name.bin initrd='' append=- image=$tests/$name.igvm
    pack_image bench "$image" --set "files.vmm=$step_vmm" --set debug=true --set "shortcuts=$2" --set "files.init.conf=$tests/$name.conf"
    end=$(memory=256 boot_guest "$name" pvh 1)
    cat "$tests/$name.console"
    [[ $end == reboot ]] || trouble "$tests/$name.log" "ended with $end, not with the guest's reset"
    # 35 checks of eight calls, and one of one: a call that fails ends its check early, so that fewer are
    # counted.
    expect "$tests/$name.console" "CHANGED 281 0"
}

# plain_boot: Linux as in 20-boot, but nothing is remembered, batched, or done by a short cut.
plain_boot() {
    kernel=$(fetch_kernel 6.1) initrd=$work/initrd.gz append=$matrix_append
    [[ -e $initrd ]] || make_initramfs "$initrd"
    config_with vmm "$tests/plain.conf" "caches no" "batches no"
    pack_image debian "$tests/6.1-plain.igvm" --set "files.vmm=$step_vmm" --set shortcuts=false --set "files.init.conf=$tests/plain.conf"
    boot_case boot-plain pvh 6.1-plain 1
}

# switches_matter: that the settings do something, lest the tests above compare a thing with itself.
switches_matter() {
    config_with bench "$tests/uncached-bench.conf" "caches no"
    bench_plinth_as plinth 100 1 256
    bench_plinth_as plinth_uncached 100 1 256 --set "files.vmm=$step_vmm" --set "files.init.conf=$tests/uncached-bench.conf"
    bench_plinth_as plinth_long_way 100 1 256 --set shortcuts=false
    awk '$3 == "mmiow" { cost[$1] = $4 / $5; print $1, cost[$1] }
        function dearer(side) { return cost[side] > cost["plinth"] * 1.1 }
        END { exit !(cost["plinth"] > 0 && dearer("plinth_uncached") && dearer("plinth_long_way")) }' \
        "$bench"/plinth{,_uncached,_long_way}.raw
}

qemu_find
bench_build
check changing-code changing_code changing-code true
check changing-code-uncached changing_code changing-code-uncached true "caches no"
check changing-code-unbatched changing_code changing-code-unbatched true "batches no"
check changing-code-long-way changing_code changing-code-long-way false
check switches-matter switches_matter
check boot-plain plain_boot
