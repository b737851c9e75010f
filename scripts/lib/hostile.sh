# shellcheck shell=bash
# The guest that means no good (vmm-user/tests-guest), for the tests that boot it.

hostile_dir=$target/hostile

hostile_build() {
    local source objects=()
    mkdir -p "$hostile_dir"
    # start.S is first: the entry is at the beginning.
    for source in "$root"/vmm-user/tests-guest/{start,registers,control,memory,ends,late}.S \
        "$root"/benches/guest/{setup,text}.S; do
        gcc -c -o "$hostile_dir/$(basename "$source" .S).o" "$source"
        objects+=("$hostile_dir/$(basename "$source" .S).o")
    done
    ld --no-warn-rwx-segments -n -T "$root/benches/guest/guest.ld" -o "$hostile_dir/guest.bin" "${objects[@]}"
}
