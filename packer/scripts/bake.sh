#!/usr/bin/env bash
# Puts the agent and its settings in place, bakes, and proves the result.
set -euo pipefail

install -D -m 0755 /tmp/boot-agent /usr/local/bin/agent
install -D -m 0644 /tmp/boot-agent-images.toml /etc/boot-agent/images.toml
install -D -m 0644 /tmp/boot-agent-agent.toml /etc/boot-agent/agent.toml
rm -f /tmp/boot-agent /tmp/boot-agent-images.toml /tmp/boot-agent-agent.toml

/usr/local/bin/agent bake --clean
/usr/local/bin/agent bake --verify
