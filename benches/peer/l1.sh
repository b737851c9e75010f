#!/bin/sh
# In the L1 Linux: loads KVM and runs the peer.
cd /bench || exit 1
for module in irqbypass kvm kvm-amd; do
    if [ -e modules/$module.ko ]; then insmod modules/$module.ko || exit 1; fi
done
./peer guest.bin "$1" "$2"
