//! The live list on a terminal: a line for each group, with a sign for each finished check and the names of the pending
//! ones.
//!
//! It is drawn by its own thread: a stopped terminal must not delay a check's timeout.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::answer::{Answer, Outcome};
use super::catalogue::catalogue;
use super::check::{Group, Id};
use super::inquiry::Watcher;
use super::selection::{Selection, address};
use crate::console::layout::Screen;
use crate::console::{self, text};

/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// How many pending checks are named on a line.
const NAMED: usize = 3;

/// The columns of a line before its signs.
const BEFORE_SIGNS: usize = 19;

/// How long taking the list down is waited for.
const TAKEN_DOWN: Duration = Duration::from_millis(500);

/// The live list; removed on drop. Inactive without a terminal.
pub(super) struct Live {
    news: Option<(Sender<News>, JoinHandle<()>)>,
}

struct News {
    group: Group,
    id: Id,
    sign: String,
}

struct Line {
    bar: ProgressBar,
    open: BTreeSet<Id>,
    signs: String,
    answered: usize,
}

impl Live {
    /// Draws on standard error, where that is a terminal that can redraw a line.
    pub(super) fn begin(wanted: &Selection, health_urls: usize) -> Self {
        if !std::io::stderr().is_terminal() || !console::moves_its_cursor() {
            return Live { news: None };
        }
        let mut open: BTreeMap<Group, BTreeSet<Id>> = BTreeMap::new();
        for check in catalogue(health_urls).into_iter().filter(|check| wanted.wants(&check.id)) {
            if address(&check.id).is_some_and(|name| wanted.may_be_absent(&name)) {
                continue;
            }
            open.entry(check.group).or_default().insert(check.id);
        }
        let (sender, news) = channel();
        let drawing = thread::Builder::new().name("output".to_owned()).spawn(move || draw(open, &news));
        Live { news: drawing.ok().map(|drawing| (sender, drawing)) }
    }
}

/// Draws until the channel is closed, then removes the list.
fn draw(open: BTreeMap<Group, BTreeSet<Id>>, news: &Receiver<News>) {
    let screen = MultiProgress::new();
    let mut lines: BTreeMap<Group, Line> =
        open.into_iter().map(|(group, open)| (group, Line::begin(&screen, group, open))).collect();
    for News { group, id, sign } in news {
        if let Some(line) = lines.get_mut(&group) {
            line.answered(&id, &sign);
        }
    }
    // Drawing on a closed terminal fails; the final list is printed anyway.
    let _ = screen.clear();
}

impl Line {
    fn begin(screen: &MultiProgress, group: Group, open: BTreeSet<Id>) -> Self {
        let bar = screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<16} {wide_msg}") {
            let has_unicode = Screen::stderr().has_unicode();
            bar.set_style(if has_unicode { style } else { style.tick_chars("|/-\\ ") });
        }
        bar.set_prefix(group.title());
        bar.enable_steady_tick(TICK);
        let line = Line { bar, open, signs: String::new(), answered: 0 };
        line.draw();
        line
    }

    fn answered(&mut self, id: &str, sign: &str) {
        self.open.remove(id);
        self.signs.push_str(sign);
        self.answered += 1;
        self.draw();
        if self.open.is_empty() {
            self.bar.finish();
        }
    }

    fn draw(&self) {
        let named: Vec<&str> = self.open.iter().take(NAMED).map(AsRef::as_ref).collect();
        let more = if self.open.len() > NAMED { ", …" } else { "" };
        let asking = if named.is_empty() { String::new() } else { format!("{}{more}", named.join(", ")) };
        let screen = Screen::stderr();
        let room =
            screen.width().map_or(usize::MAX, |width| width.saturating_sub(BEFORE_SIGNS + self.answered + 1));
        self.bar.set_message(screen.show(&format!("{} {}", self.signs, screen.elide(&asking, room))));
    }
}

impl Watcher for Live {
    fn answered(&self, answer: &Answer) {
        let Some((news, _)) = &self.news else { return };
        let sign = match &answer.outcome {
            Outcome::Good { .. } => text::green("✓"),
            Outcome::Warning { .. } => text::yellow("!"),
            Outcome::Failed { .. } => text::red("✗"),
            Outcome::Skipped { .. } => text::faint("–"),
        };
        // The drawing thread may have ended.
        let _ = news.send(News { group: answer.group, id: answer.id.clone(), sign });
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Some((news, drawing)) = self.news.take() else { return };
        drop(news);
        let begun = Instant::now();
        while !drawing.is_finished() && begun.elapsed() < TAKEN_DOWN {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
