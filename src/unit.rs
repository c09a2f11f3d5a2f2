//! The systemd unit that runs `agent boot` at every boot of the machine.
//!
//! It is embedded, so that the installed unit always matches the agent.

/// The unit's name, as `systemctl` takes it.
pub const NAME: &str = "boot-agent.service";

/// Its path, below the root.
pub const PATH: &str = "/etc/systemd/system/boot-agent.service";

/// The unit file, as it is installed.
pub fn text() -> &'static str {
    include_str!("../systemd/boot-agent.service")
}
