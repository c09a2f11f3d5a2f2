//! Requests to systemd.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::cause::Cause;
use crate::kind::Kind;
use crate::unit;

/// Timeout for systemctl: systemd is busy during boot, but never for this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Runs `systemctl` and returns its output.
///
/// # Errors
/// `unit.refused` if it failed; `unit.silent` if it could not be run or did not finish in time.
pub(super) async fn systemctl(arguments: &[&str]) -> Result<String, Cause> {
    let mut command = Command::new("systemctl");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let failed = |kind, said: &str| {
        Cause::host(
            kind,
            match kind {
                Kind::UnitRefused => format!("systemd rejected a request about {}.", unit::NAME),
                _ => format!("systemctl did not respond to a request about {}.", unit::NAME),
            },
            format!("Check systemctl status {}", unit::NAME),
        )
        .with("asked", format!("systemctl {}", arguments.join(" ")))
        .with("answer", said)
    };
    match tokio::time::timeout(ANSWER_WITHIN, command.output()).await {
        Err(_) => Err(failed(Kind::UnitSilent, "none")),
        Ok(Err(error)) => Err(failed(Kind::UnitSilent, &error.to_string())),
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        }
        Ok(Ok(output)) => Err(failed(Kind::UnitRefused, String::from_utf8_lossy(&output.stderr).trim())),
    }
}
