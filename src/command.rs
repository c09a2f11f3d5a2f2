//! The context of every command, and its result.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cause::Cause;
use crate::console::{Console, StageOutcome};
use crate::files::Root;
use crate::kind::{Area, Kind};
use crate::secret::Secrets;
use crate::settings::Settings;

/// The exit code.
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
    /// The exit code.
    pub(crate) exit: Exit,
}

/// The context of a command.
pub(crate) struct CommandContext {
    /// The directory below which all paths are.
    pub(crate) root: Root,
    /// The validated settings.
    pub(crate) settings: Settings,
    /// The `--config` file, which another process would not read.
    pub(crate) own_settings_file: Option<PathBuf>,
    /// The sink for its events.
    pub(crate) console: Console,
    /// What must not be said.
    pub(crate) secrets: Secrets,
}

/// The result of a boot stage or a bake step: its value for later stages, and what to report.
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

    /// In a dry run: what a boot would wait for at this point before continuing.
    pub(crate) fn waiting(value: T, detail: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Running, detail: detail.into() }
    }

    /// Its postcondition already held, or there was nothing to do.
    pub(crate) fn skipped(value: T, why: impl Into<String>) -> Self {
        Achieved { value, outcome: StageOutcome::Skipped, detail: why.into() }
    }
}
