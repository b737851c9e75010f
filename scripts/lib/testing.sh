# shellcheck shell=bash
# Tests: `check` runs one and counts it, `boot_guest` boots a guest for one.

tests=$work/tests
[[ -n ${PLINTH_KEEP_TESTS:-} ]] || rm -rf "$tests"
mkdir -p "$tests"
passed=0 failed=0
# Lines for the summary: name and value of what was measured.
measures=()
# Seconds that one boot may take. A shared, emulated machine is slow; a hang is slower.
boot_limit=${PLINTH_BOOT_LIMIT:-300}

# check NAME COMMAND...: the command, in a shell of its own, passes or fails; a failure shows the end of what it
# printed. xtask, which has made the folder, is told name and shell, and holds the check to its time limit.
check() {
    local name=$1 out=$tests/$1.out began=$SECONDS status
    shift
    # Not `(...) || status=$?`, in which nothing inside would stop at a command that fails.
    set +e
    (
        [[ -z ${PLINTH_KEEP_TESTS:-} ]] || printf 'checking %d %s\n' "$BASHPID" "$name" >&3
        exec 3>&-
        set -e
        "$@"
    ) 3>&1 >"$out" 2>&1 </dev/null
    status=$?
    set -e
    if ((status == 0)); then
        passed=$((passed + 1))
        printf 'ok      %s (%d s)\n' "$name" $((SECONDS - began))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s (%d s, status %d); the end of %s:\n' "$name" $((SECONDS - began)) "$status" "$out"
        tail -n 40 "$out" | sed 's/^/    | /'
    fi
}

# expect FILE TEXT: fails unless a line of the file has the text in it.
expect() {
    grep -qF -- "$2" "$1" && return
    printf 'expected "%s" in %s\n' "$2" "$1"
    tail -n 25 "$1"
    return 1
}

# boot_guest NAME LOADER SMP: boots $image (or, direct, $kernel) with the QEMU found last. The console goes to
# $tests/NAME.console, each line after the seconds since QEMU's start; the log to $tests/NAME.log. Prints the outcome.
boot_guest() {
    local console=$tests/$1.console log=$tests/$1.log status=0
    qemu_compose "$2" "${memory:-512}" "$3"
    [[ $2 == direct ]] || qemu_log "$log"
    : >"$log"
    timeout --kill-after=5 "$boot_limit" "${qemu_command[@]}" -serial stdio </dev/null 2>&1 | stamp >"$console" ||
        status=${PIPESTATUS[0]}
    outcome "$status"
}

# stamp: copies lines, each after the seconds since the start.
stamp() {
    local line began=${EPOCHREALTIME/./} passed_us
    while IFS= read -r line || [[ -n $line ]]; do
        passed_us=$((${EPOCHREALTIME/./} - began))
        printf '%d.%03d %s\n' $((passed_us / 1000000)) $((passed_us / 1000 % 1000)) "${line%$'\r'}"
    done
}

# wait_for FILE TEXT SECONDS: until a line of the file has the text in it; fails when it takes longer.
wait_for() {
    local end=$((SECONDS + $3))
    until grep -qaF -- "$2" "$1"; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

# seconds_to FILE TEXT: when the text first came.
seconds_to() {
    awk -v text="$2" 'index($0, text) { print $1; exit }' "$1"
}

# qemu_with_igvm: prints a QEMU that loads IGVM files itself: $PLINTH_QEMU_IGVM, one laid beside this checkout in a folder
# qemu-igvm, or the default one; nothing if there is none.
qemu_with_igvm() {
    local candidate
    for candidate in "${PLINTH_QEMU_IGVM:-}" "$root"/../*/qemu-igvm/qemu-system-x86_64 "${PLINTH_QEMU:-qemu-system-x86_64}"; do
        if [[ -n $candidate ]] && (qemu_find "$candidate" && qemu_has_igvm) 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

# measure NAME VALUE: for the summary.
measure() {
    measures+=("$(printf '%-58s %s' "$1" "$2")")
}

# summary: what was measured, then the line of counts; fails when a test failed or none ran.
summary() {
    ((${#measures[@]} == 0)) || printf '%s\n' '' "${measures[@]}" ''
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0 && passed > 0))
}
