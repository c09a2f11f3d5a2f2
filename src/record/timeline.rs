//! A record as text: how it ended, each stage with its share of the time, waits, and the cause of a failure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{BootOutcome, Record, StageRecord, between};
use crate::console::{StageOutcome, human, text};

/// How many characters the whole boot is wide.
const TIMELINE_WIDTH: usize = 30;

/// A record as text: how it ended, each stage with its share of the time, waits, and the cause of a failure.
pub fn timeline(record: &Record) -> String {
    let now = Timestamp::now();
    let end = record.ended_at.unwrap_or(now);
    let total = between(record.started_at, end);
    let mut out = headline(record, total);
    let slowest = record
        .stages
        .iter()
        .filter(|stage| record.stages.len() > 1 && stage.outcome != StageOutcome::Skipped)
        .max_by_key(|stage| stage.elapsed(now))
        .map(|stage| stage.name.as_str());
    for stage in &record.stages {
        let bar = bar(between(record.started_at, stage.started_at), stage.elapsed(end), total);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "{} {:<10} {:>11}  {bar} {}{}",
            sign(stage),
            stage.name,
            human(stage.elapsed(end)),
            stage.cause.as_ref().map_or(stage.detail.as_str(), |cause| cause.sentence.as_str()),
            if slowest == Some(stage.name.as_str()) { text::yellow("  ← slowest") } else { String::new() },
        );
        for wait in &stage.waits {
            let waited = human(between(wait.since, wait.until));
            let _ =
                writeln!(out, "{}", text::faint(&format!("    waited {waited}: {}", wait.cause.sentence)));
        }
    }
    for warning in &record.warnings {
        let _ = write!(out, "\n{}", text::warning(warning));
    }
    if let Some(cause) = &record.cause {
        let _ = write!(out, "\n{}", text::cause(cause));
    }
    out
}

fn headline(record: &Record, total: Duration) -> String {
    let box_name = record.instance.as_ref().map_or("an unknown instance", |instance| instance.id.as_str());
    let said = match record.outcome {
        BootOutcome::Running => format!("still running after {}, or killed", human(total)),
        BootOutcome::InService => text::green(&format!("in service after {}", human(total))),
        BootOutcome::Abandoned => text::red(&format!("failed after {}, ABANDON acknowledged", human(total))),
        BootOutcome::Held => text::red(&format!("failed after {}, held for a look", human(total))),
        BootOutcome::Failed => text::red(&format!("failed after {}", human(total))),
        BootOutcome::Interrupted => text::yellow(&format!("told to stop after {}", human(total))),
    };
    let mut out = format!("{box_name} from {}: {said}\n", record.source);
    let started = record.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let told = record.lifecycle.as_ref().map_or("in no Auto Scaling group".to_owned(), |lifecycle| {
        match (&lifecycle.hook, lifecycle.result.as_deref()) {
            (None, _) => format!("group {}, which waits for nothing", lifecycle.group),
            (Some(hook), result) => {
                format!("group {}, hook {hook}, told: {}", lifecycle.group, result.unwrap_or("nothing yet"))
            }
        }
    });
    let _ = writeln!(out, "{}\n", text::faint(&format!("{started}, agent {}, {told}", record.agent)));
    out
}

fn sign(stage: &StageRecord) -> String {
    let sign = stage.outcome.sign();
    match stage.outcome {
        StageOutcome::Done => text::green(sign),
        StageOutcome::Failed => text::red(sign),
        StageOutcome::Interrupted | StageOutcome::Running => text::yellow(sign),
        StageOutcome::Skipped => text::faint(sign),
    }
}

/// Where in the whole a stage lies, at least one character wide.
fn bar(offset: Duration, elapsed: Duration, total: Duration) -> String {
    let cells = |part: Duration| {
        let share = part.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        // A share is at most 1 but for a clock that was set during the boot.
        (share.clamp(0.0, 1.0) * TIMELINE_WIDTH as f64).round() as usize
    };
    let start = cells(offset).min(TIMELINE_WIDTH - 1);
    let width = cells(elapsed).clamp(1, TIMELINE_WIDTH - start);
    format!("{}{}{}", " ".repeat(start), "━".repeat(width), " ".repeat(TIMELINE_WIDTH - start - width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_always_fits() {
        for (offset, elapsed, total) in [(0, 0, 0), (0, 10, 10), (10, 0, 10), (9, 5, 10), (100, 100, 1)] {
            let seconds = Duration::from_secs;
            let bar = bar(seconds(offset), seconds(elapsed), seconds(total));
            assert_eq!(bar.chars().count(), TIMELINE_WIDTH, "{offset} {elapsed} {total}");
            assert!(bar.contains('━'));
        }
    }
}
