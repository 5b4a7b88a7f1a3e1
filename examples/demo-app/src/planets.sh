#!/bin/sh
# The image's only program: `serve` (the page) or `show` (the table).
case ${1:-serve} in
serve)
    echo "serving /site on port 8080"
    exec httpd -f -p 8080 -h /site
    ;;
show) cat /site/table.txt ;;
*)
    echo "planets: unknown command '$1' (serve, show)" >&2
    exit 2
    ;;
esac
