#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/virtio.rs does.
set -e
# The drivers are loaded; what they find takes a moment.
sleep 1
say() {
    echo "virtio: $*"
}

# The bus, by what the kernel has read: functions, and the place of the disk's BAR.
functions=
for function in /sys/bus/pci/devices/*; do
    functions="$functions $(sed s/0x// "$function/vendor"):$(sed s/0x// "$function/device")"
done
say "functions$functions"
disk=$(readlink -f /sys/block/vda/device/..)
say "bar $(head -n 1 "$disk/resource")"

say "disk $(($(cat /sys/block/vda/size) * 512)) $(cat /sys/block/vda/serial)"
say "packed $(cut -c35 /sys/block/vda/device/features)"
say "contents $(md5sum </dev/vda | cut -d' ' -f1)"

# Each part written is read again from the disk itself, from every processor.
cd /tmp
dd if=/bin/busybox of=part bs=64k count=16 2>/dev/null
i=0
while [ $i -lt 7 ]; do
    taskset -c $((i % $(nproc))) dd if=part of=/dev/vda bs=1M seek=$i conv=fsync 2>/dev/null
    i=$((i + 1))
done
echo 3 >/proc/sys/vm/drop_caches
expected=$(md5sum <part)
i=0
while [ $i -lt 7 ]; do
    read=$(taskset -c $(((i + 1) % $(nproc))) dd if=/dev/vda bs=1M skip=$i count=1 2>/dev/null | md5sum)
    [ "$read" = "$expected" ] || say "part $i is not what was written"
    i=$((i + 1))
done
dd if=part of=/dev/vda bs=4k seek=5 count=3 oflag=direct 2>/dev/null
dd if=/dev/vda of=again bs=4k skip=5 count=3 iflag=direct 2>/dev/null
head -c 12288 part | cmp - again
say "written and read again"

blkdiscard -o 0 -l 1048576 /dev/vda
say "discarded, at most $(cat /sys/block/vda/queue/discard_max_bytes)" \
    "of $(cat /sys/block/vda/queue/write_zeroes_max_bytes)"

mke2fs /dev/vda >/dev/null 2>&1
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
cp /bin/busybox /mnt/file
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 -o ro /dev/vda /mnt
cmp /bin/busybox /mnt/file
umount /mnt
say "file system holds"

random=$(head -c 4096 /dev/hwrng | gzip | wc -c)
[ "$random" -ge 4096 ] || say "random bytes that are not: $random"
say "entropy $(cut -d. -f1 /sys/class/misc/hw_random/rng_current)"

# With the last one that has it open, what was set is gone: an echo of an echo would never end.
exec 3<>/dev/hvc0
stty raw -echo <&3
echo "plinth to itself" >&3
read -r line <&3
[ "$line" = "plinth to itself" ] && say "console sends back"

ifconfig eth0 10.0.2.15 up
ping -c 5 -i 0.2 10.0.2.2 | sed -n 's/^\(.*packets received\).*/virtio: \1/p'

say "messages of the disk $(grep -c 'PCI-MSI.*virtio0-' /proc/interrupts)"
grep virtio /proc/interrupts
