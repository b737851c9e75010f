#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/disk/guest.rs does with its disk.
set -e
say() {
    echo "disk: $*"
}

# The drivers are loaded; what they find takes a moment.
until [ -b /dev/vda ]; do sleep 1; done
say "sectors $(cat /sys/block/vda/size)"
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
say "known $(md5sum </mnt/known | cut -d' ' -f1)"

# From every processor, some of it with a flush behind each block.
i=0
while [ $i -lt 3 ]; do
    taskset -c $((i % $(nproc))) cp /bin/busybox /mnt/copy-$i
    i=$((i + 1))
done
i=0
while [ $i -lt 32 ]; do
    dd if=/bin/busybox of=/mnt/blocks bs=4k count=1 skip=$i seek=$i conv=notrunc,fsync 2>/dev/null
    i=$((i + 1))
done
echo "Plinth's guest wrote this" >/mnt/text
sync
umount /mnt

# Read again from the disk itself.
echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 -o ro /dev/vda /mnt
i=0
while [ $i -lt 3 ]; do
    taskset -c $(((i + 1) % $(nproc))) cmp /bin/busybox /mnt/copy-$i
    i=$((i + 1))
done
head -c 131072 /bin/busybox | cmp - /mnt/blocks
umount /mnt
say "what was written is there"
