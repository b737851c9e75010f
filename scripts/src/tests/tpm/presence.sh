#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/tpm/presence.rs does: it asks for a clear, and the next boot sees it.
say() {
    echo "tpm: $*"
}

# Sends a command, in octal escapes. Prints the response in hexadecimal.
send() {
    exec 3<>/dev/tpm0
    # shellcheck disable=SC2059 # The command is the format.
    printf "$1" >&3
    dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
    exec 3>&-
}

# NV commands by the owner, with an empty password: index 01500001h, of eight bytes.
owner='\100\0\0\1'
password='\0\0\0\11\100\0\0\11\0\0\0\0\0'
index='\1\120\0\1'
define='\200\2\0\0\0\55\0\0\1\52'"$owner$password"'\0\0\0\16'"$index"'\0\13\2\2\0\2\0\0\0\10'
public='\200\1\0\0\0\16\0\0\1\151'"$index"
# TPM2_Clear by the platform, whose authorization is empty when the machine starts.
clear='\200\2\0\0\0\33\0\0\1\46\100\0\0\14'"$password"

ppi=/sys/class/tpm/tpm0/ppi
say "platform $(send "$clear")"
say "response $(cat $ppi/response)"
say "index $(send "$public" | cut -c13-20)"
if grep -q plinth.first /proc/cmdline; then
    say "version $(cat $ppi/version)"
    say "clear $(grep '^5 ' $ppi/tcg_operations)"
    say "physical user $(grep -c 'User required' $ppi/tcg_operations)"
    say "defined $(send "$define" | cut -c13-20)"
    say "unknown $(echo 3 2>/dev/null >$ppi/request || echo refused)"
    # The builtin's status is that of its write.
    echo 5 >$ppi/request && say "asked"
    say "request $(cat $ppi/request)"
    say "then $(cat $ppi/transition_action)"
else
    say "request $(cat $ppi/request)"
    # With a parameter: the bank SHA-256 alone.
    echo "23 2" >$ppi/request && say "asked"
    say "request now $(cat $ppi/request)"
fi
dmesg | grep -i -e tpm -e acpi | sed 's/^/tpm: dmesg: /'
