//! What a bake puts in place beside the images: the installer and the lock, the unit, the settings file.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::command::World;
use crate::console::Level;
use crate::docker::lock::{self, Lock, LockedInstaller, Sha256};
use crate::files::{self, Access, Prepared, Root};
use crate::http::{self, Http};
use crate::replicated::script;
use crate::settings::SETTINGS_FILE;
use crate::{unit, wait};

use super::step::Step;
use super::wanted::Replicated;

/// The settings file that documents every key, and changes nothing as it stands.
const SETTINGS: &str = include_str!("../../packer/agent.toml");

/// How long `systemctl` may take; it changes some links.
const SYSTEMCTL: Duration = Duration::from_secs(60);

/// An installer in memory.
pub(super) struct Installer {
    content: Vec<u8>,
    pub(super) locked: LockedInstaller,
}

/// Fetches the installer, waiting for its server.
///
/// # Errors
/// Those of [`script::download`].
pub(super) async fn fetch(
    step: &Step<'_>,
    world: &World,
    replicated: Option<&Replicated>,
) -> Result<Achieved<Option<Installer>>, Cause> {
    let Some(replicated) = replicated else {
        return Ok(Achieved::skipped(None, "images.toml has no [replicated], so none is pinned"));
    };
    let url = replicated.url()?;
    let client = http::build(Http::new(world.root.clone()).outgoing()?)?;
    let attempt = async || script::download(url.as_str(), replicated.sha256.as_ref(), &client).await;
    let waiting = |cause: &Cause| step.waiting(cause);
    let fetched = wait::until(world.settings.images_wait, wait::is_external, waiting, attempt).await;
    let (content, sha256) = fetched.map_err(|mut cause| {
        cause.next_step = match cause.kind.as_ref() {
            "installer.checksum" => "Look at what changed, then correct replicated.sha256 in images.toml.",
            _ if wait::is_external(&cause) => "Open the way to the URL (route, NAT, proxy), and bake again.",
            _ => "Correct the versions or the url under [replicated] in images.toml; an unknown version is refused.",
        }
        .to_owned();
        cause
    })?;
    let detail = format!("{} bytes, SHA-256 {sha256}", content.len());
    let sha256 = Sha256::try_from(sha256)
        .map_err(|why| Cause::host("installer.checksum", why, "Report this as a bug."))?;
    let locked = LockedInstaller {
        url: url.into(),
        sha256,
        version: None,
        arguments_known: Vec::new(),
        operator: None,
    };
    Ok(Achieved::done(Some(Installer { content, locked }), detail))
}

/// Puts the installer and the lock in place, the lock last: it promises everything else.
///
/// # Errors
/// `host.file`; `lock.value`.
pub(super) fn write(
    step: &Step<'_>,
    root: &Root,
    lock: &Lock,
    installer: Option<&Installer>,
) -> Result<Achieved<()>, Cause> {
    let path = root.path(lock::FILE);
    let changes = match Lock::read(&path) {
        Ok(Some(older)) => lock.changes_since(&older),
        Ok(None) => Vec::new(),
        Err(cause) => {
            step.note(Level::Warning, "the lock that was there is replaced unread:", Some(cause));
            Vec::new()
        }
    };
    let mut prepared = Vec::new();
    if let Some(installer) = installer {
        prepared.push(prepare(root, script::PINNED, &installer.content, 0o755)?);
    }
    prepared.push(prepare(root, lock::FILE, lock.to_text()?.as_bytes(), 0o644)?);
    files::commit_all(prepared)?;
    for change in changes {
        step.note(Level::Info, change, None);
    }
    Ok(Achieved::done((), path.display().to_string()))
}

/// Installs and enables the unit.
///
/// # Errors
/// `host.file`; `unit.systemctl`.
pub(super) async fn enable_unit(root: &Root) -> Result<Achieved<()>, Cause> {
    files::commit_all(vec![prepare(root, unit::PATH, unit::text().as_bytes(), 0o644)?])?;
    let (succeeded, said) = systemctl(root, "enable").await?;
    if !succeeded {
        return Err(Cause::host(
            "unit.not_enabled",
            format!("systemd did not enable {}.", unit::NAME),
            format!("Look at why: systemctl enable {}", unit::NAME),
        )
        .with("systemctl", said));
    }
    Ok(Achieved::done((), format!("{} enabled", unit::NAME)))
}

/// Puts the settings file in place that shows every key with its default, unless there is one.
///
/// # Errors
/// `host.file`.
pub(super) fn settings(root: &Root) -> Result<Achieved<()>, Cause> {
    let path = root.path(SETTINGS_FILE);
    if path.exists() {
        return Ok(Achieved::skipped((), format!("{} is there", path.display())));
    }
    files::commit_all(vec![prepare(root, SETTINGS_FILE, SETTINGS.as_bytes(), 0o644)?])?;
    Ok(Achieved::done((), format!("{} with every key, each at its default", path.display())))
}

/// Whether the unit is started at every boot, and what systemd says of it.
///
/// # Errors
/// `unit.systemctl`.
pub(super) async fn is_enabled(root: &Root) -> Result<(bool, String), Cause> {
    // Not by the exit code, which is 0 for a unit without [Install] as well.
    let (_, said) = systemctl(root, "is-enabled").await?;
    Ok((said == "enabled", said))
}

/// `systemctl WORD boot-agent.service`, which works on files alone where no systemd runs; whether it succeeded, and
/// what it said.
///
/// # Errors
/// `unit.systemctl` (config: there is none, or host: it hangs).
async fn systemctl(root: &Root, word: &str) -> Result<(bool, String), Cause> {
    let mut command = Command::new("systemctl");
    if !root.is_system() {
        command.arg("--root").arg(root.directory());
    }
    command.arg(word).arg(unit::NAME);
    command.stdin(Stdio::null()).kill_on_drop(true).env("SYSTEMD_PAGER", "");
    let output = tokio::time::timeout(SYSTEMCTL, command.output()).await.map_err(|_| {
        Cause::host(
            "unit.systemctl",
            format!("systemctl {word} did not end within {} s.", SYSTEMCTL.as_secs()),
            "Look at what systemd does: systemctl list-jobs.",
        )
    })?;
    let output = output.map_err(|error| no_systemctl(&error))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}

fn no_systemctl(error: &io::Error) -> Cause {
    Cause::config(
        "unit.systemctl",
        "systemctl cannot be run, so the unit cannot be enabled.",
        "Bake an image that has systemd; on Debian: apt-get install systemd.",
    )
    .with_error(error)
}

fn prepare(root: &Root, path: impl AsRef<OsStr>, content: &[u8], mode: u32) -> Result<Prepared, Cause> {
    let path = root.path(path.as_ref());
    Prepared::write(path.clone(), content, Access { mode, owner: None })
        .map_err(|error| files::failed("write", &path, &error))
}
