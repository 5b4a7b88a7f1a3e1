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

# `timeout` and not `wget -T`: that one crashes in a static BusyBox.
# A detached step is started, not necessarily ready.
tries=0
until timeout 2 wget -q -O /dev/null "$site/" || [ $((tries += 1)) -ge 50 ]; do usleep 100000; done

page=$(timeout 5 wget -q -O - "$site/")
check "the page has a title" "<h1>Planets</h1>" "$page"
check "the page draws Saturn" "<title>Saturn</title>" "$page"
check "the page names its version" "version 1.0.0" "$page"
check "the table counts the planets" "8 planets" "$(timeout 5 wget -q -O - "$site/table.txt")"
check "70 kg weigh 165.0 kg on Jupiter" "Jupiter    165.0 kg" "$(timeout 5 wget -q -O - "$site/cgi-bin/weight?kg=70")"
check "a weight that is no number is refused" "400 Bad Request" "$(timeout 5 wget -O - "$site/cgi-bin/weight?kg=x" 2>&1)"
check "what is not there is not found" "404 Not Found" "$(timeout 5 wget -O - "$site/pluto" 2>&1)"
exit $failed
