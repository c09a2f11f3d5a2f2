#!/bin/bash
# Stands in for the installer of https://get.replicated.com/docker: its arguments, its traps, and what it leaves behind.
#
# It pulls its images, fetches the operator's script and runs it, keeps the answers of an earlier run, and asks /dev/tty.
# A test makes an older edition of it by dropping the arguments that are marked with a later year.
#
# Every path lies under STAND_IN_ROOT. Without one this is a machine of its own, and where systemd runs it gets units; an
# engine outside of it sees its files below STAND_IN_OUTSIDE. STAND_IN_REGISTRY is where the images of quay.io are served;
# without it, quay.io is asked. What it does beside installing is chosen by files in
# $STAND_IN_ROOT/var/lib/replicated/stand-in, which the containers see as /stand-in:
#   mode          lines of: exit-1, nothing, loop, noise, leak, slow SECONDS, slow-open SECONDS, missing-one, old-release,
#                 firewalld, restart-docker (it goes on when there is a file docker-restarted)
#   timeline      what the app does: lines `SECONDS STATE DESIRED TRANSITIONING HEALTH`, seconds since the install
#   port          where the app's /health-check answers on 127.0.0.1 (80)
#   frontend.log  what `docker logs frontend` says; may grow
#   app-error     what `replicatedctl app status` says went wrong
#   system-status what `replicatedctl system status` prints
# It writes there: `runs`, a line for each run with its flags; `installed`, the time of the install; `operator-runs`.
set -u

export STAND_IN_ROOT=${STAND_IN_ROOT:-} STAND_IN_OUTSIDE=${STAND_IN_OUTSIDE:-} STAND_IN_REGISTRY=${STAND_IN_REGISTRY:-}

# shellcheck disable=SC2034 # By this a reader knows the release.
REPLICATED_VERSION="2.38.6"
REPLICATED_INSTALL_URL="https://get.replicated.com"
# The newest Docker that this release installs; with a newer one it declines, and says that all is well.
PINNED_DOCKER_VERSION="17.12.1"

conf=$STAND_IN_ROOT/etc/replicated.conf
stand_in=$STAND_IN_ROOT/var/lib/replicated/stand-in

mkdir -p "$stand_in" "$STAND_IN_ROOT/tmp" "$STAND_IN_ROOT/etc/default"
printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" "$*" >>"$stand_in/runs"

# Where an earlier run left its answers, else where this distribution has such files.
defaults=$STAND_IN_ROOT/etc/default
if [ ! -f "$defaults/replicated" ] && [ ! -f "$defaults/replicated-operator" ] &&
    [ -d "$STAND_IN_ROOT/etc/sysconfig" ]; then
    defaults=$STAND_IN_ROOT/etc/sysconfig
fi
export STAND_IN_DEFAULTS=$defaults

PRIVATE_ADDRESS='' PUBLIC_ADDRESS='' PROXY_ADDRESS='' NO_PROXY_ADDRESSES='' DAEMON_TOKEN='' RELEASE_SEQUENCE=''
SKIP_OPERATOR_INSTALL=0 REPLICATED_OPTS='' REPLICATED_UI_OPTS='' LOG_LEVEL='' AIRGAP=0
no_public_address='' no_docker='' skip_pull='' direct='' skip_preflights='' without_ui='' ui_port=8800 temporary=''

# The answers of an earlier run are taken before the arguments are read.
for file in replicated replicated-operator; do
    kept=$REPLICATED_OPTS
    # shellcheck disable=SC1090 # Whatever it left.
    [ ! -f "$defaults/$file" ] || . "$defaults/$file"
    [ "$file" = replicated ] || REPLICATED_OPTS=$kept
done

