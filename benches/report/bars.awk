# From rows to a picture: for each row a bar for KVM and one for Plinth, and a mark at a tenth of KVM's.
# Rows that exit nowhere (nop, nop8, rdtsc) are left out.
$1 !~ /^(nop|nop8|rdtsc|batch.*)$/ && $3 != "-" { id[++n] = $1; plinth[n] = $2; kvm[n] = $3; if ($3 > most) most = $3 }

# The number stands right of the bar and of the mark.
function bar(y, v, mark, colour,    width, right) {
    if (v == "-") return
    width = v / most * 560
    right = width > mark ? width : mark
    printf "<rect x=\"90\" y=\"%d\" width=\"%.1f\" height=\"9\" fill=\"%s\"/>", y, width, colour
    printf "<text x=\"%.1f\" y=\"%d\" font-size=\"9\">%d</text>\n", 94 + right, y + 8, v
}

END {
    height = 50 + n * 26
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", height
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    print "<text x=\"10\" y=\"18\" font-size=\"13\">Instructions an exit: <tspan fill=\"#9aa5b1\">KVM</tspan>, <tspan fill=\"#c2410c\">Plinth</tspan>; the line is a tenth of KVM's</text>"
    for (i = 1; i <= n; i++) {
        y = 14 + i * 26
        mark = kvm[i] / most * 56
        printf "<text x=\"84\" y=\"%d\" text-anchor=\"end\">%s</text>", y + 11, id[i]
        bar(y, kvm[i], mark, "#9aa5b1")
        bar(y + 10, plinth[i], mark, "#c2410c")
        printf "<path d=\"M%.1f %dv21\" stroke=\"#1f2933\"/>\n", 90 + mark, y - 1
    }
    print "</svg>"
}
