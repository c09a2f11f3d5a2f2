//! A record as text: its outcome, each stage with its share of the time, waits, and the cause of a failure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{BootOutcome, Record, StageRecord, between};
use crate::console::layout::{HANG, Screen};
use crate::console::{StageOutcome, Verbosity, human, text};
use crate::kind::Kind;

/// The width of the timeline, on a wide and on a narrow terminal.
const TIMELINE_WIDTH: usize = 30;
const NARROW_TIMELINE_WIDTH: usize = 12;

/// The minimum terminal width for each of them.
const WIDE: usize = 100;
const NARROW: usize = 72;

/// A record as text: how it stands or ended, each stage with its share of the time, waits, and the cause of a failure.
/// Quietly, only what is not as it should be.
///
/// `is_running`: a boot of this box is running, which an unfinished record then belongs to.
pub fn timeline(record: &Record, is_running: bool, verbosity: Verbosity) -> String {
    let now = Timestamp::now();
    let end = record.ended_at.unwrap_or(now);
    let total = between(record.started_at, end);
    if verbosity == Verbosity::Quiet {
        return quietly(record, total, is_running);
    }
    let mut out = headline(record, total, is_running);
    let slowest = record
        .stages
        .iter()
        .filter(|stage| record.stages.len() > 1 && stage.outcome != StageOutcome::Skipped)
        .max_by_key(|stage| stage.elapsed(now))
        .map(|stage| stage.name.as_str());
    let width = match Screen::stdout().width() {
        Some(columns) if columns < NARROW => 0,
        Some(columns) if columns < WIDE => NARROW_TIMELINE_WIDTH,
        _ => TIMELINE_WIDTH,
    };
    for stage in &record.stages {
        let bar = bar(between(record.started_at, stage.started_at), stage.elapsed(end), total, width);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "{} {:<10} {:>11}  {bar}{HANG}{}{}",
            sign(stage),
            stage.name,
            human(stage.elapsed(end)),
            stage.cause.as_ref().map_or(stage.detail.as_str(), |cause| cause.sentence.as_str()),
            if slowest == Some(stage.name.as_str()) { text::yellow("  ← slowest") } else { String::new() },
        );
        for wait in &stage.waits {
            let waited = human(between(wait.since, wait.until));
            let said = format!("    waited {waited}: {HANG}{}", wait.cause.sentence);
            let _ = writeln!(out, "{}", text::faint(&said));
            if verbosity == Verbosity::Verbose {
                let facts: Vec<_> =
                    wait.cause.evidence.iter().map(|item| (item.name.as_ref(), item.value.clone())).collect();
                out.push_str(&text::faint(&text::facts(&facts)));
            }
        }
    }
    if verbosity == Verbosity::Verbose {
        out.push_str(&details(record));
    }
    for problem in problems(record) {
        let _ = write!(out, "\n{problem}");
    }
    out
}

/// What is known beside the stages.
fn details(record: &Record) -> String {
    let mut facts = vec![("source", record.source.clone())];
    if let Some(instance) = &record.instance {
        let at = |time: Option<Timestamp>| time.map(|at| format!("{at:.0}"));
        facts.extend(at(instance.installed_at).map(|at| ("installed", at)));
        facts.extend(at(instance.completed_at).map(|at| ("first in service", at)));
    }
    if let Some(lifecycle) = &record.lifecycle {
        let last =
            lifecycle.heartbeats.last().map_or(String::new(), |last| format!(", the last at {last:.0}"));
        facts.push(("heartbeats", format!("{}{last}", lifecycle.heartbeats.len())));
        facts.extend(lifecycle.acknowledged_at.map(|at| ("acknowledged", format!("{at:.0}"))));
    }
    format!("\n{}", text::facts(&facts))
}

fn problems(record: &Record) -> impl Iterator<Item = String> {
    record.warnings.iter().map(text::warning).chain(record.cause.iter().map(text::cause))
}

fn quietly(record: &Record, total: Duration, is_running: bool) -> String {
    let mut out = String::new();
    let is_well = match record.outcome {
        BootOutcome::InService => true,
        BootOutcome::Running => is_running,
        _ => false,
    };
    if !is_well {
        let _ = writeln!(out, "{}: {}", box_name(record), ending(record, total, is_running));
    }
    out.extend(problems(record));
    out
}

