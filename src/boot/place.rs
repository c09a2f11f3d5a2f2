//! Stage 5: every file in its place, all or none.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bundle::{Bundle, BundleFile, Placement};
use crate::cause::Cause;
use crate::files::{self, Access, Prepared, Root};

use super::run::{Achieved, Stage};

/// What the four files may be read by: root, and the Replicated daemon, which runs as replicated:docker.
const MODE: u32 = 0o640;

/// The group whose members may use the Docker engine.
const DOCKER_GROUP: &str = "docker";

/// The access that Replicated's daemon needs to the files that it reads.
///
/// # Errors
/// `host.no_docker_group`.
pub(super) fn access(root: &Root, mode: Option<u32>) -> Result<Access, Cause> {
    let group = root
        .group_id(DOCKER_GROUP)
        .map_err(|error| files::failed("read", &root.path("/etc/group"), &error))?
        .ok_or_else(|| {
            Cause::host(
                "host.no_docker_group",
                "This box has no group docker, to which the Replicated daemon belongs.",
                "Install Docker in the AMI, or: groupadd --system docker",
            )
        })?;
    Ok(Access { mode: mode.unwrap_or(MODE), owner: Some((0, group)) })
}

/// How a destination on this box compares with what it should hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Right,
    OtherContent,
    OtherAccess,
    Absent,
}

pub(super) fn state(root: &Root, wanted: Placement<'_>, access: Access) -> Result<State, Cause> {
    let path = root.path(wanted.path);
    let read = || -> io::Result<State> {
        let metadata = fs::symlink_metadata(&path)?;
        if !metadata.is_file() || fs::read(&path)? != wanted.content {
            return Ok(State::OtherContent);
        }
        let is_same = metadata.mode() & 0o7777 == access.mode
            && access.owner.is_none_or(|owner| owner == (metadata.uid(), metadata.gid()));
        Ok(if is_same { State::Right } else { State::OtherAccess })
    };
    match read() {
        Ok(state) => Ok(state),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Absent),
        Err(error) => Err(files::failed("read", &path, &error)),
    }
}

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
        return Ok(Achieved::skipped((), "every file is in place"));
    }
    let is_installed = run.record().instance.is_some_and(|instance| instance.installed_at.is_some());
    if is_installed && !run.force {
        let is_drift = |wanted: &Placement<'_>, state: &State| match state {
            State::OtherContent => true,
            State::Absent => {
                !(bundle.replicated.removes_settings
                    && wanted.path == Path::new(BundleFile::Settings.installed_path()))
            }
            State::OtherAccess | State::Right => false,
        };
        let drifted = different.iter().filter(|(wanted, _, state)| is_drift(wanted, state));
        let drifted = drifted.map(|(wanted, ..)| wanted.path);
        if let Some(cause) = drift(drifted) {
            stage.warn(cause);
        }
        return Ok(Achieved::skipped((), "Replicated is installed and has read its files"));
    }
    let mut prepared = Vec::with_capacity(different.len());
    for (wanted, access, _) in &different {
        let path = run.root.path(wanted.path);
        let file = Prepared::write(path.clone(), wanted.content, *access)
            .map_err(|error| files::failed("write", &path, &error))?;
        prepared.push(file);
    }
    files::commit_all(prepared)?;
    let names: Vec<_> = different.iter().map(|(wanted, ..)| file_name(wanted.path)).collect();
    Ok(Achieved::done((), format!("placed {}", names.join(", "))))
}

fn drift<'a>(paths: impl Iterator<Item = &'a Path>) -> Option<Cause> {
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Cause::config(
            "bundle.drift",
            "The source differs from what is in place; Replicated reads its files at its first start only.",
            "To apply the source, replace this instance; or install again with: agent boot --force",
        )
        .with("differs", paths.join(", ")),
    )
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