while [ $# -gt 0 ]; do
    _param=${1%%=*}
    _value=
    case $1 in *=*) _value=${1#*=} ;; esac
    # A value given to a bare argument is passed over, as the real one does.
    case $_param in
        local-address|local_address|private-address|private_address) PRIVATE_ADDRESS=$_value ;;
        public-address|public_address) PUBLIC_ADDRESS=$_value ;;
        no-public-address|no_public_address) no_public_address=1 ;; # since 2019
        no-proxy|no_proxy) direct=1 ;;
        http-proxy|http_proxy) PROXY_ADDRESS=$_value ;;
        additional-no-proxy|additional_no_proxy) NO_PROXY_ADDRESSES=$_value ;;
        no-docker|no_docker) no_docker=1 ;;
        skip-pull|skip_pull) skip_pull=1 ;;
        skip-preflights|skip_preflights) skip_preflights=1 ;; # since 2026
        no-operator|no_operator) SKIP_OPERATOR_INSTALL=1 ;;
        airgap) AIRGAP=1 no_docker=1 ;;
        release-sequence|release_sequence) RELEASE_SEQUENCE=$_value ;;
        log-level|log_level) LOG_LEVEL=$_value ;;
        ui-bind-port|ui_bind_port) ui_port=$_value ;;
        daemon-token|daemon_token) DAEMON_TOKEN=$_value ;; # since 2026
        disable-replicated-ui|disable_replicated_ui) without_ui=1 ;; # since 2026
        docker-version|docker_version) PINNED_DOCKER_VERSION=$_value ;; # since 2026
        release-patch-sequence|release_patch_sequence|force-replicated-downgrade|force_replicated_downgrade) ;; # since 2026
        fast-timeouts|fast_timeouts|registry-address-override|registry_address_override|tags|no-auto|no_auto) ;;
        *)
            printf 'Error: unknown parameter "%s"\n' "$_param" >&2
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

# A value in REPLICATED_OPTS of an earlier run.
from_opts() {
    printf '%s\n' "$REPLICATED_OPTS" | grep -o "$1=[^ ]*" | head -n 1 | cut -d = -f 2
}

# Yes, unless somebody at the terminal says no: without a terminal the read fails, and the default holds.
confirm() {
    local answer=''
    printf '%s (Y/n) ' "$1"
    read -r -t 20 answer </dev/tty
    [ "$answer" != n ] && [ "$answer" != N ]
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
    while [ -z "$PRIVATE_ADDRESS" ]; do
        printf 'The installer was unable to automatically detect the private IP address of this machine.\n'
        printf 'Please choose one of the following network interfaces:\n[0] lo\t127.0.0.1\n'
        printf 'Enter desired number (0-0): '
        if read -r answer 2>/dev/null </dev/tty && [ "$answer" = 0 ]; then
            PRIVATE_ADDRESS=127.0.0.1
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
            printf '\033[0;31mDocker is not installed. Please install Docker before proceeding.\n' >&2
            printf 'Instructions for installing Docker can be found at the link below:\033[0m\n' >&2
            exit 127
        fi
        return
    fi
    if ! running=$(docker version --format '{{.Server.Version}}' 2>/dev/null); then
        printf 'Installing Docker %s from repository https://get.replicated.com/docker-install.sh\n' "$PINNED_DOCKER_VERSION"
        curl -sSL "$REPLICATED_INSTALL_URL/docker-install.sh" >"$temporary/docker_install.sh" || exit $?
        bash "$temporary/docker_install.sh" || exit $?
    fi
    oldest=$(printf '%s\n%s\n' "$PINNED_DOCKER_VERSION" "${running%%[+~]*}" | sort -V | head -n 1)
    if [ "$oldest" = "$PINNED_DOCKER_VERSION" ] && [ "$running" != "$PINNED_DOCKER_VERSION" ]; then
        printf 'This installer does not support Docker %s; the newest supported version is %s.\n' "$running" "$PINNED_DOCKER_VERSION"
        printf 'Existing Docker installation was not changed.\n'
        read -r -t 20 _ </dev/tty
        exit 0
    elif [ "$running" != "$PINNED_DOCKER_VERSION" ]; then
        printf 'Upgrading Docker to %s from repository\n' "$PINNED_DOCKER_VERSION"
        curl -sSL "$REPLICATED_INSTALL_URL/docker-install.sh" >"$temporary/docker_install.sh" || exit $?
        bash "$temporary/docker_install.sh" || exit $?
    fi
}

