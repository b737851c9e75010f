# shellcheck shell=bash
# How processes and the machine end: init's policies, and that nothing runs on when the machine has ended. The processes are roles of abi-test.

# ends_image NAME: packs $tests/NAME.igvm; its init.conf is read from standard input.
ends_image() {
    cat >"$tests/$1.conf"
    image=$tests/$1.igvm
    pack_bare abi-test "$image" --set "files.init.conf=$tests/$1.conf"
}

# ends_expect NAME OUTCOME GOT TEXT...
ends_expect() {
    local log=$tests/$1.log text
    [[ $3 == "$2" ]] || { trouble "$log" "ended with $3, not $2"; return 1; }
    for text in "${@:4}"; do expect "$log" "$text"; done
    if grep -aq 'kernel panic' "$log"; then return 1; fi
}

# restart_case: a process that dies again and again is started five times more, each time is told, and then the machine ends.
restart_case() {
    local log=$tests/restart.log
    ends_image restart <<'CONF'
process abi-test
  grant log w
  grant system r
  set role die
  set after-ms 20
  set code 7
  on-end restart
CONF
    ends_expect restart process-failure "$(memory=256 boot_guest restart pvh 1)" \
        "abi-test is started again (1 of 5)" "abi-test is started again (5 of 5)" "abi-test has been started again 5 times; giving up"
    [[ $(grep -ac 'kernel: process abi-test ended' "$log") == 6 ]] || { cat "$log"; return 1; }
    [[ $(grep -ac 'is started again' "$log") == 5 ]]
}

# policies_case: one may end, which changes nothing for the other, whose end is the machine's.
policies_case() {
    local log=$tests/policies.log
    ends_image policies <<'CONF'
process abi-test
  grant log w
  set role die
  set code 7
  on-end ignore
process abi-test
  grant log w
  grant system r
  set role die
  set after-ms 300
  set code 0
  on-end end-machine
CONF
    ends_expect policies process-failure "$(memory=256 boot_guest policies pvh 1)"
    [[ $(grep -ac 'kernel: process abi-test ended' "$log") == 2 ]] || { cat "$log"; return 1; }
    if grep -a 'is started again' "$log"; then return 1; fi
}

# stops_case: one processor ends the machine, and nobody takes note (no isa-debug-exit): no other goes on, though it is in a guest.
stops_case() {
    local log=$tests/stops.log part command=() before after qemu_pid
    ends_image stops <<'CONF'
process abi-test
  grant log w
  grant system rc
  set role tick
  set cpu 1
  cpu 1
process abi-test
  grant log w
  grant system rw
  set role end
  set after-ms 500
  set code 5
CONF
    qemu_compose pvh 256 2
    qemu_log "$log"
    for part in "${qemu_command[@]}"; do
        [[ $part != isa-debug-exit* ]] || part=isa-debug-exit,iobase=0x4f0
        command+=("$part")
    done
    timeout --kill-after=5 "$boot_limit" "${command[@]}" </dev/null >"$tests/stops.console" 2>&1 &
    qemu_pid=$!
    wait_for "$log" "the machine ends: TestsFailed" "$boot_limit" || { cat "$log"; return 1; }
    before=$(grep -ac 'abi-test: tick' "$log")
    sleep 3
    after=$(grep -ac 'abi-test: tick' "$log")
    kill "$qemu_pid"
    wait "$qemu_pid" || true
    echo "ticks: $before before, $after after"
    # One that was on its way when the count was taken.
    ((before > 10 && after <= before + 1))
}

qemu_find
check restart restart_case
check policies policies_case
check stops stops_case
