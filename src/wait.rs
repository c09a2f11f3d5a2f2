//! The only retry loop of the program: it has a deadline and shows the cause of every retry.

use std::time::Duration;

use tokio::time::Instant;

use crate::cause::{Cause, Class};

/// The pause before the second attempt. Short, since most waits at boot are for something that is starting.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between attempts: short enough to notice promptly that the fault is gone.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Retries until success, a failure that waiting does not fix, or `limit`.
///
/// `worth_waiting` decides which causes are retried; each of those is passed to `waiting` before the pause, so that it
/// can be shown. An attempt must bound its own time: it is not cut off at the limit, so that its cause is not lost.
///
/// # Errors
/// The cause that is not retried, or the last one, marked with the time waited.
pub async fn until<T>(
    limit: Duration,
    worth_waiting: impl Fn(&Cause) -> bool,
    mut waiting: impl FnMut(&Cause),
    mut attempt: impl AsyncFnMut() -> Result<T, Cause>,
) -> Result<T, Cause> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let cause = match attempt().await {
            Ok(value) => return Ok(value),
            Err(cause) if !worth_waiting(&cause) => return Err(cause),
            Err(cause) => cause,
        };
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(cause.after_waiting(started.elapsed()));
        }
        waiting(&cause);
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The default for `worth_waiting`: external causes may resolve themselves.
pub fn is_external(cause: &Cause) -> bool {
    cause.class == Class::External
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    fn external() -> Cause {
        Cause::external(Kind::DnsTimeout, "Not yet.", "Wait.")
    }

    #[tokio::test(start_paused = true)]
    async fn shows_each_cause_and_succeeds_when_it_is_gone() {
        let (mut attempts, mut shown) = (0, 0);
        let value = until(
            Duration::from_secs(60),
            is_external,
            |_| shown += 1,
            async || {
                attempts += 1;
                if attempts < 4 { Err(external()) } else { Ok(attempts) }
            },
        )
        .await;
        assert_eq!(value, Ok(4));
        assert_eq!(shown, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_limit_with_the_last_cause() {
        let started = Instant::now();
        let failure = until(Duration::from_secs(10), is_external, |_| {}, async || Err::<(), _>(external()))
            .await
            .unwrap_err();
        assert_eq!(failure.waited_seconds, Some(10));
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_for_what_a_person_must_change() {
        let started = Instant::now();
        let config = Cause::config(Kind::SourceInvalid, "Wrong.", "Correct it.");
        let failure =
            until(Duration::from_secs(10), is_external, |_| {}, async || Err::<(), _>(config.clone())).await;
        assert_eq!(failure, Err(config));
        assert!(started.elapsed().is_zero());
    }
}
