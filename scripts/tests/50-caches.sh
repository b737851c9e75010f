# shellcheck shell=bash
# What the VMM remembers of the guest's code must not show: a guest that changes its code, and Linux, with the caches and without them.

. "$root/scripts/lib/bench.sh"

# changing_code NAME [SETTING]: the guest of scripts/tests/guests/changing-code.S, with one more setting of the VMM's.
changing_code() {
    local name=$1 end
    gcc -I"$root/benches/guest" -c -o "$bench/changing-code.o" "$root/scripts/tests/guests/changing-code.S"
    bench_link guest "$tests/$name.bin" "$bench"/{setup,start,text,changing-code}.o
    config_with bench "$tests/$name.conf" "extra-devices 2" "${@:2}"
    kernel=$tests/$name.bin initrd='' append=- image=$tests/$name.igvm
    pack_image bench "$image" --set debug=true --set "files.init.conf=$tests/$name.conf"
    end=$(memory=256 boot_guest "$name" pvh 1)
    cat "$tests/$name.console"
    [[ $end == reboot ]] || trouble "$tests/$name.log" "ended with $end, not with the guest's reset"
    # 35 checks of eight calls, and one of one: a call that fails ends its check early, so that fewer are counted.
    expect "$tests/$name.console" "CHANGED 281 0"
}

# uncached_boot: Linux as in 20-boot, but nothing is remembered.
uncached_boot() {
    kernel=$(fetch_kernel 6.1) initrd=$work/initrd.gz append=$matrix_append
    [[ -e $initrd ]] || make_initramfs "$initrd"
    config_with vmm "$tests/uncached.conf" "caches no"
    pack_image debian "$tests/6.1-uncached.igvm" --set "files.init.conf=$tests/uncached.conf"
    boot_case boot-uncached pvh 6.1-uncached 1
}

# caches_matter: that the setting does something, lest the tests above compare a thing with itself.
caches_matter() {
    config_with bench "$tests/uncached-bench.conf" "caches no"
    bench_plinth_as plinth 100 1 256
    bench_plinth_as plinth_uncached 100 1 256 --set "files.init.conf=$tests/uncached-bench.conf"
    awk '$3 == "mmiow" { cost[$1] = $4 / $5; print $1, cost[$1] }
        END { exit !(cost["plinth"] > 0 && cost["plinth_uncached"] > cost["plinth"] * 1.2) }' "$bench"/plinth{,_uncached}.raw
}

qemu_find
bench_build
check changing-code changing_code changing-code
check changing-code-uncached changing_code changing-code-uncached "caches no"
check caches-matter caches_matter
check boot-uncached uncached_boot
