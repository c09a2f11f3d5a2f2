#!/bin/bash
# Stands in for the script of https://get.replicated.com/operator, which the installer fetches and runs as root. It lives in
# the same root as the installer's stand-in, whose comment says what directs both.
set -u

# shellcheck disable=SC2034 # By this a reader knows the release.
REPLICATED_VERSION="2.38.6"
STAND_IN_ROOT=${STAND_IN_ROOT:-} STAND_IN_OUTSIDE=${STAND_IN_OUTSIDE:-} STAND_IN_REGISTRY=${STAND_IN_REGISTRY:-}

stand_in=$STAND_IN_ROOT/var/lib/replicated/stand-in
defaults=${STAND_IN_DEFAULTS:-$STAND_IN_ROOT/etc/default}
name=replicated-operator

printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" "$*" >>"$stand_in/operator-runs"

DAEMON_ENDPOINT='' DAEMON_TOKEN='' PRIVATE_ADDRESS='' PUBLIC_ADDRESS='' REPLICATED_OPERATOR_OPTS='' LOG_LEVEL='' AIRGAP=0
skip_pull=''
# shellcheck disable=SC1090 # Whatever an earlier run left.
[ ! -f "$defaults/$name" ] || . "$defaults/$name"

while [ $# -gt 0 ]; do
    _param=${1%%=*}
    _value=
    case $1 in *=*) _value=${1#*=} ;; esac
    case $_param in
        daemon-endpoint|daemon_endpoint) DAEMON_ENDPOINT=$_value ;;
        daemon-token|daemon_token) DAEMON_TOKEN=$_value ;;
        local-address|local_address|private-address|private_address) PRIVATE_ADDRESS=$_value ;;
        public-address|public_address) PUBLIC_ADDRESS=$_value ;;
        log-level|log_level) LOG_LEVEL=$_value ;;
        skip-pull|skip_pull) skip_pull=1 ;;
        airgap) AIRGAP=1 ;;
        no-docker|no_docker|no-proxy|no_proxy|http-proxy|http_proxy|tags|no-auto|no_auto|skip-preflights|skip_preflights) ;;
        *)
            printf 'Error: unknown parameter "%s"\n' "$_param"
            exit 1
            ;;
    esac
    shift
done

mktemp -d -p "$STAND_IN_ROOT/tmp" --suffix=replicated >/dev/null
image="quay.io/replicated/replicated-operator:stable-2.38.6"
if [ -n "$skip_pull" ]; then
    printf 'Skip docker pull flag detected, will not pull replicated-operator container\n'
elif [ "$AIRGAP" = 1 ]; then
    printf 'Loading replicated-operator image from package\n'
    docker load <replicated-operator.tar || exit $?
elif [ -n "$STAND_IN_REGISTRY" ]; then
    docker pull "$STAND_IN_REGISTRY/${image#*/}" || exit $?
    docker tag "$STAND_IN_REGISTRY/${image#*/}" "$image" || exit $?
else
    docker pull "$image" || exit $?
fi
printf 'Tagging replicated-operator image\n'
docker tag "$image" "${image%:*}:current" || docker tag -f "$image" "${image%:*}:current" || exit $?

[ -n "$STAND_IN_ROOT" ] || [ ! -f "/etc/systemd/system/$name.service" ] || systemctl stop "$name.service"
docker rm -f "$name" >/dev/null 2>&1

if [ -z "$REPLICATED_OPERATOR_OPTS" ]; then
    REPLICATED_OPERATOR_OPTS="-e OPERATOR_ID=$(head -c 128 /dev/urandom | tr -dc 'a-f0-9' | head -c 32) -e TAGS=local"
    [ -z "$PUBLIC_ADDRESS" ] || REPLICATED_OPERATOR_OPTS="$REPLICATED_OPERATOR_OPTS -e PUBLIC_ADDRESS=$PUBLIC_ADDRESS"
    REPLICATED_OPERATOR_OPTS="$REPLICATED_OPERATOR_OPTS -e LOG_LEVEL=${LOG_LEVEL:-info}"
    [ "$AIRGAP" != 1 ] || REPLICATED_OPERATOR_OPTS="$REPLICATED_OPERATOR_OPTS -e AIRGAP=true"
    REPLICATED_OPERATOR_OPTS="$REPLICATED_OPERATOR_OPTS -e NODENAME=$(hostname)"
fi
cat >"$defaults/$name" <<DEFAULTS
RELEASE_CHANNEL=stable
DAEMON_ENDPOINT=$DAEMON_ENDPOINT
DAEMON_TOKEN=$DAEMON_TOKEN
DAEMON_HOST=${DAEMON_ENDPOINT%:*}
PRIVATE_ADDRESS=$PRIVATE_ADDRESS
REPLICATED_OPERATOR_OPTS="$REPLICATED_OPERATOR_OPTS"
DEFAULTS

options="--name $name --network host --stop-signal SIGKILL --label stand-in=replicated-install"
options="$options --label stand-in.root=$STAND_IN_ROOT -v $STAND_IN_OUTSIDE$stand_in:/stand-in"
if [ -n "$STAND_IN_ROOT" ] || [ ! -d /run/systemd/system ]; then
    # shellcheck disable=SC2086 # Words without blanks.
    docker run -d $options "${image%:*}:current" >/dev/null || exit $?
else
    cat >"/etc/systemd/system/$name.service" <<UNIT
[Unit]
Description=Replicated Operator Service
After=docker.service
Requires=docker.service
[Service]
TimeoutStartSec=0
KillMode=none
EnvironmentFile=$defaults/$name
ExecStartPre=-/usr/bin/docker rm -f $name
ExecStart=/usr/bin/docker run $options ${image%:*}:current
ExecStop=/usr/bin/docker stop $name
Restart=on-failure
RestartSec=7
[Install]
WantedBy=docker.service
UNIT
    systemctl daemon-reload && systemctl enable --quiet "$name.service" && systemctl start "$name.service" || exit $?
fi
printf '%s started\n\nOperator installation successful\n\n' "$name"
