# shellcheck shell=bash
# One run of QEMU and what its end means.
#
# Plinth ends a run by writing a value to QEMU's isa-debug-exit device, which makes QEMU's status (value << 1) | 1.

# outcome STATUS: the end of a run in one word.
outcome() {
    case $1 in
    0) echo quit ;; # by ctrl-a x, or by a guest that runs without Plinth
    $((0x10 << 1 | 1))) echo poweroff ;;
    $((0x11 << 1 | 1))) echo reboot ;;
    $((0x12 << 1 | 1))) echo triple-fault ;;
    $((0x13 << 1 | 1))) echo kernel-panic ;;
    $((0x14 << 1 | 1))) echo process-failure ;;
    $((0x31 << 1 | 1))) echo loader-refusal ;;
    $((0x20 << 1 | 1))) echo tests-passed ;;
    $((0x21 << 1 | 1))) echo tests-failed ;;
    124 | 137) echo timeout ;;
    *) echo "qemu-status-$1" ;;
    esac
}

# explain OUTCOME LOG: tells the user; returns what the script should end with.
explain() {
    case $1 in
    quit) ;;
    poweroff) say "the guest powered off" ;;
    tests-passed) say "all tests in the guest passed" ;;
    triple-fault) trouble "$2" "the guest triple-faulted; its registers are below" ;;
    kernel-panic) trouble "$2" "Plinth's kernel stopped; the end of its log is below" ;;
    process-failure) trouble "$2" "a process of Plinth's failed; the end of the log is below" ;;
    loader-refusal) trouble "$2" "the loader refused the image; it says why below or above" ;;
    tests-failed) trouble "$2" "tests in the guest failed; the end of the log is below" ;;
    timeout) trouble "$2" "no end within the time allowed; the end of the log is below" ;;
    *) trouble "$2" "QEMU ended with ${1#qemu-} and no word from Plinth" ;;
    esac
}

# trouble LOG TEXT: the text and the end of the log. Firmware writes to the same debug port; its part is left out.
trouble() {
    say "$2"
    [[ ! -s $1 ]] || awk '/^Booting from/ { n = 0; next } { line[n++] = $0 }
        END { for (i = n > 40 ? n - 40 : 0; i < n; i++) print line[i] }' "$1" >&2
    return 1
}

# exit_table LOG: the table that the VMM of a debug image logs when it ends, without what the log puts before each line.
exit_table() {
    [[ -s $1 ]] || return 0
    awk '/exit-table begin/ { inside = 1; next } /exit-table end/ { inside = 0 } inside' "$1" | sed 's/^\[[^]]*\].* vmm: //'
}
