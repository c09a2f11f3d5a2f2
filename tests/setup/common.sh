# shellcheck shell=bash
# What every part of the set-up shares: where things lie, how it speaks, how it tries again.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
parts=${CARGO_TARGET_DIR:-$project/target}/test-parts
# All programs that set-up and tests run belong to the system; a pyenv or a vendor's docker in front of them is not what is tested.
export PATH="/usr/local/sbin:/usr/sbin:/sbin:$PATH"
mkdir -p "$parts"

say() { printf '  %s\n' "$*"; }

die() {
    printf 'set-up failed: %s\n' "$*" >&2
    exit 1
}

# again TIMES COMMAND…: downloads fail for a moment; the cause of each failure is shown, and the last one is final.
again() {
    local times=$1 attempt output
    shift
    for ((attempt = 1; attempt <= times; attempt++)); do
        if output=$("$@" 2>&1); then
            return 0
        fi
        printf '  attempt %d of %d failed: %s\n%s\n' "$attempt" "$times" "$*" "$(tail -n 15 <<<"$output")" >&2
        ((attempt == times)) || sleep $((attempt * 5))
    done
    return 1
}
