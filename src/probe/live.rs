//! The list while it is still being made, on a terminal: what is being asked, and what was found so far.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::answer::{Answer, Outcome};
use super::check::{Id, catalogue};
use super::round::Watcher;
use super::selection::Selection;
use crate::console::text;

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How many checks that are still being asked are named.
const NAMED: usize = 4;

pub(super) struct Live {
    bar: ProgressBar,
    open: RefCell<BTreeSet<Id>>,
}

impl Live {
    /// Draws on standard error, and nothing where that is no terminal or results are not read there.
    pub(super) fn begin(wanted: &Selection, health_urls: usize) -> Self {
        let checks = catalogue(health_urls).into_iter().map(|check| check.id);
        let open: BTreeSet<Id> = checks.filter(|id| wanted.wants(id)).collect();
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(open.len() as u64),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed:>4} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Live { bar, open: RefCell::new(open) }
    }
}

impl Watcher for Live {
    fn answered(&self, answer: &Answer) {
        let mut open = self.open.borrow_mut();
        open.remove(&answer.id);
        self.bar.inc(1);
        let sign = match &answer.outcome {
            Outcome::Failed { .. } => text::red("✗"),
            Outcome::Warning { .. } => text::yellow("!"),
            Outcome::Good { .. } | Outcome::Skipped { .. } => String::new(),
        };
        if let (false, Some(cause)) = (sign.is_empty(), answer.outcome.cause()) {
            let mut cause = cause.clone();
            cause.scrub();
            self.bar.println(format!("{sign} {}: {}", answer.id, cause.sentence));
        }
        let named: Vec<&str> = open.iter().take(NAMED).map(AsRef::as_ref).collect();
        self.bar.set_message(format!("asking {}", named.join(", ")));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
