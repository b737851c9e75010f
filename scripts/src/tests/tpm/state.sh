#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/tpm/state.rs does with a TPM whose state outlives its process.
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
index='\1\120\0\1'
password='\0\0\0\11\100\0\0\11\0\0\0\0\0'
define='\200\2\0\0\0\55\0\0\1\52'"$owner$password"'\0\0\0\16'"$index"'\0\13\2\2\0\2\0\0\0\10'
write='\200\2\0\0\0\53\0\0\1\67'"$owner$index$password"'\0\10Plinthed\0\0'
read='\200\2\0\0\0\43\0\0\1\116'"$owner$index$password"'\0\10\0\0'

pcr=/sys/class/tpm/tpm0/pcr-sha256/4
if grep -q plinth.first /proc/cmdline; then
    say "PCR 4 at the start $(cat $pcr)"
    if send "$read" | grep -q 506c696e74686564; then
        say "read after a reset $(send "$read")"
        grep -q plinth.again /proc/cmdline || exit
    else
        say "before $(send "$read" | cut -c1-20)"
        say "defined $(send "$define" | cut -c1-20)"
        say "written $(send "$write" | cut -c1-20)"
        reboot -f
        sleep 60
        exit
    fi
fi
say "read $(send "$read")"
before=$(cat $pcr)
# TPM2_StirRandom, at which the TPM's process ends: this command is lost, and later ones are not.
say "stirred $(send '\200\1\0\0\0\14\0\0\1\106\0\0')"
tries=0
until send "$read" | grep -q 506c696e74686564; do
    tries=$((tries + 1))
    if [ $tries -gt 60 ]; then break; fi
    sleep 1
done
say "read again $(send "$read")"
after=$(cat $pcr)
say "PCR 4 $([ -n "$after" ] && [ "$after" != "$before" ] && echo spoilt)"
