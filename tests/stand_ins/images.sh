#!/usr/bin/env bash
# Makes the images that the installer's stand-in starts, in the engine of DOCKER_HOST: a busybox root, with the
# stand-ins' own static binary where something must answer. Nothing is fetched. An image that is there stays as it is,
# so that its id lasts; `--force` makes it anew.
#
#   images.sh [--force] [--binary PATH]
#
# BINARY is the built `stand-ins`; without it, the newest one below the workspace's target directory. Prints the tags.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
busybox=${BUSYBOX:-$(command -v busybox || true)}
version=2.38.6
force=
binary=

while [ $# -gt 0 ]; do
    case $1 in
        --force) force=1 ;;
        --binary) binary=${2:?--binary needs a path}; shift ;;
        *) echo "images.sh: unknown argument: $1" >&2; exit 2 ;;
    esac
    shift
done

if [ ! -x "$busybox" ]; then
    echo 'images.sh: no busybox; install the package busybox-static, or set BUSYBOX' >&2
    exit 1
fi

newest_binary() {
    local found newest=
    for found in "$here"/../../target/{,*/}{debug,release}/stand-ins; do
        if [ -x "$found" ] && { [ -z "$newest" ] || [ "$found" -nt "$newest" ]; }; then
            newest=$found
        fi
    done
    printf '%s' "$newest"
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

make_root() {
    local applet
    binary=${binary:-$(newest_binary)}
    if [ ! -x "$binary" ]; then
        echo 'images.sh: build the stand-ins first: cargo build -p stand-ins' >&2
        exit 1
    fi
    mkdir -p "$root"/{bin,etc,stand-in,tmp,usr/local/bin}
    cp "$busybox" "$root/bin/busybox"
    # Symbols are most of a debug build, and every start of a container reads them.
    strip -o "$root/bin/stand-ins" "$binary" 2>/dev/null || cp "$binary" "$root/bin/stand-ins"
    for applet in cat date echo env grep kill ls ps rm sh sleep tail; do
        ln -s busybox "$root/bin/$applet"
    done
    # shellcheck disable=SC2016 # "$@" is meant for the script that is written here.
    printf '#!/bin/sh\nexec /bin/stand-ins replicated ctl -- "$@"\n' >"$root/usr/local/bin/replicatedctl"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec /bin/stand-ins replicated cli -- "$@"\n' >"$root/usr/local/bin/replicated"
    chmod 0755 "$root/usr/local/bin/replicatedctl" "$root/usr/local/bin/replicated"
}

# image TAG COMMAND-AS-JSON
image() {
    if [ -n "$force" ] || ! docker image inspect "$1" >/dev/null 2>&1; then
        [ -e "$root/bin/busybox" ] || make_root
        tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -c . |
            docker import \
                --change "CMD $2" \
                --change 'ENV PATH=/usr/local/bin:/bin' \
                --change "LABEL stand-in=replicated-install" \
                - "$1" >/dev/null
    fi
    printf '%s\n' "$1"
}

# A release before `replicatedctl` has only the older command: the mode `old-release` takes the newer one away.
image "quay.io/replicated/replicated:stable-$version" \
    '["/bin/sh", "-c", "if grep -qsx old-release /stand-in/mode; then rm -f /usr/local/bin/replicatedctl; fi; exec sleep 2147483647"]'
image "quay.io/replicated/replicated-ui:stable-$version" '["/bin/sleep", "2147483647"]'
image "quay.io/replicated/replicated-operator:stable-$version" '["/bin/sh", "-c", "exec sleep 2147483647"]'
image circleci/frontend:2.18.3 '["/bin/stand-ins", "replicated", "frontend"]'
