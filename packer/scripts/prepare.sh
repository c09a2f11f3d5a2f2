#!/usr/bin/env bash
# Installs what a services box needs and the image to start from lacks: a Docker engine, ps (the Replicated installer
# looks for dockerd with it), systemd. What is there is left as it is.
set -euo pipefail

wanted=()
command -v ps >/dev/null || wanted+=(procps)
command -v systemctl >/dev/null || wanted+=(systemd)
# An engine may also be another machine's or container's, whose socket is here.
[[ -S /var/run/docker.sock ]] || command -v dockerd >/dev/null || wanted+=(docker.io)

if ((${#wanted[@]} > 0)); then
    command -v apt-get >/dev/null ||
        { echo "missing, and without apt-get not installed: ${wanted[*]}; start from an image that has them" >&2; exit 1; }
    # A fresh instance's own first update may be running.
    if command -v cloud-init >/dev/null; then
        cloud-init status --wait >/dev/null || true
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=300 update
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${wanted[@]}"
fi
# The bundle's files are readable by this group, to which the Replicated daemon belongs.
getent group docker >/dev/null || groupadd --system docker
