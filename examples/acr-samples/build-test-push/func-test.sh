#!/bin/sh
# The service may have been started a moment ago: ask until it answers.
tries=0
until page=$(timeout 2 wget -q -O - "$TEST_TARGET_URL") || [ $((tries += 1)) -ge 50 ]; do
    usleep 100000
done
echo "answer: $page"
test "$page" = "Hello from the greeter"
