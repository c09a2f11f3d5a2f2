//! The systemd unit that runs `agent boot` at every boot of the machine.
//!
//! It is part of the program, so that the unit in an image is always the one that its agent was built with.

/// The unit's name, as `systemctl` takes it.
pub const NAME: &str = "boot-agent.service";

/// Where it is installed, under the root.
pub const PATH: &str = "/etc/systemd/system/boot-agent.service";

/// The unit file, as it is installed.
pub fn text() -> &'static str {
    include_str!("../systemd/boot-agent.service")
}
