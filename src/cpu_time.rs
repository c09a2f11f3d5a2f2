//! What tests of speed measure, since the time that a busy machine gives to others must not count.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The processor time that this thread has used.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
