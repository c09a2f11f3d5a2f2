#!/usr/bin/env bash
# Ends what tests started and could not end themselves, and removes what it had on disk.
# A test program has a directory, target/test-parts/run/ID, with a file `lock` that it holds locked as long as it lives, and a
# record for each server that it started and has not ended in order: NAMESPACE-PID-START with the server's directory in it.
# Locks are seen in every PID namespace, and process ids are not, so whose lock is held is never touched: several runs of one
# checkout may go on at once. START is the process's start time as the kernel counts it, since a process id may be given again.

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

# dead DIRECTORY: whether nobody holds its lock, which is held from then on.
dead() {
    [[ -e $1/lock ]] && { exec 7<"$1/lock"; } 2>/dev/null && flock --nonblock 7
}

# Engines leave their control groups behind.
remove_groups() {
    local group
    find /sys/fs/cgroup -maxdepth 2 -type d -name "$1" -prune 2>/dev/null | while read -r group; do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

shopt -s nullglob
namespace=$(readlink /proc/self/ns/pid)
namespace=${namespace//[^0-9]/}
for run in "$parts"/run/*/; do
    run=${run%/}
    dead "$run" || continue
    for record in "$run"/*-*-*; do
        IFS=- read -r its_namespace pid start <<<"${record##*/}"
        # One of another namespace is not seen from here; it was told to end with its owner, and ends with its namespace.
        if [[ $its_namespace == "$namespace" ]]; then
            end "$pid" "$start"
        fi
        remove_directory "$(cat "$record")"
    done
    remove_groups "boot-agent-tests-${run##*/}"
    rm -rf "$run"
done
for directory in /tmp/boot-agent-tests-*; do
    ! dead "$directory" || remove_directory "$directory"
done
