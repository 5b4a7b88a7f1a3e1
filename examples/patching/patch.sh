#!/bin/sh
# Bring the packages of the image up to date, with the package manager it has.
set -eu
if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get -y --no-install-recommends upgrade
    rm -rf /var/lib/apt/lists/*
elif command -v apk >/dev/null; then
    apk upgrade --no-cache
elif command -v microdnf >/dev/null; then
    microdnf -y upgrade && microdnf clean all
elif command -v dnf >/dev/null; then
    dnf -y upgrade && dnf clean all
else
    echo "this image has no packages: all of it is its base"
fi
echo "$1" > /etc/patched
