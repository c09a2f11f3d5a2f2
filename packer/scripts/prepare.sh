#!/usr/bin/env bash
# Installs what a services box needs and the image to start from lacks: a Docker engine, ps (the Replicated installer
# looks for dockerd with it), systemd. What is there is left as it is. Debian, Ubuntu (apt) and Amazon Linux 2023 (dnf).
#   DOCKER_PACKAGE   the engine's package instead of the distribution's own
#   DOCKER_VERSION   its version, which the image then keeps
set -euo pipefail

if command -v apt-get >/dev/null; then
    manager=apt ps=procps engine=docker.io
elif command -v dnf >/dev/null; then
    manager=dnf ps=procps-ng engine=docker
else
    manager='' ps=procps engine=docker
fi
engine=${DOCKER_PACKAGE:-$engine}

wanted=()
command -v ps >/dev/null || wanted+=("$ps")
command -v systemctl >/dev/null || wanted+=(systemd)
# An engine may also be another machine's or container's, whose socket is here.
installs_engine=
if [[ ! -S /var/run/docker.sock ]] && ! command -v dockerd >/dev/null; then
    installs_engine=1
    case $manager in
        dnf) wanted+=("$engine${DOCKER_VERSION:+-$DOCKER_VERSION}") ;;
        *) wanted+=("$engine${DOCKER_VERSION:+=$DOCKER_VERSION}") ;;
    esac
fi

if ((${#wanted[@]} > 0)); then
    if [[ -z $manager ]]; then
        echo "missing: ${wanted[*]}; install them first: this image has neither apt-get nor dnf" >&2
        exit 1
    fi
    # A fresh instance's own first update may be running.
    if command -v cloud-init >/dev/null; then
        cloud-init status --wait >/dev/null || true
    fi
    if [[ $manager == apt ]]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=300 update
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${wanted[@]}"
    else
        dnf --quiet --assumeyes --setopt=install_weak_deps=False install "${wanted[@]}"
    fi
fi
if [[ -n $installs_engine && -n ${DOCKER_VERSION-} ]]; then
    # An unattended upgrade would restart the engine, and the Replicated installer may decline a newer one.
    if [[ $manager == apt ]]; then
        apt-mark hold "$engine"
    else
        printf 'exclude=%s\n' "$engine" >>/etc/dnf/dnf.conf
    fi
fi
# Amazon Linux neither enables nor starts what it installs.
if [[ -d /run/systemd/system && ! -S /var/run/docker.sock ]]; then
    systemctl enable --now docker.service
fi
# The bundle's files are readable by this group, to which the Replicated daemon belongs.
getent group docker >/dev/null || groupadd --system docker
