#!/usr/bin/env bash
# Roots that boot as machines: systemd and cloud-init, of Debian 12 and of Ubuntu 24.04, and on the first what a services box
# of today has (awscli for the old way). Every test machine begins as a copy of one: see tests/machine.
# Where no mirror of Ubuntu can be reached, its root is a file SKIPPED that says so; the tests then say it too.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=ca-certificates,cloud-init,curl,dbus,iproute2,procps,systemd-sysv
ubuntu=http://archive.ubuntu.com/ubuntu
# Ubuntu's keys, which Debian does not have in each of its mirrors.
keyring=pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb
keyring_sha256=36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8

# root NAME STAMP MMDEBSTRAP-ARGUMENT…: makes the root NAME, unless there is one with this stamp.
root() {
    local root=$parts/$1 stamp=$2
    shift 2
    if [[ $(cat "$root/.made-of" 2>/dev/null) == "$stamp" ]]; then
        return 0
    fi
    ((EUID == 0)) || die "only root can make the root of a machine"
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: tests/setup/packages.sh machine"
    rm -rf "$root" "$root.new"
    # shellcheck disable=SC2016 # "$1" is mmdebstrap's to fill in.
    again 3 mmdebstrap --quiet --mode=root --variant=minbase \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --skip=cleanup/apt/lists \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' "$@" || return 1
    printf '%s\n' "$stamp" >"$root.new/.made-of"
    mv "$root.new" "$root"
}

debian() {
    root machine-root "bookworm awscli,$packages" --include="awscli,$packages" \
        bookworm "$parts/machine-root.new" http://deb.debian.org/debian
}

ubuntu() {
    local keys=$parts/ubuntu-keyring
    if [[ ! -d $keys ]]; then
        /usr/lib/apt/apt-helper download-file "$ubuntu/$keyring" "$parts/ubuntu-keyring.deb" "SHA256:$keyring_sha256" || return 1
        dpkg-deb --extract "$parts/ubuntu-keyring.deb" "$keys.new" && mv "$keys.new" "$keys" || return 1
    fi
    root machine-root-ubuntu "noble $packages" --include="$packages" \
        --keyring="$keys/usr/share/keyrings/ubuntu-archive-keyring.gpg" noble "$parts/machine-root-ubuntu.new" \
        "deb $ubuntu noble main universe" "deb $ubuntu noble-updates main universe"
}

debian || die "mmdebstrap could not make the root of a machine"
if ! ubuntu; then
    rm -rf "$parts/machine-root-ubuntu" "$parts/machine-root-ubuntu.new"
    mkdir "$parts/machine-root-ubuntu"
    printf 'no root of Ubuntu could be made from %s\n' "$ubuntu" >"$parts/machine-root-ubuntu/SKIPPED"
    say "SKIPPED: machines of Ubuntu: no root could be made from $ubuntu"
fi
