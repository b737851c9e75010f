#!/bin/busybox sh
# shellcheck shell=dash
# What the guest of scripts/src/tests/network.rs does.
set -e
say() {
    echo "network: $*"
}

# Where the test's servers listen, and how often the file goes there and back.
words=$(sed -n 's/.*plinth\.network=\([^ ]*\).*/\1/p' /proc/cmdline)
fetch=$(echo "$words" | cut -d, -f1)
store=$(echo "$words" | cut -d, -f2)
rounds=$(echo "$words" | cut -d, -f3)

# The drivers are loaded; what they find takes a moment.
until [ -e /sys/class/net/eth0/address ]; do sleep 0.1; done
ifconfig eth0 up
say "driver $(basename "$(readlink /sys/class/net/eth0/device/driver)")"
# What driver and device have agreed on, a character a feature from 0 on; nothing of the kind for others.
features=/sys/class/net/eth0/device/features
[ ! -e $features ] || say "features $(cut -c1-24 $features)"
say "queues $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
say "address $(cat /sys/class/net/eth0/address)"
until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done

# As often as it takes: what is on its way while the driver is started again is lost.
cat >/tmp/lease <<'EOF'
#!/bin/busybox sh
if [ "$1" = bound ]; then
    ifconfig "$interface" "$ip" netmask "$subnet"
    route add default gw "$router"
    echo "network: lease $ip $subnet $router"
fi
EOF
chmod +x /tmp/lease
udhcpc -i eth0 -n -q -t 100 -T 1 -s /tmp/lease 2>/dev/null >/tmp/dhcp || cat /tmp/dhcp
grep lease /tmp/dhcp

i=0
while [ $i -lt "$rounds" ]; do
    nc 10.0.2.2 "$fetch" </dev/null >/tmp/file
    say "fetched $(md5sum </tmp/file | cut -d' ' -f1)"
    say "stored $(nc 10.0.2.2 "$store" </tmp/file)"
    i=$((i + 1))
done
say "processors $(nproc)"
say "carrier changes $(cat /sys/class/net/eth0/carrier_changes)"
