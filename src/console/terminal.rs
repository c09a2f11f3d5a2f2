//! A live list of stages on a terminal: running ones at the bottom with elapsed time and waits, finished ones above.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::event::{Event, Level, Renderer, StageOutcome, Verbosity, human};
use super::layout::{HANG, Screen};
use super::lines;

/// The columns of a stage's live line before its message: sign, name, elapsed time, blanks.
const BEFORE_MESSAGE: usize = 20;

/// The columns of a progress bar with its numbers.
const BEFORE_BAR_MESSAGE: usize = BEFORE_MESSAGE + 24 + 24;

/// How often a running stage's elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Terminal {
    verbosity: Verbosity,
    colour: bool,
    screen: MultiProgress,
    running: Mutex<HashMap<&'static str, ProgressBar>>,
    parts: Mutex<HashMap<String, ProgressBar>>,
}

impl Terminal {
    pub(super) fn new(verbosity: Verbosity, colour: bool) -> Self {
        Terminal {
            verbosity,
            colour,
            screen: MultiProgress::new(),
            running: Mutex::default(),
            parts: Mutex::default(),
        }
    }

    fn with_bar(&self, stage: &'static str, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(stage) {
            act(bar);
        }
    }

    fn start(&self, stage: &'static str) {
        let bar = self.screen.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<10} {elapsed:>5} {wide_msg}") {
            bar.set_style(in_locale(style));
        }
        bar.set_prefix(stage);
        bar.enable_steady_tick(TICK);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(stage, bar);
    }

    /// A line below those of the stages, for as long as the part is under way.
    fn part(&self, name: &str, state: Option<&(String, (u64, u64))>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some((text, (done, total))) => {
                let bar = parts.entry(name.to_owned()).or_insert_with(|| {
                    let bar = self.screen.add(ProgressBar::new(*total));
                    bar.set_prefix(name.to_owned());
                    bar
                });
                if let Some(style) = part_style(*total > 0) {
                    bar.set_style(style);
                }
                bar.set_length(*total);
                bar.set_position(*done);
                bar.set_message(text.clone());
            }
            None => {
                if let Some(bar) = parts.remove(name) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
            }
        }
    }

    fn print(&self, line: &str) {
        // A terminal that went away must not end a boot.
        let _ = self.screen.println(Screen::stderr().show(line));
    }

    /// What a live line says, as much of it as there is room for.
    fn message(&self, text: &str, before: usize) -> String {
        let screen = Screen::stderr();
        match screen.width() {
            Some(width) => screen.show(&screen.elide(text, width.saturating_sub(before))),
            None => text.to_owned(),
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn end(&self, event: &Event) {
        let Event::Ended { stage, outcome, elapsed, detail, cause } = event else { return };
        if let Some(bar) = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(stage) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        let colour = match outcome {
            StageOutcome::Done => "32",
            StageOutcome::Failed => "31",
            StageOutcome::Interrupted => "33",
            StageOutcome::Running | StageOutcome::Skipped => "2",
        };
        let said = match cause {
            Some(cause) if detail.is_empty() => cause.sentence.clone(),
            Some(cause) => format!("{detail}: {}", cause.sentence),
            None => detail.clone(),
        };
        if self.verbosity >= Verbosity::Normal || *outcome == StageOutcome::Failed {
            let sign = self.painted(colour, outcome.sign());
            self.print(&format!("{sign} {stage:<10} {:>9} {HANG}{said}", human(*elapsed)));
        }
    }
}

fn bytes_style() -> Option<ProgressStyle> {
    let template = "{spinner} {prefix:<10} {elapsed:>5} {bar:24} {bytes}/{total_bytes} {wide_msg}";
    ProgressStyle::with_template(template).ok().map(in_locale)
}

/// Signs that the locale can show.
fn in_locale(style: ProgressStyle) -> ProgressStyle {
    match Screen::stderr().has_unicode() {
        true => style.progress_chars("━━╌"),
        false => style.progress_chars("==-").tick_chars("|/-\\ "),
    }
}

/// The name last: it is the one piece whose end may be cut off. Where no size is known, a bar of nothing would be full.
fn part_style(has_size: bool) -> Option<ProgressStyle> {
    let template = if has_size {
        "  {bar:24} {bytes:>10}/{total_bytes:<10} {msg:<14} {prefix}"
    } else {
        "                                                {msg:<14} {prefix}"
    };
    ProgressStyle::with_template(template).ok().map(in_locale)
}

impl Renderer for Terminal {
    fn show(&self, event: &Event) {
        match event {
            Event::Started { stage } => self.start(stage),
            Event::Waiting { stage, cause, .. } => {
                let said = self.message(&cause.sentence, BEFORE_MESSAGE + "waiting: ".len());
                let text = format!("{} {said}", self.painted("33", "waiting:"));
                self.with_bar(stage, |bar| bar.set_message(text));
            }
            Event::Progress { stage, text, bytes } => self.with_bar(stage, |bar| {
                let mut before = BEFORE_MESSAGE;
                if let Some((done, total)) = bytes.as_ref().filter(|(_, total)| *total > 0) {
                    before = BEFORE_BAR_MESSAGE;
                    if let Some(style) = bytes_style() {
                        bar.set_style(style);
                    }
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
                bar.set_message(self.message(text, before));
            }),
            Event::Part { name, state, .. } => self.part(name, state.as_ref()),
            Event::Output { stage, line } => {
                if self.verbosity == Verbosity::Verbose {
                    self.print(&format!("  {stage:<10} | {HANG}{line}"));
                }
                self.with_bar(stage, |bar| bar.set_message(self.message(line, BEFORE_MESSAGE)));
            }
            Event::Ended { .. } => self.end(event),
            Event::Note { stage, level, text, cause } => {
                let shown = match level {
                    Level::Detail => self.verbosity == Verbosity::Verbose,
                    Level::Info => self.verbosity >= Verbosity::Normal,
                    Level::Warning => true,
                };
                if shown {
                    let sign = if *level == Level::Warning { self.painted("33", "!") } else { " ".into() };
                    let line = lines::note(stage.unwrap_or(""), Level::Info, text, cause.as_ref());
                    self.print(&format!("{sign} {HANG}{line}"));
                }
            }
            Event::Over => {
                // What is lost here is drawing on a terminal that went away.
                let _ = self.screen.clear();
            }
            Event::Identified { .. } | Event::Ready { .. } | Event::Failed { .. } => {}
        }
    }
}
