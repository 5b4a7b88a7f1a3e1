#!/bin/sh
# leak.sh FILE SEED: print the file's text in many encodings, in pieces of one
# to five bytes, each a write of its own, cut where the seed says.
secret=$(cat "$1")

url() {
    printf '%s' "$1" | od -An -v -tx1 | tr -s ' ' '\n' | while read -r byte; do
        case $byte in
        '') ;;
        3[0-9] | 4[1-9a-f] | 5[0-9a] | 5f | 6[1-9a-f] | 7[0-9a] | 2d | 2e | 7e) printf "\\x$byte" ;;
        *) printf '%%%s' "$(echo "$byte" | tr a-f A-F)" ;;
        esac
    done
}

hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }

encodings() {
    echo "plain [$secret]"
    echo "base64 [$(printf '%s' "$secret" | base64 | tr -d '\n')]"
    echo "base64 [$(printf 'a%s.' "$secret" | base64 | tr -d '\n')]"
    echo "base64 [$(printf 'ab%s.' "$secret" | base64 | tr -d '\n')]"
    echo "hex [$(hex "$secret")]"
    echo "HEX [$(hex "$secret" | tr a-f A-F)]"
    echo "url [$(url "$secret")]"
}

encodings | awk -v seed="$2" '
    BEGIN { srand(seed) }
    { text = text $0 "\n" }
    END {
        while (length(text)) {
            size = 1 + int(rand() * 5)
            printf "%s", substr(text, 1, size)
            fflush()
            text = substr(text, size + 1)
            # Without a pause the pipe may join the pieces again.
            if (rand() < 0.1) system("usleep 1500")
        }
    }'
