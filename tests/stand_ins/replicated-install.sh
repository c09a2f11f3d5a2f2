#!/bin/bash
# Stands in for the installer of https://get.replicated.com/docker: its flags, its traps, and what it leaves behind.
#
# Every path lies under STAND_IN_ROOT. Without one this is a machine of its own, and where systemd runs it gets units; an
# engine outside of it sees its files below STAND_IN_OUTSIDE. What it does beside installing is chosen by files in
# $STAND_IN_ROOT/var/lib/replicated/stand-in, which the containers see as /stand-in:
#   mode          lines of: exit-1, nothing, loop, noise, leak, slow SECONDS, missing-one, old-release
#   timeline      what the app does: lines `SECONDS STATE DESIRED TRANSITIONING HEALTH`, seconds since the install
#   port          where the app's /health-check answers on 127.0.0.1 (80)
#   frontend.log  what `docker logs frontend` says; may grow
#   app-error     what `replicatedctl app status` says went wrong
#   system-status what `replicatedctl system status` prints
# It writes there: `runs`, a line for each run with its flags; `installed`, the time of the install.
set -u

STAND_IN_ROOT=${STAND_IN_ROOT:-}
STAND_IN_OUTSIDE=${STAND_IN_OUTSIDE:-}
VERSION=2.38.6
# The newest Docker that this release installs; with a newer one it declines, and says that all is well.
PINNED_DOCKER=17.12.1

conf=$STAND_IN_ROOT/etc/replicated.conf
defaults=$STAND_IN_ROOT/etc/default
stand_in=$STAND_IN_ROOT/var/lib/replicated/stand-in

local_address='' public_address='' no_public_address='' no_docker='' skip_pull='' no_operator=''
release_sequence='' log_level=info proxy_address='' direct='' skip_preflights=''

mkdir -p "$stand_in"
printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" "$*" >>"$stand_in/runs"

while [ $# -gt 0 ]; do
    name=${1%%=*}
    value=
    case $1 in *=*) value=${1#*=} ;; esac
    # A value given to a bare flag is passed over, as the real one does.
    case ${name//_/-} in
        local-address | private-address) local_address=$value ;;
        public-address) public_address=$value ;;
        no-public-address) no_public_address=1 ;;
        no-proxy) direct=1 ;;
        http-proxy) proxy_address=$value ;;
        no-docker) no_docker=1 ;;
        skip-pull) skip_pull=1 ;;
        skip-preflights) skip_preflights=1 ;;
        no-operator) no_operator=1 ;;
        release-sequence) release_sequence=$value ;;
        log-level) log_level=$value ;;
        additional-no-proxy | fast-timeouts | airgap | ui-bind-port | registry-address-override) ;;
        *)
            printf 'Error: unknown parameter "%s"\n' "$name" >&2
            exit 1
            ;;
    esac
    shift
done

# The argument of a mode; fails when the mode is not chosen.
mode() {
    local word rest
    while read -r word rest; do
        if [ "$word" = "$1" ]; then
            printf '%s' "$rest"
            return 0
        fi
    done < <(cat "$stand_in/mode" 2>/dev/null; echo)
    return 1
}

# A value of replicated.conf as the real one reads it: by regular expression, not as JSON.
from_conf() {
    [ -f "$conf" ] && grep -o "\"$1\": *\"[^\"]*" "$conf" | head -n 1 | sed "s/\"$1\": *\"//"
}