fn box_name(record: &Record) -> &str {
    record.instance.as_ref().map_or("unknown instance", |instance| instance.id.as_str())
}

/// The state of a boot, e.g. `failed after 12 s, ABANDON acknowledged`.
pub fn ending(record: &Record, total: Duration, is_running: bool) -> String {
    let after = human(total);
    let stage = record.stages.iter().rfind(|stage| stage.outcome == StageOutcome::Running);
    let stage = stage.map_or(String::new(), |stage| format!(" in stage {}", stage.name));
    match record.outcome {
        BootOutcome::Running if is_running => {
            let stage = if stage.is_empty() { stage } else { format!(",{stage}") };
            format!("running for {after}{stage}")
        }
        BootOutcome::Running => format!("killed{stage}; run agent boot to resume"),
        BootOutcome::InService => format!("in service after {after}"),
        BootOutcome::Abandoned => format!("failed after {after}, ABANDON acknowledged"),
        BootOutcome::Held => format!("failed after {after}, held for inspection"),
        BootOutcome::Failed => format!("failed after {after}"),
        BootOutcome::Interrupted => format!("stopped by a signal after {after}"),
    }
}

fn headline(record: &Record, total: Duration, is_running: bool) -> String {
    let said = ending(record, total, is_running);
    let said = match record.outcome {
        BootOutcome::Running if is_running => said,
        BootOutcome::Running | BootOutcome::Interrupted => text::yellow(&said),
        BootOutcome::InService => text::green(&said),
        BootOutcome::Abandoned | BootOutcome::Held | BootOutcome::Failed => text::red(&said),
    };
    let mut out = format!("{} from {}: {said}\n", box_name(record), record.source);
    let started = record.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let line = format!("{started}, agent {}, {}", record.agent, group(record));
    let _ = writeln!(out, "{}\n", text::faint(&line));
    out
}

/// What is known about the Auto Scaling group; unknown is not shown as absent.
fn group(record: &Record) -> String {
    match &record.lifecycle {
        Some(lifecycle) => match (&lifecycle.hook, lifecycle.result.as_deref()) {
            (None, _) => format!("group {}, no lifecycle action pending", lifecycle.group),
            (Some(hook), None) => format!("group {}, hook {hook}, not completed", lifecycle.group),
            (Some(hook), Some(result)) => {
                format!("group {}, hook {hook}, completed with {result}", lifecycle.group)
            }
        },
        None if record.is_in_no_group() => "not in an Auto Scaling group".to_owned(),
        None => match leaving(record) {
            Some(group) => format!("group {group}, terminating this instance"),
            None => "Auto Scaling group unknown".to_owned(),
        },
    }
}

/// The group that terminates this instance, as it said when it was asked.
fn leaving(record: &Record) -> Option<&str> {
    let mut causes = record.stages.iter().filter_map(|stage| stage.cause.as_ref());
    let cause = causes.find(|cause| cause.kind == Kind::LifecycleLeaving)?;
    cause.evidence.iter().find(|item| item.name == "group").map(|item| item.value.as_str())
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

/// Where in the whole a stage lies, at least one character wide, and a blank; nothing without room.
fn bar(offset: Duration, elapsed: Duration, total: Duration, room: usize) -> String {
    if room == 0 {
        return String::new();
    }
    let cells = |part: Duration| {
        let share = part.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        // A share is at most 1 but for a clock that was set during the boot.
        (share.clamp(0.0, 1.0) * room as f64).round() as usize
    };
    let start = cells(offset).min(room - 1);
    let width = cells(elapsed).clamp(1, room - start);
    format!("{}{}{} ", " ".repeat(start), "━".repeat(width), " ".repeat(room - start - width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_always_fits() {
        for (offset, elapsed, total) in [(0, 0, 0), (0, 10, 10), (10, 0, 10), (9, 5, 10), (100, 100, 1)] {
            let seconds = Duration::from_secs;
            let bar = bar(seconds(offset), seconds(elapsed), seconds(total), TIMELINE_WIDTH);
            assert_eq!(bar.chars().count(), TIMELINE_WIDTH + 1, "{offset} {elapsed} {total}");
            assert!(bar.contains('━'));
        }
    }
}
