# shellcheck shell=bash
# Debian's kernels, unmodified, boot to user space under Plinth, run a command there and power off; with the time that takes.

boot_once() {
    local name=boot-$2-$3-$1
    check "$name" boot_case "$name" "$@"
    check "direct-$name" direct_case "direct-$name" "$2" "$3"
    measure "Linux $2, $3 CPUs, $1, QEMU $qemu_version: Plinth / direct" "$(boot_times "$name")"
}

# boot_times NAME: seconds from QEMU's start to the guest's first line and to its user space.
boot_times() {
    local file times=()
    for file in "$tests/$1.console" "$tests/direct-$1.console"; do
        times+=("$(seconds_to "$file" 'Linux version')" "$(seconds_to "$file" 'user space reached')")
    done
    printf 'first line %s / %s s, user space %s / %s s' "${times[0]:--}" "${times[2]:--}" "${times[1]:--}" "${times[3]:--}"
}

# image_size: KiB of an image without a guest in it.
image_size() {
    kernel='' initrd='' append='' pack_image debian "$tests/empty.igvm"
    echo $(($(stat -c %s "$tests/empty.igvm") / 1024))
}

# memory_kept NAME: what the log says of it.
memory_kept() {
    sed -n 's/.* \([0-9]* [KM]iB\) kept by Plinth.*/\1/p' "$tests/$1.log" | head -n 1
}

matrix_prepare
each_boot boot_once
measure "image without the guest's payload" "$(image_size) KiB (goal: under 4096)"
measure "memory Plinth keeps, 1 CPU" "$(memory_kept boot-6.1-1-pvh) (goal: 16 MiB at most)"
