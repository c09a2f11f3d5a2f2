#!/usr/bin/env bash
# A PostgreSQL cluster as initdb leaves it, which every test server begins as a copy of: making one takes a second.
# The superuser postgres has the password superuser-password.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ $(cat "$parts/postgres-cluster/PG_VERSION" 2>/dev/null) == 15 ]]; then
    exit 0
fi
((EUID == 0)) || die "only root can become the user postgres, as whom alone initdb runs"
# Not below this project, whose directories the user postgres may not be able to enter.
work=$(mktemp -d /tmp/boot-agent-initdb.XXXXXX)
trap 'rm -rf "$work"' EXIT
printf 'superuser-password\n' >"$work/password"
chown -R postgres: "$work"
cd "$work"
output=$(setpriv --reuid postgres --regid postgres --clear-groups /usr/lib/postgresql/15/bin/initdb --username=postgres \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync --pwfile=password --pgdata=data 2>&1) ||
    die "initdb: $output"
rm -rf "$parts/postgres-cluster" "$parts/postgres-cluster.new"
cp -a data "$parts/postgres-cluster.new"
mv "$parts/postgres-cluster.new" "$parts/postgres-cluster"
