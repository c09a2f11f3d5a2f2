//! When this machine was switched on.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;

/// The kernel counts the begin of a process in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// A first process that began later than this after the kernel is a container's, whose kernel is its host's.
const LATEST_FIRST_PROCESS: f64 = 120.0;

/// A boot that begins later than this after the machine was switched on is not a part of its start.
const LONGEST_START: Duration = Duration::from_secs(900);

/// When the machine was switched on whose start is still under way at `now`: when its kernel began, or a container's first
/// process. `None` long after that, and where the kernel does not say.
pub(super) fn switched_on(now: Timestamp) -> Option<Timestamp> {
    let age = age(&fs::read_to_string("/proc/uptime").ok()?, &fs::read_to_string("/proc/1/stat").ok()?)?;
    (age <= LONGEST_START).then(|| now - age)
}

/// How long the machine has run, by `/proc/uptime` and `/proc/1/stat`.
fn age(uptime: &str, first_process: &str) -> Option<Duration> {
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    // The name in parentheses may hold anything; the begin is the twentieth field after it.
    let began: f64 = first_process.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let began = began / TICKS_PER_SECOND;
    let age = if began > LATEST_FIRST_PROCESS { uptime - began } else { uptime };
    Duration::try_from_secs_f64(age).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stat(began: &str) -> String {
        format!("1 (a) b (systemd) S 0 1 1 0 -1 4194560 9 9 9 9 9 9 9 9 20 0 1 0 {began} 170000000 3000 0")
    }

    #[test]
    fn a_machine_is_as_old_as_its_kernel_and_a_container_as_its_first_process() {
        assert_eq!(age("12.50 20.00\n", &stat("120")), Some(Duration::from_millis(12_500)));
        assert_eq!(age("16813.25 9.00\n", &stat("1681200")), Some(Duration::from_millis(1_250)));
        for (uptime, stat) in [("", stat("1")), ("x 1", stat("1")), ("1.0 1.0", "1 (init) S 0".to_owned())] {
            assert_eq!(age(uptime, &stat), None, "{uptime:?} {stat:?}");
        }
    }
}
