#!/bin/sh
# Ask a running service what a user would ask, and say what is right and wrong.
site=$1
failed=0

check() { # what, expected, found
    case $3 in
    *"$2"*) echo "ok      $1" ;;
    *)
        echo "WRONG   $1: no '$2' in: $3"
        failed=1
        ;;
    esac
}

# A detached step is started, not necessarily ready.
tries=0
until wget -q -T 2 -O /dev/null "$site/" || [ $((tries += 1)) -ge 50 ]; do usleep 100000; done

page=$(wget -q -T 5 -O - "$site/")
check "the page has a title" "<h1>Planets</h1>" "$page"
check "the page draws Saturn" "<title>Saturn</title>" "$page"
check "the page names its version" "version 1.0.0" "$page"
check "the table counts the planets" "8 planets" "$(wget -q -T 5 -O - "$site/table.txt")"
check "70 kg weigh 165.0 kg on Jupiter" "Jupiter    165.0 kg" "$(wget -q -T 5 -O - "$site/cgi-bin/weight?kg=70")"
check "a weight that is no number is refused" "400 Bad Request" "$(wget -T 5 -O - "$site/cgi-bin/weight?kg=x" 2>&1)"
check "what is not there is not found" "404 Not Found" "$(wget -T 5 -O - "$site/pluto" 2>&1)"
exit $failed
