//! The text report: every check by group, then the root causes.

use std::fmt::Write as _;

use super::answer::{Answer, Outcome};
use super::check::{ADVICE, Check, Group, Id};
use super::report::Report;
use super::root_causes::RootCause;
use crate::console::layout::HANG;
use crate::console::{Verbosity, human, text};
use crate::database::rung::Rung;
use crate::database::uri::Product;

/// The minimum and maximum width of the ID column; longer IDs shift their line.
const ID_WIDTH: std::ops::RangeInclusive<usize> = 26..=36;

/// A step that took less is not worth a column.
const NOTABLE: u64 = 100;

/// One line of the list, which may combine several results.
struct Line {
    sign: String,
    ids: String,
    said: String,
}

/// The whole report. Quiet: only root causes; verbose: every check on its own line.
pub(super) fn report(report: &Report, verbosity: Verbosity) -> String {
    let mut out = String::new();
    if verbosity == Verbosity::Quiet {
        let blocks = report.root_causes.iter().map(|root| mended(root, |id| report.was_skipped(id)));
        return blocks.collect::<Vec<_>>().join("\n");
    }
    for answers in report.checks.chunk_by(|one, other| one.group == other.group) {
        let _ = writeln!(out, "{}", answers[0].group.title());
        let lines = match verbosity {
            Verbosity::Verbose => {
                answers.iter().map(|answer| one_line(std::slice::from_ref(answer))).collect()
            }
            _ => lines(answers),
        };
        let widest = lines.iter().map(|line| line.ids.chars().count()).max().unwrap_or(0);
        let width = widest.clamp(*ID_WIDTH.start(), *ID_WIDTH.end());
        for line in lines {
            let _ = writeln!(out, "  {} {:<width$} {HANG}{}", line.sign, line.ids, line.said.trim_end());
        }
        out.push('\n');
    }
    for root in &report.root_causes {
        out.push_str(&mended(root, |id| report.was_skipped(id)));
        out.push('\n');
    }
    out.push_str(&closing(report));
    out
}

/// The lines of one heading.
fn lines(answers: &[Answer]) -> Vec<Line> {
    let mut lines = Vec::new();
    for family in answers.chunk_by(|one, other| ladder(one).is_some() && ladder(one) == ladder(other)) {
        match ladder(&family[0]) {
            Some(name) => lines.extend(database(name, family)),
            None => lines.extend(family.chunk_by(says_the_same).map(one_line)),
        }
    }
    lines
}

/// The database whose rung this is.
fn ladder(answer: &Answer) -> Option<&str> {
    (answer.group == Group::Databases).then(|| answer.id.rsplit_once('.').map(|(name, _)| name)).flatten()
}

fn is_good(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Good { .. })
}

/// Whether two consecutive results share a line: passed rungs below a failed one, and checks skipped for the same
/// reason.
fn says_the_same(one: &Answer, other: &Answer) -> bool {
    match (&one.outcome, &other.outcome) {
        (Outcome::Good { .. }, Outcome::Good { .. }) => one.group == Group::Databases,
        (Outcome::Skipped { reason: one, .. }, Outcome::Skipped { reason: other, .. }) => one == other,
        _ => false,
    }
}

fn one_line(answers: &[Answer]) -> Line {
    let ids = match (answers, ladder(&answers[0])) {
        ([first, .., last], Some(name)) => format!("{}…{}", first.id, &last.id[name.len() + 1..]),
        _ => joined(answers.iter().map(|answer| &answer.id)),
    };
    let (sign, said) = match &answers[0].outcome {
        Outcome::Good { detail, .. } if answers.len() == 1 => (text::green("✓"), detail.clone()),
        Outcome::Good { .. } => (text::green("✓"), String::new()),
        Outcome::Warning { cause } => (text::yellow("!"), cause.sentence.clone()),
        Outcome::Failed { cause } => (text::red("✗"), cause.sentence.clone()),
        Outcome::Skipped { reason, .. } => (text::faint("–"), text::faint(reason)),
    };
    let said = match answers {
        [one] if one.milliseconds >= NOTABLE && one.outcome.cause().is_none() => {
            format!("{said} {}", text::faint(&format!("({} ms)", one.milliseconds)))
        }
        _ => said,
    };
    Line { sign, ids, said }
}

