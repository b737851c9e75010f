#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/tpm.rs does with tpm2-tools, by the kernel's resource manager.
say() {
    echo "tpm: tools: $*"
}

export TPM2TOOLS_TCTI=device:/dev/tpmrm0
# The library's own log is of what it tries, too, and on the kernel's console it would be taken for an error.
export TSS2_LOG=all+NONE
cd /tmp || exit

# Runs a command by name, and prints whether it did what is expected of it: to succeed, or to be refused.
try() {
    expected=$1
    shift
    if tpm2 "$@" >out 2>&1; then result=done; else result=refused; fi
    say "$1 $result"
    [ $result = "$expected" ] || sed 's/^/tpm: tools: unexpected: /' out
}

# PCRs, and what the event log gives for them: both in the same form.
pcrs=0,1,2,3,4,5,6,7,8,9
tpm2 pcrread sha1:$pcrs+sha256:$pcrs+sha384:$pcrs+sha512:$pcrs | sed 's/^/tpm: tools: read: /'
try done eventlog /sys/kernel/security/tpm0/binary_bios_measurements
sed -n '/^pcrs:/,$s/^/tpm: tools: log: /p' out

# A quote of the PCRs by a key that signs nothing else, and what checks it: not with another nonce.
try done createprimary -Q -C o -G ecc -c primary.ctx
try done create -Q -C primary.ctx -G ecc256:ecdsa-sha256:null -u ak.pub -r ak.priv -c ak.ctx \
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign'
try done readpublic -Q -c ak.ctx -f pem -o ak.pem
try done quote -Q -c ak.ctx -l sha256:0,4,9 -q 0badc0de -m message -s signature -o values -g sha256
try done checkquote -Q -u ak.pem -m message -s signature -f values -g sha256 -q 0badc0de
try refused checkquote -Q -u ak.pem -m message -s signature -f values -g sha256 -q 0badc0df

# A secret that comes out while the PCRs have the values that the payload gave them.
sealed=sha256:4,9,23
try done createpolicy -Q --policy-pcr -l $sealed -L policy
printf 'open sesame' >secret
try done create -Q -C primary.ctx -L policy -i secret -u sealed.pub -r sealed.priv -c sealed.ctx
try done unseal -c sealed.ctx -p pcr:$sealed
cmp out secret && say "secret is back"
try done pcrextend 23:sha256=0101010101010101010101010101010101010101010101010101010101010101
try refused unseal -c sealed.ctx -p pcr:$sealed
try done pcrreset 23
try done unseal -c sealed.ctx -p pcr:$sealed
cmp out secret && say "secret is back again"
