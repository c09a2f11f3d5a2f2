# shellcheck shell=bash
# What every bench says of its measurements: sourced, not run.

# Set to 1 by a promise that is not kept; a bench exits with it.
broken=0

# promise WHAT VALUE LIMIT [at-least]
promise() {
    local verdict
    verdict=$(awk -v value="$2" -v limit="$3" -v least="${4-}" \
        'BEGIN { print (least ? value >= limit : value <= limit) ? "kept" : "BROKEN" }')
    [[ $verdict == kept ]] || broken=1
    printf '%-58s %10s   promised: %s %s   %s\n' "$1" "$2" "${4:-at most}" "$3" "$verdict"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
