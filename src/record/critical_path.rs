//! Which stage waited for which.

use jiff::Timestamp;

use super::StageRecord;

/// The stages that each waited for the one before, as indices: from the first to the one that ended last. A stage begins
/// as soon as everything that it needs is done, so it waited for whatever had ended last when it began. What has not ended
/// ends at `now`.
pub(crate) fn critical_path(stages: &[StageRecord], now: Timestamp) -> Vec<usize> {
    let end = |index: usize| stages[index].ended_at.unwrap_or(now);
    let mut path = Vec::new();
    let mut next = (0..stages.len()).max_by_key(|&index| (end(index), index));
    while let Some(current) = next {
        path.push(current);
        let began = stages[current].started_at;
        next = (0..current).filter(|&index| end(index) <= began).max_by_key(|&index| (end(index), index));
    }
    path.reverse();
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::console::StageOutcome;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn stages(times: &[(&str, i64, Option<i64>)]) -> Vec<StageRecord> {
        let stage = |(name, began, ended): &(&str, i64, Option<i64>)| StageRecord {
            name: (*name).to_owned(),
            outcome: StageOutcome::Done,
            started_at: at(*began),
            ended_at: ended.map(at),
            detail: String::new(),
            cause: None,
            waits: Vec::new(),
        };
        times.iter().map(stage).collect()
    }

    fn path(times: &[(&str, i64, Option<i64>)]) -> Vec<String> {
        let stages = stages(times);
        critical_path(&stages, at(9_000)).into_iter().map(|index| stages[index].name.clone()).collect()
    }

    #[test]
    fn of_stages_at_the_same_time_the_longer_one_counts() {
        let boot = [
            ("identity", 0, Some(30)),
            ("lifecycle", 31, Some(90)),
            ("fetch", 32, Some(50)),
            ("validate", 90, Some(92)),
            ("databases", 92, Some(100)),
            ("images", 92, Some(400)),
            ("install", 400, Some(500)),
        ];
        assert_eq!(path(&boot), ["identity", "lifecycle", "validate", "images", "install"]);
        // A boot that failed in one of two, and one that still runs.
        assert_eq!(path(&boot[..6]), ["identity", "lifecycle", "validate", "images"]);
        assert_eq!(path(&[boot[0], boot[1], ("fetch", 32, None)]), ["identity", "fetch"]);
        assert!(path(&[]).is_empty());
    }
}
