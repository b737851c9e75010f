# shellcheck shell=bash
# In a boot, every CPUID, MSR, port and MMIO exit was handled by the VMM process: the kernel's own part of the exit table lists what is
# the host's, and nothing else.

# who_handles LOG: checks the table: reason (one or two words), count, "vmm" or "kernel", what was touched.
who_handles() {
    exit_table "$1" | sed 's/^\[[^]]*\] *cpu[0-9]* *[A-Z]* *vmm: //' | awk '
        $1 == "reason" { next }
        $2 == "by" || NF < 3 { next }
        {
            by = ""
            for (i = 2; i <= NF && by == ""; i++) if (($i == "vmm" || $i == "kernel") && $(i - 1) ~ /^[0-9]+$/) { by = $i; at = i - 1 }
            if (by == "") { print "a row of no known form: " $0; bad = 1; next }
            name = $1
            for (i = 2; i < at; i++) name = name " " $i
            count[name] = $at
            who[name] = by
            if (by == "kernel" && name != "host interrupt" && name != "host nmi") { print "the kernel handled " name; bad = 1 }
        }
        END {
            split("cpuid rdmsr wrmsr port memory", needed, " ")
            for (i in needed) {
                name = needed[i]
                if (who[name] != "vmm" || count[name] == 0) { print name " exits: " count[name] " by " who[name]; bad = 1 }
                else print name ": " count[name] " by the VMM"
            }
            if (who["host interrupt"] != "kernel" || count["host interrupt"] == 0) { print "no host interrupts"; bad = 1 }
            else print "host interrupt: " count["host interrupt"] " by the kernel"
            exit bad
        }'
}

who_handles_case() {
    local end
    kernel=$(fetch_kernel 6.1) initrd=$work/initrd.gz append='console=ttyS0 quiet plinth.test=true' image=$tests/who.igvm
    make_initramfs "$initrd"
    pack_image debian "$image"
    end=$(boot_guest who-handles pvh 2)
    echo "ended with $end"
    who_handles "$tests/who-handles.log"
    [[ $end == poweroff ]]
}

qemu_find
check who-handles who_handles_case
