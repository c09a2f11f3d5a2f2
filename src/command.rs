//! What every command works with, and what it comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cause::Cause;
use crate::console::{Console, StageOutcome};
use crate::files::Root;
use crate::kind::{Area, Kind};
use crate::secret::Secrets;
use crate::settings::Settings;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Good; warnings included.
    Good,
    /// Something failed.
    Failed,
    /// Wrong usage, or settings that are not valid.
    Usage,
    /// A deadline passed.
    Deadline,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Deadline => 3,
        })
    }
}

impl From<&Cause> for Exit {
    fn from(cause: &Cause) -> Exit {
        match cause.kind {
            Kind::SourceMissing | Kind::SourceInvalid => Exit::Usage,
            kind if matches!(kind.area(), Area::Settings | Area::Usage) => Exit::Usage,
            _ if cause.waited_seconds.is_some() => Exit::Deadline,
            _ => Exit::Failed,
        }
    }
}

/// What a command prints at its end. Its free texts are fit to be shown: whoever makes one scrubs what it is made of.
pub(crate) struct CommandOutput {
    /// For people, ending in a newline.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: serde_json::Value,
    /// What the exit code says.
    pub(crate) exit: Exit,
}

/// What a command works with.
pub(crate) struct CommandContext {
    /// Where every path lies.
    pub(crate) root: Root,
    /// The validated settings.
    pub(crate) settings: Settings,
    /// The file that `--config` names, which no other process would read.
    pub(crate) own_settings_file: Option<PathBuf>,
    /// Where it says what it does.
    pub(crate) console: Console,
    /// What must not be said.
    pub(crate) secrets: Secrets,
}

/// What a stage of a boot or a step of a bake achieved: its value for those after it, and what to say of it.
pub(crate) struct Achieved<T> {
    pub(crate) value: T,
    pub(crate) outcome: StageOutcome,
    pub(crate) detail: String,
}

impl<T> Achieved<T> {
    /// It did its work.
    pub(crate) fn done(value: T, detail: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Done, detail: detail.into() }
    }

    /// In a dry run: what a boot would wait for at this point, before it went on.
    pub(crate) fn waiting(value: T, detail: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Running, detail: detail.into() }
    }

    /// Its postcondition held already, or it had nothing to do.
    pub(crate) fn skipped(value: T, why: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Skipped, detail: why.into() }
    }
}
