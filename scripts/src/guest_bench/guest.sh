#!/bin/sh
# What the guest of scripts/src/guest_bench.rs does, on Debian's disk: its argument is the port of the host's
# iperf3. Each result is a line `bench: NAME NUMBER`.
set -e
port=$1
cd /var/tmp

# disk NAME FIELD OPTION...: by fio past the guest's own cache, for some seconds behind the first ones. FIELD
# is the number in fio's terse output (version 3): 7 and 48 are KiB a second, 8 and 49 operations a second.
disk() {
    name=$1 field=$2
    shift 2
    echo "bench: $name $(fio --minimal --name=it --filename=part --size=128m --direct=1 --ioengine=libaio \
        --time_based --ramp_time=1 --runtime=6 "$@" | cut -d';' -f"$field")"
}
disk write 48 --rw=write --bs=1m --iodepth=4
disk read 7 --rw=read --bs=1m --iodepth=4
disk random-write 49 --rw=randwrite --bs=4k --iodepth=8
disk random-read 8 --rw=randread --bs=4k --iodepth=8
rm part

# network NAME OPTION...: KiB a second that arrive.
network() {
    name=$1
    shift
    echo "bench: $name $(iperf3 -c 10.0.2.2 -p "$port" -t 6 -O 1 -f K "$@" | awk '/receiver/ { print $7 }')"
}
network send
network receive -R

# A small project: forty files, none of which is like another.
mkdir project
cd project
file=0
while [ $file -lt 40 ]; do
    awk -v file=$file 'BEGIN {
        print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
        for (i = 0; i < 20; i++) {
            printf "int f%d_%d(int n, const char *text)\n{\n    int sum = %d;\n", file, i, file * i
            print "    char copy[64];\n    snprintf(copy, sizeof copy, \"%s %d\", text, n);"
            print "    for (int j = 0; j < n; j++)"
            printf "        sum += copy[(j * %d) %% 63] ^ (j << %d);\n", i + 3, i % 7
            print "    return strlen(copy) > 9 ? sum : abs(sum) % 1000;\n}"
        }
    }' >"part$file.c"
    file=$((file + 1))
done
echo "bench: compile begins"
for source in part*.c; do gcc -O2 -Wall -c "$source"; done
echo "bench: compile ends"
