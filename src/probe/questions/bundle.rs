//! The bundle as it is in place on this box.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use crate::bundle::{self, BundleFile, Finding};
use crate::cause::Cause;
use crate::files::{self, Access, Root};
use crate::kind::Kind;
use crate::placement::{self, State};
use crate::source;

/// Reading by the group, which Replicated's daemon is in, and by everybody.
const GROUP_READS: u32 = 0o040;
const ALL_READ: u32 = 0o004;

/// Whether each file exists with the right permissions, without opening it, so that this works without root.
pub(super) async fn files(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let ground = inquiry.facts.ground;
    let mut wanted: Vec<(PathBuf, Option<u32>)> =
        BundleFile::ALL.iter().map(|file| (PathBuf::from(file.installed_path()), None)).collect();
    // Only the source knows which files a tree should have; this checks the permissions of the installed ones.
    let (places, unlisted) = source::placed(ground.root, &ground.settings.extra);
    if let Some((_, cause)) = unlisted.into_iter().next() {
        return Err(cause.into());
    }
    wanted.extend(places.into_iter().map(|(path, mode)| (path, Some(mode))));
    let mut present = 0;
    let (mut absent, mut odd) = (Vec::new(), Vec::new());
    for (path, mode) in &wanted {
        let access = placement::access(ground.root, *mode)?;
        match outside(ground.root, path, access)? {
            Outside::Right => present += 1,
            Outside::Absent => absent.push(path.as_path()),
            Outside::Other(what) => odd.push(what),
        }
    }
    if absent.contains(&Path::new(BundleFile::Settings.installed_path())) && removes_settings(inquiry).await {
        absent.retain(|path| *path != Path::new(BundleFile::Settings.installed_path()));
    }
    if !absent.is_empty() {
        return Ok(Outcome::Failed { cause: missing(&absent) });
    }
    match odd.iter().position(|what| !what.is_readable).or((!odd.is_empty()).then_some(0)) {
        Some(first) => Ok(wrong_access(&odd[first], &odd)),
        None => Ok(Outcome::good(format!("{present} files, accessible only to root and the docker group"))),
    }
}

/// A file of the bundle as it looks without being opened.
enum Outside {
    Right,
    Absent,
    Other(OtherAccess),
}

struct OtherAccess {
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
    wanted: Access,
    /// By Replicated's daemon.
    is_readable: bool,
}

fn outside(root: &Root, path: &Path, wanted: Access) -> Result<Outside, Cause> {
    let shown = root.path(path);
    let metadata = match fs::symlink_metadata(&shown) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outside::Absent),
        Err(error) => return Err(files::failed("look at", &shown, &error)),
    };
    if metadata.is_file() && wanted.is_of(&metadata) {
        return Ok(Outside::Right);
    }
    let (mode, owner) = (metadata.mode() & 0o7777, (metadata.uid(), metadata.gid()));
    let is_of_group = wanted.owner.is_none_or(|(_, group)| group == owner.1);
    let is_readable =
        metadata.is_file() && (mode & ALL_READ != 0 || (is_of_group && mode & GROUP_READS != 0));
    Ok(Outside::Other(OtherAccess { path: path.to_path_buf(), mode, owner, wanted, is_readable }))
}

/// Whether Replicated is configured to remove the settings after importing them; unknown without root.
async fn removes_settings(inquiry: &Inquiry<'_>) -> bool {
    match inquiry.need(inquiry.facts.in_place()).await {
        Ok(look) => look.validation.replicated.removes_settings,
        // Told as what cannot be known by the check that needs to read it.
        Err(_) => false,
    }
}

fn missing(absent: &[&Path]) -> Cause {
    let names: Vec<String> = absent.iter().map(|path| path.display().to_string()).collect();
    let sentence = match names.as_slice() {
        [one] => format!("{one} is missing."),
        many => format!("{} files of the bundle are missing.", many.len()),
    };
    Cause::host(Kind::BundleNotInPlace, sentence, "Boot this instance: agent boot SOURCE")
        .with("missing", names.join(", "))
}

fn wrong_access(first: &OtherAccess, all: &[OtherAccess]) -> Outcome {
    let path = first.path.display();
    let (uid, gid) = first.wanted.owner.unwrap_or_default();
    let next_step = format!("chown {uid}:{gid} {path} && chmod {:04o} {path}", first.wanted.mode);
    let cause = match first.is_readable {
        true => Cause::host(
            Kind::BundleAccess,
            format!("{path} has permissions or an owner that are too open."),
            next_step,
        ),
        false => Cause::host(
            Kind::BundleUnreadable,
            format!("Replicated, which runs in the docker group, cannot read {path}."),
            next_step,
        ),
    };
    let cause = all.iter().fold(cause, |cause, other| {
        let (uid, gid) = other.owner;
        cause.with("found", format!("{} {:04o} {uid}:{gid}", other.path.display(), other.mode))
    });
    if first.is_readable { Outcome::Warning { cause } } else { Outcome::Failed { cause } }
}

pub(super) async fn valid(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let look = inquiry.facts.in_place().await?;
    if look.fetched.files.is_empty() {
        return Ok(Outcome::waits_for("bundle.files"));
    }
    Ok(verdict(&look.validation.findings, "this box got its own copy"))
}

/// The result for the findings of a bundle; `consequence` ends the sentence about its errors.
pub(super) fn verdict(findings: &[Finding], consequence: &str) -> Outcome {
    if findings.iter().any(Finding::is_error) {
        return Outcome::Failed { cause: bundle::invalid(findings, consequence) };
    }
    match findings {
        [] => Outcome::good("valid"),
        warnings => {
            let causes = warnings.iter().map(Finding::located).collect();
            Outcome::Warning { cause: Cause::together(causes) }
        }
    }
}

/// Compares as a boot does, with what the source holds now.
pub(super) async fn drift(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let in_place = inquiry.need(facts.in_place()).await?;
    if in_place.fetched.files.is_empty() {
        return Ok(Outcome::waits_for("bundle.files"));
    }
    let at_source = inquiry.need(facts.at_source()).await?;
    let root = facts.ground.root;
    let mut drifted = Vec::new();
    for wanted in at_source.fetched.four().chain(at_source.fetched.others()) {
        let access = placement::access(root, wanted.mode)?;
        let state = placement::state(root, wanted, access)?;
        if placement::is_drift(wanted.path, &state, &in_place.validation.replicated) {
            if state == State::Absent {
                return Ok(Outcome::waits_for("bundle.files"));
            }
            drifted.push(wanted.path);
        }
    }
    Ok(match placement::drift(drifted.into_iter()) {
        Some(cause) => Outcome::Warning { cause },
        None => Outcome::good("the installed files match the source"),
    })
}
