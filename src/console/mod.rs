//! What a person, the journal and systemd are told while something runs.
//!
//! Everything said is an [`Event`]. [`Console`] scrubs each and hands it to the renderers that fit where the output
//! goes: a live list on a terminal, plain lines elsewhere, structured fields in the journal, `sd_notify` to systemd. They
//! write from a thread of their own ([`outlet`]).
//! Results (what a command prints at its end) are the commands' own, on standard output.

mod journal;
pub mod layout;
mod lines;
mod outlet;
mod systemd_notify;
mod terminal;
pub mod text;
mod throttle;

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use lines::in_one_line;
pub use outlet::write_within;

use outlet::Outlet;
use systemd_notify::Supervisor;
use throttle::Throttled;

use crate::cause::Cause;
use crate::secret::Secrets;

/// How a stage stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    /// Not ended yet; in a record of a run that is over, the run was killed in this stage.
    Running,
    /// It did its work.
    Done,
    /// Its postcondition held already, or there was nothing to do.
    Skipped,
    /// It failed, and the boot with it.
    Failed,
    /// The run was told to stop, or another stage failed, while it ran.
    Interrupted,
}

impl StageOutcome {
    /// The outcome as it is written in output and state files.
    pub fn as_str(self) -> &'static str {
        match self {
            StageOutcome::Running => "running",
            StageOutcome::Done => "done",
            StageOutcome::Skipped => "skipped",
            StageOutcome::Failed => "failed",
            StageOutcome::Interrupted => "interrupted",
        }
    }

    /// The sign before a stage in a list.
    pub fn sign(self) -> &'static str {
        match self {
            StageOutcome::Running => "…",
            StageOutcome::Done => "✓",
            StageOutcome::Skipped => "–",
            StageOutcome::Failed => "✗",
            StageOutcome::Interrupted => "!",
        }
    }
}

/// How important a [`Event::Note`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Shown with `--verbose`.
    Detail,
    /// Shown unless `--quiet`.
    Info,
    /// Something is not as it should be, and the run goes on.
    Warning,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A stage began.
    Started {
        /// The stage.
        stage: &'static str,
    },
    /// A stage waits for what the cause says; said again at each attempt.
    Waiting {
        /// The stage.
        stage: &'static str,
        /// What it waits for.
        cause: Cause,
        /// For how long it has waited.
        waited: Duration,
    },
    /// A stage has advanced.
    Progress {
        /// The stage.
        stage: &'static str,
        /// What it is doing.
        text: String,
        /// Bytes done and bytes in all, where that is known.
        bytes: Option<(u64, u64)>,
    },
    /// One of several parts of a stage that run at the same time has advanced. A terminal shows each; elsewhere the
    /// stage's own [`Event::Progress`] says enough.
    Part {
        /// The stage.
        stage: &'static str,
        /// The part, e.g. an image.
        name: String,
        /// What it is doing, bytes done and bytes in all; `None` when it is over.
        state: Option<(String, (u64, u64))>,
    },
    /// A line that a program wrote which the stage runs.
    Output {
        /// The stage.
        stage: &'static str,
        /// The line, without its end.
        line: String,
    },
    /// A stage ended.
    Ended {
        /// The stage.
        stage: &'static str,
        /// How.
        outcome: StageOutcome,
        /// How long it took.
        elapsed: Duration,
        /// What it achieved, or why it had nothing to do.
        detail: String,
        /// Why it failed.
        cause: Option<Cause>,
    },
    /// Something worth saying.
    Note {
        /// The stage, if it is about one.
        stage: Option<&'static str>,
        /// How important it is.
        level: Level,
        /// What is said.
        text: String,
        /// The cause, where there is one.
        cause: Option<Cause>,
    },
    /// The instance's id became known, and stands in every journal entry from now on.
    Identified {
        /// As IMDS gives it, e.g. `i-0123456789abcdef0`.
        instance_id: String,
    },
    /// The run succeeded: what systemd waits for before it calls the unit started.
    Ready {
        /// The status line that stays.
        status: String,
    },
    /// The run failed: what stands last in a log. A terminal shows the cause with the result.
    Failed {
        /// How it ended, e.g. `boot failed after 12 s, ABANDON acknowledged`.
        text: String,
        /// Why.
        cause: Option<Cause>,
    },
    /// The run is over, good or bad: live output is taken down.
    Over,
}

