# planets.csv in, one page with a drawing out; no script and nothing from outside.

# Not every BusyBox has the functions of mathematics: Newton's root will do.
function root(n,    x, i) {
    x = n / 2
    for (i = 0; i < 30; i++) x = (x + n / x) / 2
    return x
}

BEGIN {
    FS = ","
    print "<!doctype html><html lang=en><meta charset=utf-8><title>Planets</title>"
    print "<style>body{background:#0b1020;color:#dde;font:16px sans-serif;margin:3em}"
    print "td,th{padding:.2em 1em;text-align:right}</style><h1>Planets</h1>"
    print "<svg viewBox='0 0 1000 160' width=100%><circle cx=-30 cy=80 r=80 fill='#ffd75e' />"
    x = 90
}
NR == 1 { next }
{
    r = 6 + root($2) / 8
    x += r + 12
    printf "<circle cx=%d cy=80 r=%.1f fill='%s'><title>%s</title></circle>\n", x, r, $6, $1
    x += r + 12
    rows = rows sprintf("<tr><th>%s<td>%d km<td>%.1f mio km<td>%d moons\n", $1, $2, $3, $4)
}
END {
    printf "</svg><table>%s</table>", rows
    printf "<p>What would you weigh there? <a href='/cgi-bin/weight?kg=70'>Try 70 kg</a>"
    printf "<footer>version %s, commit %s</footer>\n", version, commit
}
