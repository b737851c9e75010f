# From rows to target/bench/exits.json.
function number(v) { return v == "-" ? "null" : v }
BEGIN { print "[" }
{
    printf "%s  {\"id\": \"%s\", \"plinth\": %s, \"kvm\": %s, \"kvm_mitigations_off\": %s, \"floor\": %s",
        (NR > 1 ? ",\n" : ""), $1, number($2), number($3), number($4), number($5)
    printf ", \"plinth_1000_devices\": %s, \"plinth_16_mib\": %s, \"plinth_4_gib\": %s, \"plinth_uncached\": %s", number($6), number($7), number($8), number($9)
    printf ", \"plinth_mitigations\": %s", number($10)
    # A batch of one operation came before.
    if ($1 == "batch1") single = $2
    if ($1 == "batch16") printf ", \"single\": %s", number(single)
    printf "}"
}
END { print "\n]" }
