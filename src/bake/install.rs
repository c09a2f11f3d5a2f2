//! What a bake installs besides the images: the installer and the lock, the unit, the settings file.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::command::CommandContext;
use crate::console::Level;
use crate::docker::lock::{self, Lock, LockedInstaller, LockedOperator, Sha256};
use crate::files::{self, Access, Prepared, Root};
use crate::http::{self, Http};
use crate::kind::Kind;
use crate::replicated::edition::{Edition, OperatorEdition};
use crate::replicated::script;
use crate::settings::SETTINGS_FILE;
use crate::{unit, wait};

use super::plan::BakePlan;
use super::release::{self, Release};
use super::step::Step;

/// The settings file that documents every key; as installed, it changes nothing.
const SETTINGS: &str = include_str!("../../packer/agent.toml");

/// Timeout for `systemctl`, which only changes some links.
const SYSTEMCTL: Duration = Duration::from_secs(60);

/// Both scripts in memory.
pub(super) struct Installer {
    content: Vec<u8>,
    operator: Option<Vec<u8>>,
    pub(super) locked: LockedInstaller,
    pub(super) release: Release,
}

/// Fetches the installer and the script that it would download itself, waiting for their server, and verifies that both
/// are the intended ones.
///
/// # Errors
/// Those of [`script::download`], [`Edition::read`] and [`OperatorEdition::read`]; [`Release::findings`], all in one.
pub(super) async fn fetch(
    step: &Step<'_>,
    world: &CommandContext,
    wanted: &BakePlan,
) -> Result<Achieved<Option<Installer>>, Cause> {
    let Some(replicated) = &wanted.replicated else {
        return Ok(Achieved::skipped(
            None,
            "images.toml has no [replicated] section, so the installer is not pinned",
        ));
    };
    let arguments = &world.settings.install.arguments;
    let client = http::build(Http::new(world.root.clone()).outgoing()?)?;
    let url = replicated.url()?;
    let (content, sha256) =
        download(step, world, &client, url.as_str(), replicated.sha256.as_ref(), "sha256").await?;
    let edition = Edition::read(&content, url.as_str()).map_err(correct_versions)?;
    let mut release = Release { edition, operator: None };
    let judge = |release: &Release| {
        let images = wanted.images.iter().map(|image| &image.reference);
        let findings = release.findings(Some(replicated), images, arguments);
        if findings.is_empty() { Ok(()) } else { Err(Cause::together(findings)) }
    };
    // A different version has a different second script, or none.
    judge(&release)?;
    let operator_url = release.edition.operator_url.clone();
    let operator_url = operator_url.filter(|_| release::runs_operator(&release.edition, arguments));
    let operator = match &operator_url {
        None => None,
        Some(url) => {
            let expected = replicated.operator_sha256.as_ref();
            let fetched = download(step, world, &client, url, expected, "operator_sha256").await?;
            release.operator = Some(OperatorEdition::read(&fetched.0, url)?);
            Some(fetched)
        }
    };
    judge(&release)?;
    let mut detail = format!(
        "Replicated {}, {} bytes, SHA-256 {}",
        release.edition.version,
        content.len(),
        sha256.as_str()
    );
    if let Some((operator, sha256)) = &operator {
        detail.push_str(&format!(
            "; the operator's script, {} bytes, SHA-256 {}",
            operator.len(),
            sha256.as_str()
        ));
    }
    let locked = LockedInstaller {
        url: url.into(),
        sha256,
        version: Some(release.edition.version.clone()),
        arguments_known: release.edition.arguments_known.iter().cloned().collect(),
        operator: operator_url
            .zip(operator.as_ref())
            .map(|(url, (_, sha256))| LockedOperator { url, sha256: sha256.clone() }),
    };
    let operator = operator.map(|(content, _)| content);
    Ok(Achieved::done(Some(Installer { content, operator, locked, release }), detail))
}

