//! What happens while something runs, as every renderer is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    pub(super) fn scrub(&mut self, secrets: &Secrets) {
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
pub(super) trait Renderer: Send + Sync {
    fn show(&self, event: &Event);
}

/// How long the end of a program waits for its last words to be written.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

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
