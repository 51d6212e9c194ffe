#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh [--tests | --full]: installs what building and running needs, if it is missing; with --tests what the tests
# need too, with --full what their long forms do. With all there it changes nothing and needs no network and no rights.
set -eu

# One line per need; alternatives, best first, where Debian and Ubuntu call it differently.
needs='
gcc
libc6-dev
cmake
ninja-build
pkg-config|pkgconf
libuv1-dev
libmsgpack-c-dev|libmsgpack-dev
uthash-dev
libsqlite3-dev
libssl-dev
libcurl4-openssl-dev|libcurl4-gnutls-dev
libmicrohttpd-dev
python3
'
needs_tests='
g++
make
libcmocka-dev
sqlite3
openssl
strace
python3-hypothesis
python3-jsonschema
'
needs_full='
clang
libclang-rt-dev|libclang-rt-14-dev
clang-tidy
clang-format
gcovr
valgrind
systemd
siege
wrk
'
case ${1-} in
--tests) needs="$needs$needs_tests" ;;
--full) needs="$needs$needs_tests$needs_full" ;;
esac

say() { printf '%s\n' "$*" >&2; }

installed() {
    case $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) in
    *' installed') return 0 ;;
    *) return 1 ;;
    esac
}

# Succeeds if one of the alternatives $1 is installed.
satisfied() {
    for package in $(echo "$1" | tr '|' ' '); do
        if installed "$package"; then
            return 0
        fi
    done
    return 1
}

# Prints the first of the alternatives $1 that apt can install.
available() {
    for package in $(echo "$1" | tr '|' ' '); do
        case $(apt-cache policy "$package" 2>/dev/null) in
        *'Candidate: (none)'* | '') ;;
        *)
            echo "$package"
            return 0
            ;;
        esac
    done
    return 1
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say 'This script installs packages on Debian and Ubuntu only. What is needed, by their names there:'
    for need in $needs; do
        say "  $(echo "$need" | sed 's/|/ or /g')"
    done
    exit 2
fi

missing=
for need in $needs; do
    satisfied "$need" || missing="$missing $need"
done

# Of the package prometheus this program alone: installed, it would start a server.
promtool=build/tools/promtool
if [ "${1-}" != --full ] || command -v promtool >/dev/null || [ -x "$promtool" ]; then
    promtool=
fi
[ -n "$missing$promtool" ] || exit 0

say "Missing: $(echo "$missing${promtool:+ promtool}" | sed 's/^ //; s/ /, /g; s/|/ or /g')"
if [ "$(id -u)" -eq 0 ] || [ -z "$missing" ]; then
    as_root=
elif command -v sudo >/dev/null && sudo true; then
    as_root=sudo
else
    say 'Only root can install that, and sudo is missing or gives no rights. Let root run this once: '"tests/support/setup.sh ${1-}"
    exit 2
fi

apt() {
    # Another apt may be at work on a fresh machine: wait for its lock instead of failing.
    $as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -o DPkg::Lock::Timeout=300 -q "$@"
}

# The lock of the package lists is one for which apt itself doesn't wait.
update() {
    waited=0
    while ! said=$(apt update 2>&1); do
        case $said in
        *'Could not get lock'*) ;;
        *) waited=300 ;;
        esac
        if [ "$waited" -ge 300 ]; then
            say "$said"
            say 'apt-get update failed; going on with the package lists that are there'
            return
        fi
        [ "$waited" -gt 0 ] || say 'Another apt is at work: waiting for it'
        sleep 3
        waited=$((waited + 3))
    done
    say "$said"
}
[ -z "$missing" ] || update

packages=
for need in $missing; do
    if ! package=$(available "$need"); then
        say "apt knows no package $(echo "$need" | sed 's/|/ or /g') from its sources (is there a network? on Ubuntu, is universe among them?)"
        exit 2
    fi
    packages="$packages $package"
done
# shellcheck disable=SC2086 # one word per package
if [ -n "$packages" ] && ! apt install -y --no-install-recommends $packages >&2; then
    say "apt-get could not install:$packages"
    exit 2
fi

if [ -n "$promtool" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    if ! (cd "$folder" && apt-get -q download prometheus >&2 && dpkg -x prometheus_*.deb .); then
        say 'apt-get could not download prometheus'
        exit 2
    fi
    mkdir -p "${promtool%/*}"
    cp "$folder/usr/bin/promtool" "$promtool"
fi
