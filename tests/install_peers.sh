#!/bin/sh
# Installs the Debian packages the tests talk to; silent when all are there, loud when one cannot be had.
set -eu
missing=""
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "tests need these Debian packages:$missing" >&2
    echo "remedy: run as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086  # a list of package names, split on purpose
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
