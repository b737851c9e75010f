# shellcheck shell=bash
# A guest that means no good (vmm-user/tests-guest): it does its worst, says so, and triple-faults. Neither kernel nor VMM may mind.

. "$root/scripts/lib/hostile.sh"

# What each part of it says when it is through, with the number of CPUs.
hostile_parts=(
    '1:every MSR read and written'
    '1:every port read and written'
    '1:memory that is not there is not there'
    '1:every instruction on every place'
    '1:nothing that should not be executed was'
    '2:interrupts to others'
    '1:an IDT that is not there'
    '1:a stack that is not there'
    '1:page tables that are not there'
    '1:no firmware to reset to'
    '1:an interrupt, and a stack that is not there'
    [12]='1:page tables in absent memory have reserved bits set' # 11 is the test 37's
    '1:instructions that are not emulated'
    '1:one NMI after the other'
    '1:a step over HLT'
    '1:interrupts whatever the task priority was'
    '1:EFER, PAT and CR3'
    '1:debug exceptions'
)

# hostile_case PART CPUS WORDS
hostile_case() {
    local name=hostile-$1 end log=$tests/hostile-$1.log
    kernel=$hostile_dir/guest.bin initrd='' append=$1 image=$tests/hostile.igvm
    pack_image debian "$image"
    end=$(memory=256 boot_guest "$name" pvh "$2")
    [[ $end == triple-fault ]] || { trouble "$log" "ended with $end, not triple-fault" || true; }
    expect "$tests/$name.console" "hostile guest: $3"
    # Parts that can go on to the end say that nothing was wrong; the others end where they say.
    (($1 >= 6 && $1 <= 10)) || expect "$tests/$name.console" "hostile guest: done, as it should be"
    grep -qE "vmm: vCPU 0: (triple fault|an event cannot be delivered)" "$log"
    expect "$log" " rip "
    # The log of a guest's oddities is bounded: 256 a vCPU.
    (($(grep -acE 'vmm: vCPU [0-9]+: .* at 0x' "$log") <= 256 * $2))
    if grep -aiE 'panic|process vmm' "$log"; then return 1; fi
    [[ $end == triple-fault ]]
}

qemu_find
check hostile-build hostile_build
for part in "${!hostile_parts[@]}"; do
    IFS=: read -r cpus words <<<"${hostile_parts[part]}"
    check "hostile-$part" hostile_case "$part" "$cpus" "$words"
done
