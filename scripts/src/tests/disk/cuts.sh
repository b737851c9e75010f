#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/disk/cuts.rs does until QEMU is killed: it writes records to files of a
# journaling file system, flushes each and says so. Before that it looks at what earlier boots have flushed.
#
#   plinth.flushed=N    the last one that an earlier boot has said; 0 if none
#   plinth.only-look    then it ends
set -e
slots=32
say() {
    echo "cut: $*"
}

# The drivers are loaded; what they find takes a moment.
until [ -b /dev/vda ]; do sleep 0.1; done
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
flushed=$(sed -n 's/.*plinth\.flushed=\([0-9]*\).*/\1/p' /proc/cmdline)

# record NUMBER: as long as chance has it, but the same each time.
record() {
    yes "record $1 of those that are flushed" | head -c $((($1 * 7919) % 60000 + 1))
}

# The last ones but those that may have been on their way: they lie where older ones were.
i=$((flushed > slots ? flushed - slots + 5 : 1))
while [ $i -le "$flushed" ]; do
    record $i | cmp -s - /mnt/$((i % slots)) || say "record $i is lost"
    i=$((i + 1))
done
say "looked at $flushed"
if grep -q plinth.only-look /proc/cmdline; then
    umount /mnt
    exit
fi

# What was written behind that one, and not said, is written again, and is the same.
i=$flushed
while true; do
    i=$((i + 1))
    # Files that come and go: more for the journal.
    mkdir -p /mnt/many/$((i % 7))
    rm -rf /mnt/many/$(((i + 3) % 7))
    record $i | dd of=/mnt/$((i % slots)) bs=64k iflag=fullblock conv=fsync 2>/dev/null
    say "flushed $i"
done
