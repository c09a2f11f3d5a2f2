//! Stage 5: every file in its place, all or none.

use std::path::Path;

use crate::bundle::Bundle;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::files;
use crate::placement::{self, State, access, state};

use super::run::Stage;

/// Places what differs. All new content is on disk beside its place before the first file changes, and each changes
/// by a rename: at any moment every file is wholly old or wholly new.
pub(super) fn place(stage: &Stage<'_>, bundle: &Bundle) -> Result<Achieved<()>, Cause> {
    let run = stage.run;
    let mut different = Vec::new();
    for wanted in bundle.placements() {
        let access = access(&run.root, wanted.mode)?;
        match state(&run.root, wanted, access)? {
            State::Right => {}
            state => different.push((wanted, access, state)),
        }
    }
    if different.is_empty() {
        return Ok(Achieved::skipped((), "all files are in place"));
    }
    let is_installed = run.record().instance.is_some_and(|instance| instance.installed_at.is_some());
    if is_installed && !run.force {
        let drifted = different
            .iter()
            .filter(|(wanted, _, state)| placement::is_drift(wanted.path, state, &bundle.replicated))
            .map(|(wanted, ..)| wanted.path);
        if let Some(cause) = placement::drift(drifted) {
            stage.warn(cause);
        }
        return Ok(Achieved::skipped((), "Replicated is installed and has read its files"));
    }
    if let Some(cause) =
        placement::other_keys(different.iter().map(|(wanted, _, state)| (wanted.path, state)))
    {
        return Err(cause);
    }
    if stage.is_dry_run() {
        let would: Vec<_> = different.iter().map(|(wanted, _, state)| would(state, wanted.path)).collect();
        return Ok(Achieved::done((), format!("would {}", would.join(", "))));
    }
    let wanted: Vec<_> = different
        .iter()
        .map(|(wanted, access, _)| (run.root.path(wanted.path), wanted.content, *access))
        .collect();
    files::commit_all(files::prepare_all(&wanted)?)?;
    let names: Vec<_> = different.iter().map(|(wanted, ..)| file_name(wanted.path)).collect();
    Ok(Achieved::done((), format!("placed {}", names.join(", "))))
}

/// Whether a file goes to where cloud-init may mount a volume. `/etc` is on the root file system, which is there from the
/// start.
pub(super) fn needs_volumes(bundle: &Bundle) -> bool {
    bundle.placements().any(|wanted| !wanted.path.starts_with("/etc"))
}

fn would(state: &State, path: &Path) -> String {
    let verb = match state {
        State::Absent => "place",
        State::OtherContent => "replace",
        State::OtherAccess | State::Right => "set the mode and owner of",
    };
    format!("{verb} {}", path.display())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
