#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/nvme.rs does with its disk.
set -e
disk=/dev/nvme0n1
queue=/sys/block/nvme0n1/queue
say() {
    echo "nvme: $*"
}

until [ -b $disk ]; do sleep 1; done
say "disk $(($(cat /sys/block/nvme0n1/size) * 512))" \
    "$(cat /sys/class/nvme/nvme0/serial) $(cat /sys/class/nvme/nvme0/model)"
mkdir -p /mnt
cd /tmp

if grep -q plinth.second /proc/cmdline; then
    mount -t ext4 -o ro $disk /mnt
    cmp /bin/busybox /mnt/file
    umount /mnt
    say "what the first boot has written is there"
    exit
fi

say "transfers of $(cat $queue/max_hw_sectors_kb) KiB, $(cat $queue/write_cache)"
say "interrupts $(grep -c 'MSI.*nvme0q' /proc/interrupts) $(grep -c 'IO-APIC.*nvme0q' /proc/interrupts)"

# Blocks, pages, transfers that end in the middle of a page, and ones that take several commands.
for bytes in 512 4096 6144 65536 1048576; do
    head -c $bytes /bin/busybox >part
    taskset -c 0 dd if=part of=$disk bs=$bytes seek=1 count=1 oflag=direct 2>/dev/null
    taskset -c $(($(nproc) - 1)) dd if=$disk of=again bs=$bytes skip=1 count=1 iflag=direct 2>/dev/null
    cmp part again
done
say "written and read again"

dd if=/dev/zero of=$disk bs=4k count=2 oflag=direct 2>/dev/null
dd if=/bin/busybox of=$disk bs=4k count=64 conv=fsync 2>/dev/null
say "flushed"

blkdiscard $disk
say "discarded, at most $(cat $queue/discard_max_bytes)"

mke2fs $disk >/dev/null 2>&1
mount -t ext4 $disk /mnt
cp /bin/busybox /mnt/file
cp /bin/busybox /mnt/other
sync
rm /mnt/other
fstrim /mnt
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 -o ro $disk /mnt
cmp /bin/busybox /mnt/file
umount /mnt
say "file system holds"
