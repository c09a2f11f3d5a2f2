//! The systemd unit that runs `agent boot` at every boot of the machine.
//!
//! It is embedded, so that the installed unit always matches the agent.

/// The unit's name, as `systemctl` takes it.
pub const NAME: &str = "boot-agent.service";

/// Its path, below the root.
pub const PATH: &str = "/etc/systemd/system/boot-agent.service";

/// What decides how this box is booted, or tells how it was: files and directories that nothing but the agent and whoever
/// makes the image has to write.
pub const OWN_FILES: [&str; 7] = [
    "/etc/boot-agent",
    PATH,
    "/etc/systemd/system/boot-agent.service.d",
    "/run/boot-agent.lock",
    "/usr/local/bin/agent",
    "/usr/local/lib/boot-agent",
    "/var/lib/boot-agent",
];

/// The unit file, as it is installed.
pub fn text() -> &'static str {
    include_str!("../systemd/boot-agent.service")
}
