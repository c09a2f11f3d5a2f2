#!/usr/bin/env bash
# Ends what tests started and could not end themselves, and removes what it had on disk.
# Each server that a test starts has a record, target/test-parts/run/NAMESPACE-PID-START with the lines OWNER-PID,
# OWNER-START and DIRECTORY, written by the harness and removed when the server has ended in order. START is the process's
# start time as the kernel counts it: a process id alone may by now be somebody else's.

# shellcheck source=tests/setup/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# alive PID START
alive() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # After the name in brackets, which may hold blanks: state is the first word, the start time the twentieth.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z && ${stat[19]} == "$2" ]]
}

end() {
    local tries
    alive "$@" || return 0
    kill -TERM "$1" 2>/dev/null || true
    for ((tries = 0; tries < 200; tries++)); do
        alive "$@" || return 0
        sleep 0.1
    done
    say "process $1 did not end in 20 s when told to; killing it"
    kill -KILL "$1" 2>/dev/null || true
}

remove_directory() {
    local directory=$1 mounted
    # Never more than what a harness would have made.
    [[ ${directory##*/} == boot-agent-* && -d $directory ]] || return 0
    while read -r mounted; do
        umount --lazy "$mounted" || true
    done < <(awk -v under="$directory/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
    rm -rf "$directory"
}

shopt -s nullglob
namespace=$(readlink /proc/self/ns/pid)
namespace=${namespace//[^0-9]/}
for record in "$parts"/run/*-*-*; do
    IFS=- read -r its_namespace pid start <<<"${record##*/}"
    { read -r owner && read -r owner_start && read -r directory; } <"$record" 2>/dev/null || continue
    if [[ $its_namespace == "$namespace" ]]; then
        if alive "$owner" "$owner_start"; then
            continue
        fi
        end "$pid" "$start"
    elif find /proc/[0-9]*/ns/pid -maxdepth 0 -lname "pid:\[$its_namespace\]" 2>/dev/null | grep -q .; then
        continue
    fi
    remove_directory "$directory"
    rm -f "$record"
done

# Engines leave their control groups behind. One with a process in it cannot be removed, so a run elsewhere loses nothing.
find /sys/fs/cgroup -maxdepth 2 -type d -name boot-agent-tests -prune 2>/dev/null | while read -r group; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
done
