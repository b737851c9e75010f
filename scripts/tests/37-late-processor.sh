# shellcheck shell=bash
# A processor that answers when the guest already runs: it must come into the kernel, not into what the guest left for it at the address
# where processors start (vmm-user/tests-guest/late.S). QEMU's debugger stub holds it back.

. "$root/scripts/lib/hostile.sh"

# Which part of the hostile guest waits.
late_part=11

# gdb_send PACKET: to the stub, on descriptor 9.
gdb_send() {
    local sum=0 at
    for ((at = 0; at < ${#1}; at++)); do sum=$(((sum + $(printf '%d' "'${1:at:1}")) % 256)); done
    printf '+$%s#%02x' "$1" "$sum" >&9
}

# gdb_stopped: waits until the stub says that the machine has stopped.
gdb_stopped() {
    local answer
    while read -r -t "$boot_limit" -d '#' answer <&9; do
        [[ $answer != *\$T* ]] || return 0
    done
    echo "no stop"
    return 1
}

# late_connect PORT: opens descriptor 9.
late_connect() {
    local tries
    for tries in {1..50}; do
        if { exec 9<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; then return; fi
        sleep 0.2
    done
    echo "no debugger stub after $tries tries"
    return 1
}

late_case() {
    local name=late-processor log=$tests/late-processor.log console=$tests/late-processor.console port entry status=0 end qemu_pid
    port=$((20000 + RANDOM % 20000))
    kernel=$hostile_dir/guest.bin initrd='' append=$late_part image=$tests/late.igvm
    pack_image debian "$image"
    qemu_compose pvh 256 2
    qemu_log "$log"
    : >"$log"
    rm -f "$tests/$name.in"
    mkfifo "$tests/$name.in"
    exec 8<>"$tests/$name.in"
    timeout --kill-after=5 "$boot_limit" "${qemu_command[@]}" -S -gdb "tcp:127.0.0.1:$port" -serial stdio <&8 >"$console" 2>&1 &
    qemu_pid=$!
    late_connect "$port"
    # Until firmware has done with all processors and the kernel is entered; from there on the first one only.
    entry=$(nm "$target/$bare/release/vmm-kernel" | sed -n 's/ T kernel_entry$//p')
    gdb_send "Z1,$entry,1"
    gdb_send c
    gdb_stopped
    gdb_send "z1,$entry,1"
    gdb_send 'vCont;c:1'
    wait_for "$console" "hostile guest: waits" "$boot_limit" || true
    # All of them.
    printf '+\003' >&9
    gdb_stopped
    gdb_send 'vCont;c'
    wait_for "$log" "cpu1 runs" 20 || true
    echo >&8
    wait "$qemu_pid" || status=$?
    end=$(outcome "$status")
    grep -a 'hostile guest' "$console" || true
    [[ $end == triple-fault ]] || { trouble "$log" "ended with $end, not triple-fault"; return 1; }
    expect "$log" "did not start; it is left out"
    expect "$log" "cpu1 runs"
    expect "$console" "hostile guest: the start page is not there"
    expect "$console" "hostile guest: done, as it should be"
}

qemu_find
check hostile-build hostile_build
check late-processor late_case
