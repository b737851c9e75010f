# From rows to Markdown tables. The descriptions come first, as lines "id TEXT" of benches/report/rows.txt.
FNR == NR { id = $1; sub(/^[^ ]+ +/, ""); text[id] = $0; next }
FNR == 1 {
    print "| row | exit | Plinth | Plinth, mitigations | KVM, mitigations | KVM, without | Plinth / KVM with | without / without | with / with |"
    print "|---|---|---:|---:|---:|---:|---:|---:|---:|"
}
$1 ~ /^batch/ { batch[$1] = $2; next }
{
    printf "| %s | %s | %s | %s | %s | %s ", $1, text[$1], cell($2), cell($10), cell($3), cell($4)
    printf "| %s | %s | %s |\n", ratio($2, $3), ratio($2, $4), ratio($10, $3)
    floor_cost = $5
    if ($6 != "-") flat[++flats] = "| " $1 " | " cell($2) " | " cell($6) " | " cell($7) " | " cell($8) " | " cell($9) " |"
}
END {
    print "\nFloor (bare VMLOAD, VMRUN, VMSAVE, registers saved and restored, one compare): " cell(floor_cost) " instructions."
    if (flats) {
        print "\n| row | Plinth, 256 MiB | 1,000 more devices | 16 MiB of guest memory | 4 GiB | without caches |"
        print "|---|---:|---:|---:|---:|---:|"
        for (i = 1; i <= flats; i++) print flat[i]
    }
    if ("batch16" in batch) {
        print "\n| call | instructions an operation | of a single call |"
        print "|---|---:|---:|"
        for (i = 1; i <= 64; i *= 4)
            if (("batch" i) in batch) printf "| %s | %s | %s |\n", text["batch" i], cell(batch["batch" i]), ratio(batch["batch" i], batch["batch1"])
    }
}
function cell(v) { return v == "-" ? "" : sprintf("%.0f", v) }
function ratio(a, b) { return a == "-" || b == "-" || b == 0 ? "" : sprintf("%.3f", a / b) }
