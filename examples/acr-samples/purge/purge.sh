#!/bin/sh
# Say what a purge would delete: of each line "repository tag days", the old
# ones that a filter "repository:regular expression" matches.
[ "$1" = purge ] || { echo "usage: purge --filter REPOSITORY:REGEX --ago DAYS [--untagged]" >&2; exit 64; }
shift
filters=
ago=0
untagged=no
while [ $# -gt 0 ]; do
    case $1 in
    --filter) filters="$filters$2
"; shift ;;
    --ago) ago=$2; shift ;;
    --untagged) untagged=yes ;;
    *) echo "purge: what is $1?" >&2; exit 64 ;;
    esac
    shift
done

while read -r repository tag days; do
    [ "$days" -gt "$ago" ] || continue
    if [ "$tag" = - ]; then
        [ "$untagged" = no ] || echo "would delete $repository (untagged, $days days)"
        continue
    fi
    printf '%s' "$filters" | while IFS=: read -r name expression; do
        [ "$name" = "$repository" ] || continue
        echo "$tag" | grep -Eq "$expression" && echo "would delete $repository:$tag ($days days)"
    done
done < /usr/share/purge/tags.txt
exit 0
