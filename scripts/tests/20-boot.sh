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

# image_size GUEST: KiB of the image that are not the guest's kernel and initramfs.
image_size() {
    [[ -e $tests/$1.igvm ]] || return 0
    echo $((($(stat -c %s "$tests/$1.igvm") - $(stat -c %s "$(fetch_kernel "$1")") - $(stat -c %s "$initrd")) / 1024))
}

matrix_prepare
each_boot boot_once
measure "image without the guest's payload" "$(image_size 6.1) KiB (goal: under 4096)"
measure "memory Plinth keeps, 1 CPU" "$(sed -n 's/.*memory kept: *//p' "$tests/boot-6.1-1-pvh.log" 2>/dev/null | head -n 1) (goal: 16 MiB at most)"