/// One script, waiting for its server; `key` is what pins its checksum in `images.toml`.
async fn download(
    step: &Step<'_>,
    world: &CommandContext,
    client: &reqwest::Client,
    url: &str,
    expected: Option<&Sha256>,
    key: &str,
) -> Result<(Vec<u8>, Sha256), Cause> {
    let attempt = async || script::download(url, expected, client).await;
    let waiting = |cause: &Cause| step.waiting(cause);
    let fetched = wait::until(world.settings.images_wait, wait::is_external, waiting, attempt).await;
    let (content, sha256) = fetched.map_err(|mut cause| {
        if cause.kind == Kind::InstallerChecksum {
            cause.next_step = format!("Find out what changed, then correct replicated.{key} in images.toml.");
        } else if wait::is_external(&cause) {
            cause.next_step = "Make the URL reachable (route, NAT, proxy), and bake again.".to_owned();
        } else {
            cause = correct_versions(cause);
        }
        cause
    })?;
    let sha256 = Sha256::try_from(sha256)
        .map_err(|why| Cause::host(Kind::InstallerChecksum, why, "Report this as a bug."))?;
    Ok((content, sha256))
}

fn correct_versions(cause: Cause) -> Cause {
    let next_step =
        "Correct the versions or the url under [replicated] in images.toml; an unknown version is refused.";
    Cause { next_step: next_step.to_owned(), ..cause }
}

/// Installs the scripts and then the lock, which describes everything else.
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
        if let Some(operator) = &installer.operator {
            prepared.push(prepare(root, script::PINNED_OPERATOR, operator, 0o755)?);
        }
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
            Kind::UnitNotEnabled,
            format!("systemd did not enable {}.", unit::NAME),
            format!("See why: systemctl enable {}", unit::NAME),
        )
        .with("systemctl", said));
    }
    Ok(Achieved::done((), format!("{} enabled", unit::NAME)))
}

/// Installs the settings file that shows every key with its default, unless one exists.
///
/// # Errors
/// `host.file`.
pub(super) fn settings(root: &Root) -> Result<Achieved<()>, Cause> {
    let path = root.path(SETTINGS_FILE);
    if path.exists() {
        return Ok(Achieved::skipped((), format!("{} exists", path.display())));
    }
    files::commit_all(vec![prepare(root, SETTINGS_FILE, SETTINGS.as_bytes(), 0o644)?])?;
    Ok(Achieved::done((), format!("{} with every key at its default", path.display())))
}

/// Whether the unit is enabled, and systemd's output.
///
/// # Errors
/// `unit.systemctl`.
pub(super) async fn is_enabled(root: &Root) -> Result<(bool, String), Cause> {
    // The exit code is also 0 for a unit without [Install].
    let (_, said) = systemctl(root, "is-enabled").await?;
    Ok((said == "enabled", said))
}

/// `systemctl WORD boot-agent.service`, which works on files only if systemd is not running; whether it succeeded, and
/// its output.
///
/// # Errors
/// `unit.systemctl` (config if it does not exist, host if it hangs).
async fn systemctl(root: &Root, word: &str) -> Result<(bool, String), Cause> {
    let mut command = Command::new("systemctl");
    if !root.is_system() {
        command.arg("--root").arg(root.directory());
    }
    command.arg(word).arg(unit::NAME);
    command.stdin(Stdio::null()).kill_on_drop(true).env("SYSTEMD_PAGER", "");
    let output = tokio::time::timeout(SYSTEMCTL, command.output()).await.map_err(|_| {
        Cause::host(
            Kind::UnitSystemctl,
            format!("systemctl {word} did not finish within {} s.", SYSTEMCTL.as_secs()),
            "See what systemd is doing: systemctl list-jobs.",
        )
    })?;
    let output = output.map_err(|error| no_systemctl(&error))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}

fn no_systemctl(error: &io::Error) -> Cause {
    Cause::config(
        Kind::UnitSystemctl,
        "systemctl is not available, so the unit cannot be enabled.",
        "Use a base image with systemd; on Debian: apt-get install systemd.",
    )
    .with_error(error)
}

fn prepare(root: &Root, path: impl AsRef<OsStr>, content: &[u8], mode: u32) -> Result<Prepared, Cause> {
    let path = root.path(path.as_ref());
    Prepared::write(path.clone(), content, Access { mode, owner: None })
        .map_err(|error| files::failed("write", &path, &error))
}
