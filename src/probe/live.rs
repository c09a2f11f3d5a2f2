//! The list while it is still being made, on a terminal: a line for each heading, with a sign for each check that was
//! answered and the names of those that are still being asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::answer::{Answer, Outcome};
use super::check::{Group, Id, catalogue};
use super::round::Watcher;
use super::selection::{Selection, address};
use crate::console::text;

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How many checks that are still being asked are named on a line.
const NAMED: usize = 3;

pub(super) struct Live {
    screen: MultiProgress,
    lines: RefCell<BTreeMap<Group, Line>>,
}

struct Line {
    bar: ProgressBar,
    open: BTreeSet<Id>,
    signs: String,
}

impl Live {
    /// Draws on standard error, where that is a terminal.
    pub(super) fn begin(wanted: &Selection, health_urls: usize) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let live = Live { screen: MultiProgress::with_draw_target(target), lines: RefCell::default() };
        for check in catalogue(health_urls).into_iter().filter(|check| wanted.wants(&check.id)) {
            if address(&check.id).is_some_and(|name| wanted.may_be_absent(&name)) {
                continue;
            }
            let mut lines = live.lines.borrow_mut();
            let line = lines.entry(check.group).or_insert_with(|| live.line(check.group));
            line.open.insert(check.id);
        }
        live.lines.borrow().values().for_each(Line::draw);
        live
    }

    fn line(&self, group: Group) -> Line {
        let bar = self.screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<16} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(group.title());
        bar.enable_steady_tick(TICK);
        Line { bar, open: BTreeSet::new(), signs: String::new() }
    }
}

impl Line {
    fn draw(&self) {
        let named: Vec<&str> = self.open.iter().take(NAMED).map(AsRef::as_ref).collect();
        let more = if self.open.len() > NAMED { ", …" } else { "" };
        let asking = if named.is_empty() { String::new() } else { format!(" {}{more}", named.join(", ")) };
        self.bar.set_message(format!("{}{asking}", self.signs));
    }
}

impl Watcher for Live {
    fn answered(&self, answer: &Answer) {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(&answer.group) else { return };
        line.open.remove(&answer.id);
        line.signs.push_str(&match &answer.outcome {
            Outcome::Good { .. } => text::green("✓"),
            Outcome::Warning { .. } => text::yellow("!"),
            Outcome::Failed { .. } => text::red("✗"),
            Outcome::Skipped { .. } => text::faint("–"),
        });
        line.draw();
        if line.open.is_empty() {
            line.bar.finish();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // What is lost here is drawing on a terminal that went away; the list as printed follows.
        let _ = self.screen.clear();
    }
}