percent_encoded() {
    local LC_ALL=C text=$1 index character
    for ((index = 0; index < ${#text}; index++)); do
        character=${text:index:1}
        case $character in
            [a-zA-Z0-9.~_-]) printf '%s' "$character" ;;
            *) printf '%%%02X' "'$character" ;;
        esac
    done
}

# Says what must never reach a log, in every form in which it could.
leak() {
    local key secret padding
    padding=$(head -c 200000 /dev/zero | tr '\0' x)
    for key in DaemonAuthenticationPassword DaemonToken; do
        secret=$(from_conf "$key") || continue
        [ -n "$secret" ] || continue
        printf 'Using %s %s\n' "$key" "$secret"
        printf 'curl https://admin:%s@localhost:8800/\n' "$(percent_encoded "$secret")"
        printf '{"%s": "%s"}\n' "$key" "$secret"
        printf 'Using %s %s\n' "$key" "$secret" >&2
        # The pipe's reader sees this in pieces, and no newline ends it.
        printf '%s%s%s' "$padding" "$secret" "$padding"
    done
}

# Prints its question as fast as it can, for nobody is there to answer it.
ask_for_address() {
    local answer
    while [ -z "$local_address" ]; do
        printf 'The installer was unable to automatically detect the private IP address of this machine.\n'
        printf 'Please choose one of the following network interfaces:\n[0] lo\t127.0.0.1\n'
        printf 'Enter desired number (0-0): '
        if [ -t 0 ] && read -r answer && [ "$answer" = 0 ]; then
            local_address=127.0.0.1
        fi
        printf '\n'
    done
}

endless() {
    # A child that survives a polite end: only its whole group, killed, ends it.
    (
        trap '' TERM INT HUP
        while :; do sleep 1; done
    ) &
    while :; do
        printf 'Waiting for the daemon...\n'
        sleep 0.2
    done
}

check_docker() {
    local running oldest
    if [ -n "$no_docker" ]; then
        # shellcheck disable=SC2009 # The real one needs procps for just this.
        if ! command -v docker >/dev/null || ! ps aux | grep -q '[d]ockerd'; then
            printf 'Docker is not installed or not running, and "no-docker" was given.\n' >&2
            exit 127
        fi
        return
    fi
    if ! running=$(docker version --format '{{.Server.Version}}' 2>/dev/null); then
        printf 'Installing Docker %s from repository https://get.replicated.com/docker-install.sh\n' "$PINNED_DOCKER"
        printf 'curl: (6) Could not resolve host: get.replicated.com\n' >&2
        exit 6
    fi
    oldest=$(printf '%s\n%s\n' "$PINNED_DOCKER" "${running%%[+~]*}" | sort -V | head -n 1)
    if [ "$oldest" = "$PINNED_DOCKER" ] && [ "$running" != "$PINNED_DOCKER" ]; then
        printf 'This installer does not support Docker %s; the newest supported version is %s.\n' "$running" "$PINNED_DOCKER"
        printf 'Existing Docker installation was not changed.\n'
        exit 0
    elif [ "$running" != "$PINNED_DOCKER" ]; then
        printf 'Upgrading Docker to %s from repository\n' "$PINNED_DOCKER"
        printf 'curl: (6) Could not resolve host: get.replicated.com\n' >&2
        exit 6
    fi
}

# The daemon runs in the group of the socket, so that group must have a name.
check_docker_group() {
    local socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    socket=${socket#unix://}
    [ -S "$socket" ] || return 0
    if ! getent group "$(stat -c %g "$socket")" >/dev/null; then
        printf "useradd: group '%s' does not exist\n" "$(stat -c %g "$socket")" >&2
        exit 6
    fi
}

discover_addresses() {
    local imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
    [ -n "$local_address" ] || local_address=$(from_conf LocalAddress)
    [ -n "$direct" ] || [ -n "$proxy_address" ] || proxy_address=$(from_conf HttpProxy)
    [ -n "$local_address" ] || ask_for_address
    if [ -z "$public_address" ] && [ -z "$no_public_address" ]; then
        printf 'Determining the public address from %s\n' "$imds"
        # Version 1, without a token, as the real one asks; a box that enforces tokens answers 401.
        public_address=$(curl -sf --noproxy '*' --max-time 2 "${imds%/}/latest/meta-data/public-ipv4") || public_address=
    fi
    printf 'The installer will use local address "%s"\n' "$local_address"
}

# image NAME: the pinned image, which a pull would have brought.
image() {
    local tag=quay.io/replicated/$1:stable-$VERSION
    if ! docker image inspect "$tag" >/dev/null 2>&1; then
        printf 'Unable to find image %s locally\n' "$tag" >&2
        [ -n "$skip_pull" ] || printf 'Error response from daemon: Get "https://quay.io/v2/": no route to host\n' >&2
        exit 1
    fi
    [ -n "$skip_pull" ] || printf 'stable-%s: Pulling from replicated/%s\nStatus: Image is up to date for %s\n' "$VERSION" "$1" "$tag"
    docker tag "$tag" "quay.io/replicated/$1:current" || exit 1
}

write_defaults() {
    local kept
    mkdir -p "$defaults"
    kept=$(sed -n 's/^RELEASE_SEQUENCE=//p' "$defaults/replicated" 2>/dev/null)
    cat >"$defaults/replicated" <<DEFAULTS
RELEASE_CHANNEL=stable
PRIVATE_ADDRESS=$local_address
SKIP_OPERATOR_INSTALL=${no_operator:-0}
RELEASE_SEQUENCE=${kept:-$release_sequence}
REPLICATED_OPTS="-e LOG_LEVEL=$log_level -e HTTP_PROXY=$proxy_address"
REPLICATED_UI_OPTS=""
DEFAULTS
    cat >"$defaults/replicated-operator" <<DEFAULTS
RELEASE_CHANNEL=stable
OPERATOR_ID=3f6f1d2ac0b94c5f8a7e6d5c4b3a2910
DAEMON_ENDPOINT=$local_address:9879
DAEMON_TOKEN=$(from_conf DaemonToken)
PRIVATE_ADDRESS=$local_address
PUBLIC_ADDRESS=$public_address
DEFAULTS
}

# The commands on the host reach into the container.
write_wrappers() {
    local name
    mkdir -p "$STAND_IN_ROOT/usr/local/bin"
    for name in replicated replicatedctl; do
        printf '#!/bin/sh\nexec docker exec -i replicated %s "$@"\n' "$name" >"$STAND_IN_ROOT/usr/local/bin/$name"
        chmod 0755 "$STAND_IN_ROOT/usr/local/bin/$name"
    done
}

# start NAME IMAGE [FLAG...]: whatever an earlier run left under the name goes first.
start() {
    local name=$1 image=$2
    shift 2
    [ -n "$STAND_IN_ROOT" ] || [ ! -f "/etc/systemd/system/$name.service" ] || systemctl stop "$name.service"
    docker rm -f "$name" >/dev/null 2>&1
    docker run -d --name "$name" --network host --stop-signal SIGKILL \
        --label stand-in=replicated-install --label "stand-in.root=$STAND_IN_ROOT" \
        -v "$STAND_IN_OUTSIDE$stand_in:/stand-in" "$@" "$image" >/dev/null || exit 1
    [ -n "$STAND_IN_ROOT" ] || [ ! -d /run/systemd/system ] || write_unit "$name"
    printf '%s started\n' "$name"
}

# After a reboot it is systemd that starts the container again.
write_unit() {
    cat >"/etc/systemd/system/$1.service" <<UNIT
[Unit]
Description=Container $1
Requires=docker.service
After=docker.service
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/docker start --attach $1
ExecStop=/usr/bin/docker kill $1
TimeoutStopSec=5s
Restart=always
RestartSec=1s
[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload && systemctl enable --quiet "$1.service" && systemctl restart "$1.service" || exit 1
}

if mode exit-1 >/dev/null; then
    printf 'Error: something went wrong on line 1042\n' >&2
    exit 1
fi
if mode nothing >/dev/null; then
    printf 'Success! Nothing to do.\n'
    exit 0
fi
if mode loop >/dev/null; then endless; fi
if mode noise >/dev/null; then yes 'Unpacking layer 4f5a6b7c8d9e: 12.3 MB of 45.6 MB' | head -c 50000000; fi
if mode leak >/dev/null; then leak; fi
if seconds=$(mode slow); then
    printf 'Unpacking, which takes a while\n'
    sleep "${seconds:-5}"
fi

check_docker
check_docker_group
discover_addresses
[ -n "$skip_preflights" ] || printf 'Running preflight checks\n[INFO] / disk usage is at 20%%\n'

image replicated
image replicated-ui
[ -n "$no_operator" ] || image replicated-operator

write_defaults
write_wrappers
[ ! -f "$conf" ] || chmod 0644 "$conf"

# The daemon starts the app by itself, so the app is there wherever the three containers are, also when this script was
# ended half-way; its first moment is now.
cut -d ' ' -f 1 /proc/uptime >"$stand_in/installed"
if docker image inspect circleci/frontend:2.18.3 >/dev/null 2>&1; then
    start frontend circleci/frontend:2.18.3
fi

start replicated quay.io/replicated/replicated:current
start replicated-ui quay.io/replicated/replicated-ui:current
if [ -z "$no_operator" ] && ! mode missing-one >/dev/null; then
    start replicated-operator quay.io/replicated/replicated-operator:current
fi

printf 'Operator installation successful\n\n'
printf 'To continue the installation, visit the following URL in your browser:\n\n  http://%s:8800\n' "${public_address:-$local_address}"
