#!/bin/sh
tries=0
until page=$(timeout 6 wget -q -O - "$1") || [ $((tries += 1)) -ge 20 ]; do usleep 100000; done
echo "$page"
test "$page" = "in stock: 42 apples"
