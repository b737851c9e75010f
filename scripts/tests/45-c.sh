# shellcheck shell=bash
# A process written in C: compiled with the header made from the ABI, linked with the user runtime.

c_flags=(-std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-pie -fno-strict-aliasing
    -fno-asynchronous-unwind-tables -fcf-protection=none -mno-red-zone -mgeneral-regs-only)

c_build() {
    local release=$target/$bare/release
    (cd "$root" && cargo build --quiet --release --target "$bare" -p plinth-c-runtime)
    gcc "${c_flags[@]}" -I "$root/vcpu-abi/include" -I "$root/vmm-user/c-runtime" -c -o "$release/c-test.o" "$root/vmm-user/c-test/main.c"
    ld -static --gc-sections -z max-page-size=4096 -T "$root/vmm-user/user.ld" -o "$release/c-test" "$release/c-test.o" "$release/libplinth_c.a"
}

c_case() {
    local end
    kernel='' initrd='' append='' image=$tests/c-test.igvm
    pack_bare c-test "$image"
    end=$(memory=256 boot_guest c-process pvh 1)
    grep -aE 'c-test: |panic' "$tests/c-process.log" || true
    [[ $end == tests-passed ]] || { trouble "$tests/c-process.log" "ended with $end, not tests-passed"; return 1; }
    expect "$tests/c-process.log" "a line from C"
    expect "$tests/c-process.log" "C: 0 failures"
}

qemu_find
check c-build c_build
check c-process c_case
