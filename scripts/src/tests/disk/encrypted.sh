#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/disk/encrypted.rs does with its disk: half of it is a text, half of it
# zeroes, and a third boot finds neither.
set -e
say() {
    echo "disk: $*"
}

# The drivers are loaded; what they find takes a moment.
until [ -b /dev/vda ]; do sleep 1; done
half=$(($(cat /sys/block/vda/size) / 2))
text() {
    yes "Plinth's guest keeps this secret" | head -c $((half * 512))
}
zeroes() {
    head -c $((half * 512)) /dev/zero
}

if grep -q plinth.write /proc/cmdline; then
    text | dd of=/dev/vda bs=192k iflag=fullblock conv=fsync 2>/dev/null
    zeroes | dd of=/dev/vda bs=512 seek=$half conv=fsync 2>/dev/null
    # The host does not see that nobody needs these.
    blkdiscard -o 0 -l 65536 /dev/vda
    say "written"
fi
echo 3 >/proc/sys/vm/drop_caches
text >/tmp/text
zeroes >/tmp/zeroes
dd if=/dev/vda bs=512 count=$half 2>/dev/null | cmp -s - /tmp/text && say "the text is there"
dd if=/dev/vda bs=512 skip=$half 2>/dev/null | cmp -s - /tmp/zeroes && say "the zeroes are there"
say "nothing more"
