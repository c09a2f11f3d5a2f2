#!/usr/bin/env bash
# A Debian root that boots as a machine: systemd, cloud-init, and what a services box of today has (awscli for the old way).
# Every test machine begins as a copy of it: see tests/machine.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

root=$parts/machine-root
packages=awscli,ca-certificates,cloud-init,curl,dbus,iproute2,procps,systemd-sysv
stamp="bookworm $packages"

if [[ $(cat "$root/.made-of" 2>/dev/null) == "$stamp" ]]; then
    exit 0
fi
((EUID == 0)) || die "only root can make the root of a machine"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: tests/setup/packages.sh machine"
rm -rf "$root" "$root.new"
# shellcheck disable=SC2016 # "$1" is mmdebstrap's to fill in.
again 3 mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --skip=cleanup/apt/lists \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    bookworm "$root.new" http://deb.debian.org/debian || die "mmdebstrap could not make the root of a machine"
printf '%s\n' "$stamp" >"$root.new/.made-of"
mv "$root.new" "$root"
