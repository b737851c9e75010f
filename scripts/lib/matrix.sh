# shellcheck shell=bash
# The boots that must hold: each guest kernel, with one CPU and with two, by each loader there is a QEMU for.

matrix_guests=(6.1 newest)

# What the guest runs (in its own shell, hence the quotes): a little work on each of its CPUs, so that one which is only counted shows.
# shellcheck disable=SC2016
matrix_append='console=ttyS0 plinth.test="for i in $(seq 0 $(($(nproc)-1))); do taskset -c $i md5sum /bin/busybox; done"'

# matrix_prepare: fetches the guests and packs an image of each, $tests/GUEST.igvm.
matrix_prepare() {
    append=$matrix_append initrd=$work/initrd.gz
    make_initramfs "$initrd"
    local guest
    for guest in "${matrix_guests[@]}"; do check "pack-$guest" matrix_pack "$guest"; done
}

matrix_pack() {
    kernel=$(fetch_kernel "$1")
    pack_image debian "$tests/$1.igvm"
}

# each_boot FUNCTION ARGUMENT...: calls FUNCTION ARGUMENT... LOADER GUEST SMP for all of them, with the loader's QEMU chosen.
each_boot() {
    local loader guest smp with_igvm
    with_igvm=$(qemu_with_igvm)
    for loader in pvh igvm; do
        if [[ $loader == pvh ]]; then
            qemu_find
        elif [[ -n $with_igvm ]]; then
            qemu_find "$with_igvm"
        else
            say "no QEMU with an IGVM loader here (name one in PLINTH_QEMU_IGVM): its boots are left out"
            continue
        fi
        for guest in "${matrix_guests[@]}"; do
            for smp in 1 2; do "$@" "$loader" "$guest" "$smp"; done
        done
    done
}

# boot_case NAME LOADER GUEST SMP: boots to user space, every CPU works, poweroff ends it, the log has the exit table.
boot_case() {
    local name=$1 console=$tests/$1.console end
    image=$tests/$3.igvm
    end=$(boot_guest "$name" "$2" "$4")
    [[ $end == poweroff ]] || { trouble "$tests/$name.log" "ended with $end, not poweroff" || true; }
    expect "$console" "guest: user space reached: Linux"
    expect "$console" ", $4 CPUs,"
    expect "$console" "guest: test status 0"
    [[ $end == poweroff ]]
    exits_in_user_mode "$tests/$name.log"
}

# exits_in_user_mode LOG: the exit table is there, and nothing that the guest itself did was handled by the kernel.
exits_in_user_mode() {
    local table reason
    table=$(exit_table "$1")
    printf '%s\n' "$table"
    for reason in port memory cpuid rdmsr wrmsr; do
        grep -qE "^$reason +[0-9]+ vmm( |\$)" <<<"$table" || { echo "the exit table has no row of $reason, handled by vmm"; return 1; }
    done
    if grep -E '^[^0-9]+[0-9]+ kernel( |$)' <<<"$table" | grep -vE '^host (interrupt|nmi) '; then
        echo "the kernel handled exits of the guest's (above)"
        return 1
    fi
}

# direct_case NAME GUEST SMP: the same kernel by the same QEMU without Plinth, to compare with.
direct_case() {
    kernel=$(fetch_kernel "$2")
    boot_guest "$1" direct "$3" >/dev/null
    expect "$tests/$1.console" "guest: test status 0"
}
