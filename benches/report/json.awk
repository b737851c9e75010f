# From rows to target/bench/exits.json.
function number(v) { return v == "-" ? "null" : v }
BEGIN { print "[" }
{
    printf "%s  {\"id\": \"%s\", \"plinth\": %s, \"kvm\": %s, \"kvm_mitigations_off\": %s, \"floor\": %s}",
        (NR > 1 ? ",\n" : ""), $1, number($2), number($3), number($4), number($5)
}
END { print "\n]" }