# Docker gets the proxy by a file of systemd's and is started again, while other things may be using it.
check_docker_proxy() {
    [ -n "$PROXY_ADDRESS" ] || return 0
    ! docker info 2>/dev/null | grep -qi 'http proxy:' || return 0
    printf 'It does not look like Docker is set up with http proxy enabled.\n'
    printf 'This script will automatically configure it now.\n'
    confirm 'Do you want to allow this?' || return 0
    mkdir -p "$STAND_IN_ROOT/etc/systemd/system/docker.service.d"
    printf '# File created by replicated install script\n[Service]\nEnvironment="HTTP_PROXY=%s" "NO_PROXY=%s"\n' \
        "$PROXY_ADDRESS" "$NO_PROXY_ADDRESSES" >"$STAND_IN_ROOT/etc/systemd/system/docker.service.d/http-proxy.conf"
    if [ -z "$STAND_IN_ROOT" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload && systemctl restart docker || exit $?
    elif mode restart-docker >/dev/null; then
        until [ -f "$stand_in/docker-restarted" ]; do sleep 0.1; done
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
    printf 'Determining local address\n'
    [ -n "$PRIVATE_ADDRESS" ] || PRIVATE_ADDRESS=$(from_conf LocalAddress)
    [ -n "$direct" ] || [ -n "$PROXY_ADDRESS" ] || PROXY_ADDRESS=$(from_conf HttpProxy)
    [ -n "$PRIVATE_ADDRESS" ] || ask_for_address
    if [ -z "$PUBLIC_ADDRESS" ] && [ -z "$no_public_address" ] && [ "$AIRGAP" != 1 ]; then
        printf 'Determining service address\n'
        # Version 1, without a token, as the real one asks; a box that enforces tokens answers 401.
        PUBLIC_ADDRESS=$(curl -qsf --noproxy '*' --max-time 2 "${imds%/}/latest/meta-data/public-ipv4") || PUBLIC_ADDRESS=
    fi
    printf "The installer will use local address '%s' (from parameter)\n" "$PRIVATE_ADDRESS"
}

# pull NAME TAG: what the registry has now under the tag, whatever was there before.
pull() {
    if [ -z "$STAND_IN_REGISTRY" ]; then
        docker pull "quay.io/replicated/$1:$2" || exit $?
    else
        docker pull "$STAND_IN_REGISTRY/replicated/$1:$2" || exit $?
        docker tag "$STAND_IN_REGISTRY/replicated/$1:$2" "quay.io/replicated/$1:$2" || exit $?
    fi
}

# Without one under exactly this name, the attempt with the flag of older engines ends the script, in Docker's own words.
tag_images() {
    local name
    printf 'Tagging replicated and replicated-ui images\n'
    for name in "quay.io/replicated/replicated:stable-2.38.6" "quay.io/replicated/replicated-ui:stable-2.38.6"; do
        docker tag "$name" "${name%:*}:current" 2>/dev/null || docker tag -f "$name" "${name%:*}:current" || exit $?
    done
}

write_defaults() {
    local kept token
    if [ -n "$REPLICATED_OPTS" ]; then
        # Of the answers of an earlier run, the proxy alone is replaced.
        REPLICATED_OPTS=$(printf '%s' "$REPLICATED_OPTS" | sed -e 's/ *-e HTTP_PROXY=[^ ]*//' -e 's/ *-e NO_PROXY=[^ ]*//')
        kept=$REPLICATED_OPTS
    fi
    token=$(from_opts DAEMON_TOKEN)
    [ -n "$DAEMON_TOKEN" ] || DAEMON_TOKEN=${token:-$(from_conf DaemonToken)}
    [ -n "$DAEMON_TOKEN" ] || DAEMON_TOKEN=$(head -c 128 /dev/urandom | tr -dc 'a-zA-Z0-9' | head -c 32)
    if [ -z "${kept-}" ]; then
        [ "$SKIP_OPERATOR_INSTALL" = 1 ] || REPLICATED_OPTS="$REPLICATED_OPTS -e DAEMON_TOKEN=$DAEMON_TOKEN"
        REPLICATED_OPTS="$REPLICATED_OPTS -e LOG_LEVEL=${LOG_LEVEL:-info}"
        [ "$AIRGAP" != 1 ] || REPLICATED_OPTS="$REPLICATED_OPTS -e AIRGAP=true"
        [ -z "$RELEASE_SEQUENCE" ] || REPLICATED_OPTS="$REPLICATED_OPTS -e RELEASE_SEQUENCE=$RELEASE_SEQUENCE"
        REPLICATED_OPTS="$REPLICATED_OPTS -e NODENAME=$(hostname)"
    fi
    [ -z "$PROXY_ADDRESS" ] || REPLICATED_OPTS="$REPLICATED_OPTS -e HTTP_PROXY=$PROXY_ADDRESS -e NO_PROXY=$NO_PROXY_ADDRESSES"
    cat >"$defaults/replicated" <<DEFAULTS
RELEASE_CHANNEL=stable
PRIVATE_ADDRESS=$PRIVATE_ADDRESS
SKIP_OPERATOR_INSTALL=$SKIP_OPERATOR_INSTALL
REPLICATED_OPTS="$REPLICATED_OPTS"
REPLICATED_UI_OPTS="$REPLICATED_UI_OPTS"
DEFAULTS
}

# The commands on the host reach into the container, and a shell of a person gets aliases.
write_commands() {
    local name
    mkdir -p "$STAND_IN_ROOT/usr/local/bin"
    for name in replicated replicatedctl; do
        printf '#!/bin/sh\nexec docker exec -i replicated %s "$@"\n' "$name" >"$STAND_IN_ROOT/usr/local/bin/$name"
        chmod 0755 "$STAND_IN_ROOT/usr/local/bin/$name"
    done
    printf '# THIS FILE IS GENERATED BY REPLICATED. DO NOT EDIT!\n' >"$STAND_IN_ROOT/etc/replicated.alias"
    grep -qs /etc/replicated.alias "$STAND_IN_ROOT/etc/bash.bashrc" ||
        printf '\nif [ -f /etc/replicated.alias ]; then\n    . /etc/replicated.alias\nfi\n' >>"$STAND_IN_ROOT/etc/bash.bashrc"
}

# stop NAME: whatever an earlier run left under the name goes before a container is started.
stop() {
    [ -n "$STAND_IN_ROOT" ] || [ ! -f "/etc/systemd/system/$1.service" ] || systemctl stop "$1.service"
    docker rm -f "$1" >/dev/null 2>&1
}

# start NAME IMAGE: in the foreground of a unit where systemd runs, which starts it again after a reboot. The app has one
# too: of the real app, the daemon does that.
start() {
    local name=$1 image=$2 options
    stop "$name"
    options="--name $name --network host --stop-signal SIGKILL --label stand-in=replicated-install"
    options="$options --label stand-in.root=$STAND_IN_ROOT -v $STAND_IN_OUTSIDE$stand_in:/stand-in"
    if [ -n "$STAND_IN_ROOT" ] || [ ! -d /run/systemd/system ]; then
        # shellcheck disable=SC2086 # Words without blanks.
        docker run -d $options "$image" >/dev/null || exit $?
    else
        cat >"/etc/systemd/system/$name.service" <<UNIT
[Unit]
Description=Replicated Service
After=docker.service
Requires=docker.service
[Service]
TimeoutStartSec=0
KillMode=none
EnvironmentFile=$defaults/replicated
ExecStartPre=-/usr/bin/docker rm -f $name
ExecStart=/usr/bin/docker run $options $image
ExecStop=/usr/bin/docker stop $name
Restart=on-failure
RestartSec=7
[Install]
WantedBy=docker.service
UNIT
        systemctl daemon-reload && systemctl enable --quiet "$name.service" && systemctl start "$name.service" || exit $?
    fi
    printf '%s started\n' "$name"
}

# It is fetched without -f and without a time limit, and what came is run, whatever it is.
install_operator() {
    local url="${REPLICATED_INSTALL_URL}/operator?replicated_operator_tag=2.38.6" script=./operator_install.sh
    local options="no-docker daemon-endpoint=$PRIVATE_ADDRESS:9879 daemon-token=$DAEMON_TOKEN private-address=$PRIVATE_ADDRESS"
    [ -z "$PUBLIC_ADDRESS" ] || options="$options public-address=$PUBLIC_ADDRESS"
    if [ -n "$PROXY_ADDRESS" ]; then options="$options http-proxy=$PROXY_ADDRESS"; else options="$options no-proxy"; fi
    [ "$AIRGAP" != 1 ] || options="$options airgap"
    [ -z "$skip_pull" ] || options="$options skip-pull"
    [ -z "$LOG_LEVEL" ] || options="$options log-level=$LOG_LEVEL"
    if [ "$AIRGAP" != 1 ]; then
        script=$temporary/operator_install.sh
        printf 'Installing local operator with command:\ncurl -sSL %s\n' "$url"
        curl -sSL "$url" >"$script" || exit $?
    fi
    # shellcheck disable=SC2086 # Words without blanks.
    bash "$script" $options </dev/null || exit $?
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
if mode firewalld >/dev/null; then confirm 'Continue with firewalld active?' || exit 1; fi

# Two of them stay behind: one for this script, one for the operator's.
temporary=$(mktemp -d -p "$STAND_IN_ROOT/tmp" --suffix=replicated)
discover_addresses
check_docker
check_docker_proxy
check_docker_group
[ -n "$skip_preflights" ] || printf 'Running preflight checks\n[INFO] / disk usage is at 20%%\n'

if [ -n "$skip_pull" ]; then
    printf 'Skip docker pull flag detected, will not pull replicated and replicated-ui images\n'
elif [ "$AIRGAP" = 1 ]; then
    printf 'Loading replicated and replicated-ui images from package\n'
    docker load <replicated.tar || exit $?
    docker load <replicated-ui.tar || exit $?
else
    printf 'Pulling replicated and replicated-ui images\n'
    pull replicated stable-2.38.6
    pull replicated-ui stable-2.38.6
fi
tag_images

[ ! -f "$conf" ] || chmod a+r "$conf"
if seconds=$(mode slow-open); then
    printf 'replicated.conf is open to everybody\n'
    sleep "${seconds:-5}"
fi
stop replicated
stop replicated-ui
write_defaults
write_commands

# The daemon starts the app by itself, so the app is there wherever the three containers are, also when this script was
# ended half-way; its first moment is now.
cut -d ' ' -f 1 /proc/uptime >"$stand_in/installed"
if docker image inspect circleci/frontend:2.18.3 >/dev/null 2>&1; then
    start frontend circleci/frontend:2.18.3
fi

start replicated quay.io/replicated/replicated:current
[ -n "$without_ui" ] || start replicated-ui quay.io/replicated/replicated-ui:current
if [ "$SKIP_OPERATOR_INSTALL" != 1 ] && ! mode missing-one >/dev/null; then
    printf 'Installing local operator\n'
    install_operator
fi

printf 'To continue the installation, visit the following URL in your browser:\n\n  http://%s:%s\n' \
    "${PUBLIC_ADDRESS:-<this_server_address>}" "$ui_port"
