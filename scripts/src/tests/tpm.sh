#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/tpm.rs does.
say() {
    echo "tpm: $*"
}

# Sends a command, in octal escapes, to a device. Prints the response in hexadecimal.
send() {
    exec 3<>"$1"
    # shellcheck disable=SC2059 # The command is the format.
    printf "$2" >&3
    dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
    exec 3>&-
}

tpm=/sys/class/tpm/tpm0
for device in /dev/tpm0 /dev/tpmrm0; do
    [ -c $device ] && say "device $device"
done
say "driver $(basename "$(readlink $tpm/device/driver)")"
say "version $(cat $tpm/tpm_version_major)"

# TPM2_PCR_Extend of PCR 16 in the SHA-256 bank by 32 bytes of 1, with the empty authorization.
ones='\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1'
say "before $(cat $tpm/pcr-sha256/16)"
extend='\200\2\0\0\0\101\0\0\1\202\0\0\0\20\0\0\0\11\100\0\0\11\0\0\0\0\0\0\0\0\1\0\13'
say "extend $(send /dev/tpm0 "$extend$ones")"
say "after $(cat $tpm/pcr-sha256/16)"
# TPM2_PCR_Read of the same, past the kernel's own reader.
say "read $(send /dev/tpmrm0 '\200\1\0\0\0\24\0\0\1\176\0\0\0\1\0\13\3\0\0\1')"
# TPM2_GetRandom of 16 bytes.
for _ in 1 2; do
    send /dev/tpmrm0 '\200\1\0\0\0\14\0\0\1\173\0\20' >>/tmp/random
    echo >>/tmp/random
done
say "random $(grep -c '^80010000001c000000000010' /tmp/random) of $(sort -u /tmp/random | wc -l)"

# TPM2_CreatePrimary of an RSA key in the owner's hierarchy takes long; the processors work meanwhile.
key='\200\2\0\0\0\103\0\0\1\61\100\0\0\1\0\0\0\11\100\0\0\11\0\0\0\0\0\0\4\0\0\0\0'
key="$key"'\0\32\0\1\0\13\0\3\0\162\0\0\0\6\0\200\0\103\0\20\10\0\0\0\0\0\0\0\0\0\0\0\0\0'
(
    send /dev/tpmrm0 "$key" | cut -c1-20 >/tmp/key.new
    mv /tmp/key.new /tmp/key
) &
turns=0
while [ ! -e /tmp/key ]; do
    turns=$((turns + 1))
    usleep 10000
done
say "key $(cut -c1-4,13-20 /tmp/key), other work meanwhile $([ $turns -gt 2 ] && echo yes)"

# The log of what was measured before the kernel ran.
mount -t securityfs security /sys/kernel/security
log=/sys/kernel/security/tpm0/binary_bios_measurements
[ -e $log ] && say "log $(od -An -v -tx1 $log | tr -d ' \n')"
for pcr in 0 1 2 3 4 5 6 7 8 9; do
    say "pcr $pcr $(cat $tpm/pcr-sha256/$pcr)"
done
/bin/tools
dmesg | grep -i tpm | sed 's/^/tpm: dmesg: /'
