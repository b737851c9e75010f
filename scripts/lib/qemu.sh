# shellcheck shell=bash
# QEMU: finding it, checking that it can run Plinth, composing its command line.

# qemu_find [PATH]: sets `qemu` (the program), `qemu_version` (major.minor) and `qemu_cpu` (the CPU model).
qemu_find() {
    qemu=${1:-${PLINTH_QEMU:-qemu-system-x86_64}}
    have "$qemu" || die "there is no QEMU at $qemu; install the package qemu-system-x86 or name one with --qemu PATH"
    # A program that fails, or says something else, has no version.
    qemu_version=$({ "$qemu" --version 2>/dev/null || :; } | sed -n 's/.*version \([0-9]*\.[0-9]*\).*/\1/p;q')
    [[ -n $qemu_version ]] || die "$qemu does not say its version; name a QEMU with --qemu PATH"
    local major=${qemu_version%.*} minor=${qemu_version#*.}
    if ((major < 7 || (major == 7 && minor < 2))); then
        die "$qemu is QEMU $qemu_version; Plinth needs 7.2 or newer: install a newer one and name it with --qemu PATH"
    fi
    qemu_cpu=max
    # Before QEMU 10, TCG miscompiles cmpxchg16b with a segment prefix; Linux does without it when CPUID does not offer it.
    ((major >= 10)) || qemu_cpu=max,-cx16
    qemu_check_svm
}

# TCG must be built in and must offer AMD's nested virtualisation.
qemu_check_svm() {
    "$qemu" -M q35 -accel tcg -cpu max,+svm,+npt,enforce -nodefaults -display none -S -monitor stdio \
        <<<quit >"$work/qemu-check.log" 2>&1 ||
        die "$qemu has no SVM (nested AMD virtualisation) under TCG; use a stock qemu-system-x86_64 7.2 or newer with --qemu PATH"
}

# qemu_has_igvm: whether this QEMU loads IGVM files itself.
qemu_has_igvm() {
    "$qemu" -object help 2>/dev/null | grep -qw igvm-cfg
}

# qemu_compose LOADER MEMORY SMP: sets the array `qemu_command`, all but where the console and the log go.
#   igvm    QEMU's own IGVM loader, of $image
#   pvh     Plinth's PVH loader, of the same file
#   direct  no Plinth: $kernel, $initrd and $append started by QEMU, for comparison
qemu_compose() {
    local loader=$1 machine=q35 accel=tcg
    # Before QEMU 10, a CPU in a thread of its own may run code that another has just changed, as it was before: Linux, started by
    # QEMU directly too, then dies at a static key now and then ("Oops: int3"). One thread for all CPUs has no such race.
    ((${qemu_version%.*} >= 10 || $3 < 2)) || accel=tcg,thread=single
    [[ $loader != igvm ]] || machine=q35,igvm-cfg=igvm0
    qemu_command=("$qemu" -M "$machine" -accel "$accel" -cpu "$qemu_cpu" -m "$2" -smp "$3"
        -nodefaults -display none -no-reboot -device "isa-debug-exit,iobase=0xf4,iosize=0x04")
    case $loader in
    igvm) qemu_command+=(-object "igvm-cfg,id=igvm0,file=$image") ;;
    pvh) qemu_command+=(-kernel "$target/x86_64-unknown-none/release/pvh-loader" -initrd "$image") ;;
    direct)
        qemu_command+=(-kernel "$kernel" -append "$append")
        [[ -z $initrd ]] || qemu_command+=(-initrd "$initrd")
        ;;
    *) die "there is no loader '$loader'; --loader takes igvm, pvh or direct" ;;
    esac
}

# qemu_log FILE: Plinth's own log, which debug images write to QEMU's debug port.
qemu_log() {
    qemu_command+=(-chardev "file,id=log,path=$1" -device "isa-debugcon,iobase=0x402,chardev=log")
}
