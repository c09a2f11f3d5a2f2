# shellcheck shell=bash
# What every bench says of its measurements: sourced, not run.
# shellcheck disable=SC2034 # broken is read by whoever sources this

# What a person's own environment must not decide, as in tests/run: a CA bundle of one's own is read at every start.
while IFS= read -r name; do
    case $name in
        AWS_* | BOOT_AGENT_* | DOCKER_* | PG* | SSL_CERT_* | *_CA_BUNDLE | *_PROXY | *_proxy | NO_COLOR)
            [[ ${1-} == --on-stage ]] || unset "$name"
            ;;
    esac
done < <(compgen -e)

# Set to 1 when a target is missed; a bench exits with it.
broken=0

# target WHAT VALUE LIMIT [at-least]: prints the measurement, and adds it to the table of benches/all.
target() {
    local met bound="${4-at most} $3"
    met=$(awk -v value="$2" -v limit="$3" -v least="${4-}" \
        'BEGIN { print (least ? value >= limit : value <= limit) ? "yes" : "NO" }')
    [[ $met == yes ]] || broken=1
    printf '%-58s %10s   target: %s   %s\n' "$1" "$2" "$bound" "$([[ $met == yes ]] && echo met || echo MISSED)"
    [[ -z ${RESULTS-} ]] || printf '| %s | %s | %s | %s |\n' "$1" "$2" "$bound" "$met" >>"$RESULTS"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# Builds the program as it is shipped, and the stage that it is measured on. Sets AGENT, unless it is set.
build_release() {
    tests/setup/parts.sh
    if [[ -z ${AGENT-} ]]; then
        AGENT=$(cargo build --locked --release --message-format=json-render-diagnostics |
            jq --raw-output 'select(.executable) | .executable')
    fi
    export AGENT
    cargo build --locked --workspace --bins
    cargo test --locked --test stage --no-run
}
