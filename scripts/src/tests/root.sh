#!/bin/sh
# What the guest of scripts/src/tests/root.rs does, on Debian's disk: the first boot installs a package from
# the archive at that port of the host's, the second one finds it. With `again` in the port's place it counts
# its boots.
set -e
port=$1

echo "root: $(findmnt -n -o SOURCE,FSTYPE,OPTIONS / | tr -s ' ')"
echo "root: address $(ip -4 -o address show dev eth0 | awk '{ print $4 }')"
echo "root: router $(ip route show default | awk '{ print $3 }')"
echo "root: processors $(nproc)"
echo "root: clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
if [ "$port" = again ]; then
    boots=$(($(cat /var/tmp/boots 2>/dev/null || echo 0) + 1))
    echo "root: boot $boots"
    echo $boots >/var/tmp/boots
    # Each processor works, and writes.
    i=0
    while [ $i -lt "$(nproc)" ]; do
        taskset -c $i cp /usr/bin/dpkg "/var/tmp/copy-$i"
        cmp /usr/bin/dpkg "/var/tmp/copy-$i"
        i=$((i + 1))
    done
    exit
fi
if [ -e /var/tmp/kept ]; then
    echo "root: the second boot found $(md5sum </var/tmp/kept | cut -d' ' -f1)"
    # Taken from the list below it, so that not only the file is there but also what dpkg knows of it.
    dpkg-query --show plinth-hello
else
    # Debian's own archive is left out: no network beyond this machine is needed.
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    echo "deb [trusted=yes] http://10.0.2.2:$port ./" >/etc/apt/sources.list.d/test.list
    apt-get -q update
    echo "root: updated"
    apt-get -q install -y plinth-hello
    # Of the installed package's file, more than fits a page or a request.
    cat /usr/share/plinth-hello/data >/var/tmp/kept
fi
plinth-hello
