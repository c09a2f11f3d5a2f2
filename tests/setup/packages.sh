#!/usr/bin/env bash
# Installs the Debian packages of the test parts, those that are missing and no others.
#   packages.sh            what the tests need
#   packages.sh machine    also what builds and boots a whole machine (systemd, cloud-init, Packer)
# Nothing that a package brings is started, now or at the next boot of this machine.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

tests=(awscli busybox-static ca-certificates curl docker-registry docker.io hyperfine iproute2 jq openssl
    pgbouncer postgresql procps python3-venv shellcheck systemd util-linux)
machine=(mmdebstrap packer systemd-container)

wanted=("${tests[@]}")
if [[ ${1-} == machine ]]; then
    wanted+=("${machine[@]}")
fi

missing=()
for package in "${wanted[@]}"; do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
        missing+=("$package")
    fi
done
if ((${#missing[@]} == 0)); then
    exit 0
fi
((EUID == 0)) || die "packages are missing (${missing[*]}) and only root can install them"

policy=/usr/sbin/policy-rc.d
policy_before=$parts/policy-rc.d.before
mark='# put here by the test set-up, for the time of one apt-get'
no_cluster=/etc/postgresql-common/createcluster.d/boot-agent-tests.conf

restore() {
    rm -f "$no_cluster"
    if grep -qsF "$mark" "$policy"; then
        rm -f "$policy"
    fi
    if [[ -e $policy_before ]]; then
        mv -f "$policy_before" "$policy"
    fi
}
# A signal waits until apt-get is done: a package system cut in half would be worse than a late end.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap restore EXIT
# An earlier run that was killed outright could not do this itself.
restore

if [[ -e $policy ]]; then
    cp -a "$policy" "$policy_before"
fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy.new"
chmod 755 "$policy.new"
mv -f "$policy.new" "$policy"
mkdir -p "${no_cluster%/*}"
printf 'create_main_cluster = false\n' >"$no_cluster"

export DEBIAN_FRONTEND=noninteractive
apt=(setsid apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
# One unreachable foreign source must not stop the run: whether the packages are there is what counts.
again 3 "${apt[@]}" update || say "the package lists could not all be renewed; going on with those that are there"
again 3 "${apt[@]}" install --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
say "installed ${missing[*]}"
