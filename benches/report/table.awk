# From rows to a Markdown table. The descriptions come first, as lines "id TEXT" of benches/report/rows.txt.
FNR == NR { id = $1; sub(/^[^ ]+ +/, ""); text[id] = $0; next }
FNR == 1 {
    print "| row | exit | Plinth | KVM, mitigations on | off | Plinth / KVM |"
    print "|---|---|---:|---:|---:|---:|"
}
{
    ratio = $2 == "-" || $3 == "-" || $3 == 0 ? "" : sprintf("%.3f", $2 / $3)
    printf "| %s | %s | %s | %s | %s | %s |\n", $1, text[$1], cell($2), cell($3), cell($4), ratio
    floor_cost = $5
}
END { print "\nFloor (bare VMLOAD, VMRUN, VMSAVE, registers saved and restored, one compare): " cell(floor_cost) " instructions." }
function cell(v) { return v == "-" ? "" : sprintf("%.0f", v) }
