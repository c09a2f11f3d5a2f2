//! What every command works with, and what it comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cause::Cause;
use crate::console::Console;
use crate::files::Root;
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
        match cause.kind.as_ref() {
            "source.missing" | "source.invalid" => Exit::Usage,
            kind if kind.starts_with("settings.") || kind.starts_with("usage.") => Exit::Usage,
            _ if cause.waited_seconds.is_some() => Exit::Deadline,
            _ => Exit::Failed,
        }
    }
}

/// What a command prints at its end.
pub(crate) struct Printed {
    /// For people, ending in a newline.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: serde_json::Value,
    /// What the exit code says.
    pub(crate) exit: Exit,
}

/// What a command works with.
pub(crate) struct World {
    /// Where every path lies.
    pub(crate) root: Root,
    /// The validated settings.
    pub(crate) settings: Settings,
    /// The file that `--config` names, which no other process would read.
    pub(crate) own_settings_file: Option<PathBuf>,
    /// Where it says what it does.
    pub(crate) console: Console,
}
