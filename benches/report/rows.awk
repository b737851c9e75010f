# From guests' output to rows: reads "SIDE ROW id ticks iterations" lines, prints "id plinth kvm kvm_mitigations_off floor
# plinth_devices plinth_small plinth_large plinth_uncached plinth_guarded", instructions an iteration, the median of the rounds, "-" where a side
# has no such row. The order is that of the first lines. A batch's rows are of one operation.

$2 == "ROW" {
    if (!($3 in seen)) { seen[$3] = 1; order[++count] = $3 }
    n = ++rounds[$1, $3]
    value[$1, $3, n] = $4 / $5
}

function median(side, id,    n, i, j, v, list) {
    n = rounds[side, id]
    if (!n) return "-"
    for (i = 1; i <= n; i++) {
        v = value[side, id, i]
        for (j = i - 1; j >= 1 && list[j] > v; j--) list[j + 1] = list[j]
        list[j + 1] = v
    }
    return list[int((n + 1) / 2)]
}

# The timer's rows wait one period and two: what is left of twice the first less the second is cost.
function timer(side,    one, two) {
    one = median(side, "hltt1"); two = median(side, "hltt2")
    return one == "-" || two == "-" ? "-" : 2 * one - two
}

function shown(v) { return v == "-" ? "-" : sprintf("%.2f", v) }

function line(id, cost) {
    printf "%s %s %s %s %s", id, cost["plinth"], cost["kvm"], cost["kvm_off"], shown(median("floor", "floor"))
    printf " %s %s %s %s", cost["plinth_devices"], cost["plinth_small"], cost["plinth_large"], cost["plinth_uncached"]
    printf " %s\n", cost["plinth_guarded"]
}

BEGIN { split("plinth kvm kvm_off plinth_devices plinth_small plinth_large plinth_uncached plinth_guarded", sides) }
END {
    for (i = 1; i <= count; i++) {
        id = order[i]
        if (id ~ /^(hltt[12]|floor)$/) continue
        for (s in sides) cost[sides[s]] = shown(median(id ~ /^batch/ && sides[s] == "plinth" ? "batch" : sides[s], id))
        line(id, cost)
    }
    for (s in sides) cost[sides[s]] = shown(timer(sides[s]))
    if ("hltt1" in seen) line("hlttimer", cost)
}
