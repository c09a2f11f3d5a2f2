//! The installed state of the bundle's files: permissions, and whether the content is as expected.

use std::fs;
use std::io;
use std::path::Path;

use crate::bundle::{BundleFile, Placement, ReplicatedConf};
use crate::cause::Cause;
use crate::files::{self, Access, ReadError, Root};
use crate::kind::Kind;

/// The four files are readable by root and by the Replicated daemon, which runs as replicated:docker.
const MODE: u32 = 0o640;

/// The group whose members may use the Docker engine.
const DOCKER_GROUP: &str = "docker";

/// The permissions that the Replicated daemon needs on the files that it reads.
///
/// # Errors
/// `host.no_docker_group`.
pub(crate) fn access(root: &Root, mode: Option<u32>) -> Result<Access, Cause> {
    let group = root
        .group_id(DOCKER_GROUP)
        .map_err(|error| files::failed("read", &root.path("/etc/group"), &error))?
        .ok_or_else(|| {
            Cause::host(
                Kind::HostNoDockerGroup,
                "This box has no docker group, which the Replicated daemon needs.",
                "Install Docker in the AMI, or: groupadd --system docker",
            )
        })?;
    Ok(Access { mode: mode.unwrap_or(MODE), owner: Some((0, group)) })
}

/// How a file on this box compares with its expected content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Right,
    OtherContent,
    OtherAccess,
    Absent,
}

pub(crate) fn state(root: &Root, wanted: Placement<'_>, access: Access) -> Result<State, Cause> {
    let path = root.path(wanted.path);
    let read = || -> io::Result<State> {
        let metadata = fs::symlink_metadata(&path)?;
        // A longer one is another one.
        let is_same = metadata.is_file()
            && match files::read_bounded(&path, wanted.content.len()) {
                Ok(content) => content == wanted.content,
                Err(ReadError::Io(error)) => return Err(error),
                Err(_) => false,
            };
        if !is_same {
            return Ok(State::OtherContent);
        }
        Ok(if access.is_of(&metadata) { State::Right } else { State::OtherAccess })
    };
    match read() {
        Ok(state) => Ok(state),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::Absent),
        Err(error) => Err(files::failed("read", &path, &error)),
    }
}

/// Whether such a difference means that the source changed after this box was installed. Replicated may remove the
/// settings after importing them, and the installer changes modes.
pub(crate) fn is_drift(path: &Path, state: &State, replicated: &ReplicatedConf) -> bool {
    match state {
        State::OtherContent => true,
        State::Absent => {
            !(replicated.removes_settings && path == Path::new(BundleFile::Settings.installed_path()))
        }
        State::OtherAccess | State::Right => false,
    }
}

/// Refuses to overwrite different encryption keys: the installed ones may be the only way to decrypt the app's data, so
/// a person must decide which are right.
pub(crate) fn other_keys<'a>(different: impl Iterator<Item = (&'a Path, &'a State)>) -> Option<Cause> {
    let other = different.filter(|(path, state)| {
        **state == State::OtherContent && path.starts_with(crate::bundle::ENCRYPTION_KEYS)
    });
    let paths: Vec<String> = other.map(|(path, _)| path.display().to_string()).collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Cause::config(
            Kind::BundleOtherKeys,
            "The encryption keys at the source differ from the installed ones, which were not overwritten: without the right keys, the app cannot decrypt its data.",
            "Compare both sets. Correct circleci-encryption-keys/ at the source, or move the installed keys out of the way.",
        )
        .with("differs", paths.join(", ")),
    )
}

/// The warning about files that differ from the source; `None` if there are none.
pub(crate) fn drift<'a>(paths: impl Iterator<Item = &'a Path>) -> Option<Cause> {
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    if paths.is_empty() {
        return None;
    }
    Some(
        Cause::config(
            Kind::BundleDrift,
            "The source differs from the installed files; Replicated reads them at its first start only.",
            "To apply the source, replace this instance; or install again with: agent boot --force",
        )
        .with("differs", paths.join(", ")),
    )
}
