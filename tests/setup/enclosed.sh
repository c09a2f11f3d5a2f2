#!/usr/bin/env bash
# enclosed.sh COMMAND…: runs COMMAND where nothing it starts can outlive it or reach the outside.
# Own process, mount and network namespaces: the network is a loopback of its own, so every port is free, nothing is
# reached by accident and nothing listens where others could connect; the end of COMMAND is the end of all it started.
# Give stand-ins time to stop in order by a record each (see sweep.sh). Needs root.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ${1-} != --inside ]]; then
    # The parent may be killed outright; the kernel then ends the namespaces as well.
    exec setpriv --pdeathsig KILL unshare --pid --mount --net --fork --kill-child --mount-proc "$0" --inside "$@"
fi
shift

ip link set lo up
status=0
"$@" || status=$?
"$here/sweep.sh"
exit "$status"
