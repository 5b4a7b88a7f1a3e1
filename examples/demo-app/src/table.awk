# planets.csv in, a table for the terminal out; the bars grow with the diameter.
BEGIN { FS = "," }
NR == 1 { next }
NR == 2 {
    printf "%-9s %11s %14s %6s  %s\n", "planet", "diameter", "from the sun", "moons", "size"
}
{
    bar = ""
    for (i = 0; i < $2 / 4500; i++) bar = bar "#"
    printf "%-9s %8d km %8.1f mio km %4d  %s\n", $1, $2, $3, $4, bar
    moons += $4
}
END { printf "%d planets, %d moons\n", NR - 1, moons }