/// A passed ladder is one line; a failed one is shown rung by rung. Warnings follow.
fn database(name: &str, answers: &[Answer]) -> Vec<Line> {
    let (advice, rungs): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.id.ends_with(ADVICE));
    let rungs: Vec<Answer> = rungs.into_iter().cloned().collect();
    let whole = Product::of_name(name).is_some_and(|kind| kind.rungs().len() == rungs.len());
    let mut lines = match whole && rungs.iter().all(is_good) {
        true => vec![whole_ladder(name, &rungs)],
        false => rungs.chunk_by(says_the_same).map(one_line).collect(),
    };
    let remarked = advice.into_iter().filter(|answer| rungs.is_empty() || answer.outcome.cause().is_some());
    for answer in remarked {
        lines.push(one_line(std::slice::from_ref(answer)));
        lines.extend(answer.also.iter().map(|cause| Line {
            sign: text::yellow("!"),
            ids: answer.id.to_string(),
            said: cause.sentence.clone(),
        }));
    }
    lines
}

/// A passed ladder: its address and the result of its last rung.
fn whole_ladder(name: &str, rungs: &[Answer]) -> Line {
    let detail = |rung: Rung| {
        rungs.iter().find_map(|answer| match &answer.outcome {
            Outcome::Good { detail, .. } if answer.id.ends_with(rung.as_str()) => Some(detail.as_str()),
            _ => None,
        })
    };
    let last = Product::of_name(name).and_then(|kind| kind.rungs().last().copied());
    let top = last.and_then(detail).unwrap_or_default();
    let address = detail(Rung::Tcp).unwrap_or_default();
    let server = address.split(' ').next().unwrap_or_default();
    // The text about a replica set already lists its servers.
    let said = if top.contains(server) { top.to_owned() } else { format!("{server}, {top}") };
    let took: u64 = rungs.iter().map(|answer| answer.milliseconds).sum();
    let said = format!("{said} {}", text::faint(&format!("({took} ms)")));
    Line { sign: text::green("✓"), ids: name.to_owned(), said }
}

/// IDs in one text, with common prefixes shown once: `postgres.main.uri, dns, tcp`.
pub(super) fn joined<'a>(ids: impl IntoIterator<Item = &'a Id>) -> String {
    let mut text = String::new();
    let mut known = "";
    for id in ids {
        let family = id.rfind('.').map_or("", |dot| &id[..dot]);
        match family {
            _ if text.is_empty() => text.push_str(id),
            family if family == known && !family.is_empty() => {
                let _ = write!(text, ", {}", &id[family.len() + 1..]);
            }
            _ => {
                let _ = write!(text, ", {id}");
            }
        }
        known = family;
    }
    text
}

/// One root cause, with its evidence and what it explains.
fn mended(root: &RootCause, was_skipped: impl Fn(&Id) -> bool) -> String {
    let mut more = vec![("seen by", joined(&root.seen_by))];
    let not_asked = root.explains.iter().filter(|id| was_skipped(id)).count();
    let mut explained = joined(root.explains.iter().filter(|id| !was_skipped(id)));
    if not_asked > 0 {
        let and = if explained.is_empty() { "" } else { "; " };
        let s = if not_asked == 1 { "" } else { "s" };
        let _ = write!(explained, "{and}{not_asked} check{s} that could not run");
    }
    if !explained.is_empty() {
        more.push(("explains", explained));
    }
    match root.is_failure {
        true => text::cause_with(&root.cause, &more),
        false => text::warning_with(&root.cause, &more),
    }
}

fn closing(report: &Report) -> String {
    let failures = report.root_causes.iter().filter(|root| root.is_failure).count();
    let warnings = report.root_causes.len() - failures;
    let verdict = match failures {
        0 => format!("{} Nothing is broken", text::green("✓")),
        1 => format!("{} One thing is broken", text::red("✗")),
        count => format!("{} {count} things are broken; start with the first", text::red("✗")),
    };
    let warnings = match warnings {
        0 => String::new(),
        1 => "; 1 warning".to_owned(),
        count => format!("; {count} warnings"),
    };
    let not_asked = match report.not_asked() {
        0 => String::new(),
        count => format!(", {count} skipped"),
    };
    let more = match report.root_causes.iter().find(|root| root.is_failure) {
        Some(first) if failures == 1 => format!("More about it: {}\n", first.cause.kind.ask()),
        Some(first) => format!("More about the first: {}\n", first.cause.kind.ask()),
        None => String::new(),
    };
    let (count, took) = (report.checks.len(), human(report.took()));
    format!("{verdict}{warnings}. {count} checks in {took}{not_asked}.\n{more}")
}

/// All checks, for `--list`.
pub(super) fn list(checks: &[Check]) -> String {
    let mut out = String::new();
    for group in checks.chunk_by(|one, other| one.group == other.group) {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", group[0].group.title());
        for check in group {
            let _ = writeln!(out, "  {:<36} {HANG}{}", check.id, check.asks);
        }
    }
    out
}
