#!/bin/sh
# What a body of ?kg=N weighs on each planet, as plain text.
kg=${QUERY_STRING#kg=}
case $kg in
'' | *[!0-9]*)
    printf 'Status: 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nask for ?kg=NUMBER\n'
    exit 0
    ;;
esac
printf 'Content-Type: text/plain\r\n\r\n'
awk -F, -v kg="$kg" 'NR > 1 { printf "%-9s %6.1f kg\n", $1, kg * $5 / 9.8 }' /site/planets.csv