impl Event {
    fn scrub(&mut self, secrets: &Secrets) {
        let clean = |text: &mut String| *text = secrets.own(text);
        match self {
            Event::Waiting { cause, .. } => cause.scrub(secrets),
            Event::Part { name, state, .. } => {
                *name = secrets.foreign(name);
                if let Some((text, _)) = state {
                    clean(text);
                }
            }
            Event::Output { line, .. } => *line = secrets.foreign(line),
            Event::Progress { text, .. } | Event::Ready { status: text } => clean(text),
            Event::Ended { detail: text, cause, .. }
            | Event::Note { text, cause, .. }
            | Event::Failed { text, cause } => {
                clean(text);
                if let Some(cause) = cause {
                    cause.scrub(secrets);
                }
            }
            Event::Started { .. } | Event::Identified { .. } | Event::Over => {}
        }
    }
}

/// How much is shown to a person; the journal always gets everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Failures and warnings.
    Quiet,
    /// Stages, waits, notes.
    #[default]
    Normal,
    /// Details as well.
    Verbose,
}

/// One place that events are shown in.
trait Renderer: Send + Sync {
    fn show(&self, event: &Event);
}

/// How long the end of a program waits for its last words to be written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where events go. Cheap to clone; all clones are one. Nothing that is done with it blocks.
#[derive(Clone)]
pub struct Console {
    verbosity: Verbosity,
    secrets: Secrets,
    outlet: Option<Outlet>,
    supervisor: Option<Supervisor>,
    is_journal: bool,
}

impl Console {
    /// The console of this process: the journal if standard error is the journal's, else a live list if it is a
    /// terminal that can move its cursor, else plain lines; and `sd_notify` where systemd asked for it.
    ///
    /// With `dated`, a line in a log begins with the time: for what runs long enough that a reader asks when.
    pub fn of_this_process(verbosity: Verbosity, dated: bool, secrets: Secrets) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let journal = journal::Journal::if_stderr_is_its();
        let is_journal = journal.is_some() && journal::is_its(1);
        let renderer: Box<dyn Renderer> = match journal {
            Some(journal) => Box::new(Throttled::new(journal)),
            None if is_terminal && moves_its_cursor() => {
                Box::new(terminal::Terminal::new(verbosity, colour()))
            }
            None => Box::new(Throttled::new(lines::Lines::new(verbosity, dated && !is_terminal))),
        };
        Console {
            verbosity,
            secrets,
            outlet: Outlet::start(vec![renderer]),
            supervisor: Supervisor::if_asked_for(),
            is_journal,
        }
    }

    /// A console that shows nothing.
    pub fn silent() -> Self {
        Console {
            verbosity: Verbosity::default(),
            secrets: Secrets::default(),
            outlet: None,
            supervisor: None,
            is_journal: false,
        }
    }

    /// How much a person wants to see.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether events and results both go to the journal, so that a summary on standard output would say them twice.
    pub fn is_journal(&self) -> bool {
        self.is_journal
    }

    /// Scrubs an event and shows it everywhere.
    pub fn emit(&self, mut event: Event) {
        event.scrub(&self.secrets);
        if let Some(supervisor) = &self.supervisor {
            supervisor.show(&event);
        }
        if let Some(outlet) = &self.outlet {
            outlet.show(event);
        }
    }

    /// Says something that belongs to no stage.
    pub fn note(&self, level: Level, text: impl Into<String>) {
        self.emit(Event::Note { stage: None, level, text: text.into(), cause: None });
    }

    /// Waits a moment for what was said to be written: before a result is printed, and before the program ends.
    pub fn flush(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.flush(LAST_WORDS);
        }
    }

    /// Tells systemd that this program is alive, for as long as it is polled: by the task that does the work, which
    /// misses the beat when it stands still.
    pub async fn beat(&self) -> Infallible {
        match &self.supervisor {
            Some(supervisor) => supervisor.beat().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether the terminal can redraw a line (terminfo(5) calls the others `dumb`); one without a name is taken for one
/// that cannot.
pub fn moves_its_cursor() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether colour is wanted on a terminal (see no-color.org).
pub fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && moves_its_cursor()
}

/// A duration as a person reads it: `40 ms`, `1.4 s`, `12 s`, `3 min 5 s`.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
