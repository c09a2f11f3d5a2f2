//! Races several attempts at the same goal: the first success ends the race.

use std::future::pending;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// How long the other contestants get after the first success: the connection attempt delay of RFC 8305 (happy
/// eyeballs). Long enough to tell a slow address from a black hole, short enough to go unnoticed.
pub(crate) const GRACE: Duration = Duration::from_millis(400);

/// The time that the others are given once one has succeeded; several races may share it.
#[derive(Debug)]
pub(crate) struct Grace {
    limit: Duration,
    end: OnceLock<Instant>,
}

impl Grace {
    pub(crate) fn new(limit: Duration) -> Self {
        Grace { limit, end: OnceLock::new() }
    }

    /// Somebody has succeeded; only the first time counts.
    pub(crate) fn begin(&self) {
        let _ = self.end.set(Instant::now() + self.limit);
    }

    /// Ends when the time has passed, never if it has not begun when this is first polled.
    pub(crate) async fn over(&self) {
        match self.end.get() {
            Some(end) => sleep_until(*end).await,
            None => pending().await,
        }
    }
}

/// Runs all `contestants` concurrently until each has finished, or until `grace` has passed since the first output that
/// `is_good`. Outputs are in the order of the contestants; `None` marks one that was dropped unfinished.
///
/// The race is unbounded while no output is good: each contestant needs its own deadline.
pub(crate) async fn race<F: Future>(
    contestants: impl IntoIterator<Item = F>,
    is_good: impl Fn(&F::Output) -> bool,
    grace: &Grace,
) -> Vec<Option<F::Output>> {
    let mut running: FuturesUnordered<_> = contestants
        .into_iter()
        .enumerate()
        .map(|(index, contestant)| async move { (index, contestant.await) })
        .collect();
    let mut outputs: Vec<Option<F::Output>> = (0..running.len()).map(|_| None).collect();
    loop {
        let finished = tokio::select! {
            biased;
            finished = running.next() => finished,
            () = grace.over() => None,
        };
        let Some((index, output)) = finished else { return outputs };
        if is_good(&output) {
            grace.begin();
        }
        if let Some(place) = outputs.get_mut(index) {
            *place = Some(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    /// A contestant that finishes after so many milliseconds; an odd number is no good.
    async fn after(milliseconds: u64) -> u64 {
        sleep(Duration::from_millis(milliseconds)).await;
        milliseconds
    }

    async fn run(contestants: &[u64]) -> (Vec<Option<u64>>, u128) {
        let started = Instant::now();
        let outputs =
            race(contestants.iter().map(|it| after(*it)), |it| it % 2 == 0, &Grace::new(GRACE)).await;
        (outputs, started.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_race_ends_soon_after_the_first_good_output() {
        assert_eq!(run(&[]).await, (vec![], 0));
        assert_eq!(run(&[10, 2000]).await, (vec![Some(10), None], 410));
        assert_eq!(run(&[2000, 10, 100]).await, (vec![None, Some(10), Some(100)], 410));
        // All have finished: nothing is waited for.
        assert_eq!(run(&[20, 10, 31]).await, (vec![Some(20), Some(10), Some(31)], 31));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_end_no_race() {
        assert_eq!(run(&[1, 900, 3]).await, (vec![Some(1), Some(900), Some(3)], 900));
        assert_eq!(run(&[1, 2001]).await, (vec![Some(1), Some(2001)], 2001));
    }
}
