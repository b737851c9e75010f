# shellcheck shell=bash
# The kernel's ABI under abuse: an image whose only process tries everything, with one CPU and with two.

# abi_case NAME CPUS [OPTION...]: the options are pack_bare's.
abi_case() {
    local name=$1 end
    kernel='' initrd='' append='' image=$tests/abi-test.igvm
    pack_bare abi-test "$image" "${@:3}"
    end=$(memory=256 boot_guest "$name" pvh "$2")
    # The children's faults are many; the suite's own words are few.
    grep -aE 'abi-test: (abi-test|FAILED)|panic' "$tests/$name.log" || true
    [[ $end == tests-passed ]] || { trouble "$tests/$name.log" "ended with $end, not tests-passed"; return 1; }
    expect "$tests/$name.log" "0 failures, $2 cpus"
    if grep -aq 'kernel panic' "$tests/$name.log"; then return 1; fi
}

qemu_find
for smp in 1 2; do check "abi-$smp" abi_case "abi-$smp" "$smp"; done
check abi-long-way abi_case abi-long-way 1 --set shortcuts=false --set mitigations=false
