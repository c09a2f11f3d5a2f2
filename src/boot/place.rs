//! Stage 5: installs every file, or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::files::{self, Access, Root};
use crate::placement::{self, State, access, state};

use super::run::Stage;

/// Installs what differs. All new content is on disk before the first file changes, and each file changes by a rename,
/// so it is always either the old or the new one.
pub(super) async fn place(stage: &Stage<'_>, bundle: &Arc<Bundle>) -> Result<Achieved<()>, Cause> {
    let run = stage.run;
    let different = {
        let (root, bundle) = (run.root.clone(), bundle.clone());
        files::off_task(move || different(&root, &bundle)).await?
    };
    if different.is_empty() {
        return Ok(Achieved::skipped((), "all files are in place"));
    }
    let is_installed = run.record().instance.is_some_and(|instance| instance.installed_at.is_some());
    if is_installed && !run.force {
        let drifted = different
            .iter()
            .filter(|it| placement::is_drift(&it.path, &it.state, &bundle.replicated))
            .map(|it| it.path.as_path());
        if let Some(cause) = placement::drift(drifted) {
            stage.warn(cause);
        }
        return Ok(Achieved::skipped((), "Replicated is installed and has read its files"));
    }
    if let Some(cause) = placement::other_keys(different.iter().map(|it| (it.path.as_path(), &it.state))) {
        return Err(cause);
    }
    if stage.is_dry_run() {
        let would: Vec<_> = different.iter().map(|it| would(&it.state, &it.path)).collect();
        return Ok(Achieved::done((), format!("would {}", would.join(", "))));
    }
    let names: Vec<_> = different.iter().map(|it| file_name(&it.path)).collect();
    let (root, bundle) = (run.root.clone(), bundle.clone());
    files::off_task(move || put(&root, &bundle, &different)).await?;
    Ok(Achieved::done((), format!("placed {}", names.join(", "))))
}

/// A destination that is not as it should be.
struct Different {
    path: PathBuf,
    access: Access,
    state: State,
}

fn different(root: &Root, bundle: &Bundle) -> Result<Vec<Different>, Cause> {
    let mut different = Vec::new();
    for wanted in bundle.placements() {
        let access = access(root, wanted.mode)?;
        match state(root, wanted, access)? {
            State::Right => {}
            state => different.push(Different { path: wanted.path.to_path_buf(), access, state }),
        }
    }
    Ok(different)
}

fn put(root: &Root, bundle: &Bundle, different: &[Different]) -> Result<(), Cause> {
    for wanted in bundle.placements() {
        let path = root.path(wanted.path);
        files::remove_leftover(&path).map_err(|error| files::failed("write", &path, &error))?;
    }
    let content = |it: &Different| {
        let wanted = bundle.placements().find(|wanted| wanted.path == it.path);
        wanted.map(|wanted| (root.path(&it.path), wanted.content, it.access))
    };
    let wanted: Vec<_> = different.iter().filter_map(content).collect();
    files::commit_all(files::prepare_all(&wanted)?)
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
