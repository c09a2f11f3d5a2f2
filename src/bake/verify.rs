//! `agent bake --verify`: whether an image is ready to ship, every answer at once, and nothing changed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;

use crate::cause::Cause;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::{Verbosity, text};
use crate::docker::engine::Engine;
use crate::docker::images;
use crate::docker::lock::{self, Lock};
use crate::files;
use crate::kind::Kind;
use crate::replicated::edition::{Edition, OperatorEdition};
use crate::replicated::{pins, script};
use crate::secret::url;
use crate::unit;

use super::plan::{self, BakePlan};
use super::release::{self, Release};
use super::{hygiene, install};

/// The path of the binary in the unit and in user-data.
const BINARY: &str = "/usr/local/bin/agent";

/// Timeout for `agent --version`, which takes milliseconds.
const VERSION: Duration = Duration::from_secs(10);

const BAKE_AGAIN: &str = "Bake again: agent bake --clean";

/// One check of the image.
#[derive(Serialize)]
struct Check {
    id: &'static str,
    outcome: CheckOutcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Cause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Cause>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum CheckOutcome {
    Passed,
    Failed,
    Skipped,
}

impl Check {
    /// Passed if there are no failures.
    fn of(id: &'static str, detail: String, failures: Vec<Cause>) -> Self {
        let outcome = if failures.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        Check { id, outcome, detail, failures, warnings: Vec::new() }
    }

    fn from(id: &'static str, answer: Result<String, Cause>) -> Self {
        match answer {
            Ok(detail) => Check::of(id, detail, Vec::new()),
            Err(cause) => Check::of(id, String::new(), vec![cause]),
        }
    }

    fn skipped(id: &'static str, why: &str) -> Self {
        Check { outcome: CheckOutcome::Skipped, ..Check::of(id, why.to_owned(), Vec::new()) }
    }

    fn text(&self) -> String {
        let sign = match self.outcome {
            CheckOutcome::Passed => text::green("✓"),
            CheckOutcome::Failed => text::red("✗"),
            CheckOutcome::Skipped => text::faint("–"),
        };
        let mut said = format!("{}\n", format!("{sign} {:<10} {}", self.id, self.detail).trim_end());
        for (cause, render) in
            [(&self.failures, text::cause as fn(&Cause) -> String), (&self.warnings, text::warning)]
                .into_iter()
                .flat_map(|(causes, render)| causes.iter().map(move |cause| (cause, render)))
        {
            for line in render(cause).lines() {
                said.push_str(&format!("  {line}\n"));
            }
        }
        said
    }
}

/// Runs every check.
pub(super) async fn verify(world: &CommandContext, engine: &Engine) -> CommandOutput {
    let lock = Lock::read(&world.root.path(lock::FILE)).and_then(|lock| {
        lock.ok_or_else(|| {
            Cause::config(
                Kind::LockMissing,
                "There is no image lock: the bake of this image did not finish.",
                BAKE_AGAIN,
            )
            .with("file", world.root.path(lock::FILE).display())
        })
    });
    let locked = lock.as_ref().ok();
    let containers = engine.containers().await;
    let mut checks = vec![match &lock {
        Ok(lock) => lock_check(world, lock),
        Err(cause) => Check::of("lock", String::new(), vec![cause.clone()]),
    }];
    checks.push(match locked {
        Some(lock) => images_check(lock, engine).await,
        None => Check::skipped("images", "waits for lock"),
    });
    checks.push(installer_check(world, locked));
    checks.push(release_check(world, locked));
    let unit = unit_failures(world).await;
    let detail =
        if unit.is_empty() { format!("{} is installed and enabled", unit::NAME) } else { String::new() };
    checks.push(Check::of("unit", detail, unit));
    checks.push(Check::from("binary", binary(&world.root.path(BINARY)).await));
    checks.push(hygiene_check(world, containers.as_deref().ok()));

    for check in &mut checks {
        check.detail = world.secrets.own(&check.detail);
        check.failures.iter_mut().chain(&mut check.warnings).for_each(|cause| cause.scrub(&world.secrets));
    }

    let is_fit = checks.iter().all(|check| check.outcome != CheckOutcome::Failed);
    let failed: usize = checks.iter().map(|check| check.failures.len()).sum();
    let is_quiet = world.console.verbosity() == Verbosity::Quiet;
    let is_shown = |check: &&Check| !is_quiet || !check.failures.is_empty() || !check.warnings.is_empty();
    let mut said: String = checks.iter().filter(is_shown).map(Check::text).collect();
    said.push_str(&if is_fit && is_quiet {
        String::new()
    } else if is_fit {
        format!("{} ready to ship\n", text::green("✓"))
    } else {
        let findings = if failed == 1 { "1 finding".to_owned() } else { format!("{failed} findings") };
        format!("{} not ready to ship: {findings}\n", text::red("✗"))
    });
    let json = serde_json::json!({ "version": 1, "fit": is_fit, "checks": checks });
    CommandOutput { text: said, json, exit: if is_fit { Exit::Good } else { Exit::Failed } }
}

/// Compares the lock with `images.toml`, if that is in the image.
fn lock_check(world: &CommandContext, lock: &Lock) -> Check {
    let detail = format!("{} images", lock.images.len());
    let file = world.root.path(plan::FILE);
    if !file.exists() {
        return Check::of("lock", detail, Vec::new());
    }
    let wanted = match BakePlan::read(&file) {
        Ok(wanted) => wanted,
        Err(cause) => return Check::of("lock", detail, vec![cause]),
    };
    let stale = |what: String| {
        Cause::config(
            Kind::LockStale,
            format!("The image lock is older than images.toml: {what}."),
            BAKE_AGAIN,
        )
    };
    let mut failures = Vec::new();
    for image in &wanted.images {
        let found = lock.images.iter().find(|locked| locked.reference == image.reference);
        match found {
            None => failures.push(stale(format!("it has no {}", image.reference))),
            Some(locked)
                if locked.alias != image.alias()
                    || image.digest.as_ref().is_some_and(|digest| locked.digest.as_ref() != Some(digest)) =>
            {
                failures.push(stale(format!("{} differs", image.reference)));
            }
            Some(_) => {}
        }
    }
    let needed = release(world, lock).map(|release| release.images()).unwrap_or_default();
    for locked in &lock.images {
        let is_wanted = wanted.images.iter().any(|image| image.reference == locked.reference);
        if !is_wanted && !needed.contains(&locked.reference) {
            failures.push(stale(format!("it has {}, which images.toml does not list", locked.reference)));
        }
    }
    let url = wanted.replicated.as_ref().and_then(|replicated| replicated.url().ok());
    let pinned = lock.installer.as_ref().map(|installer| installer.url.as_str());
    if url.as_ref().map(reqwest::Url::as_str) != pinned {
        failures.push(stale("it pins a different installer".to_owned()));
    }
    Check::of("lock", detail, failures)
}

/// Checks each locked image's ID and name. Aliases are not checked: they contain an instance's address.
async fn images_check(lock: &Lock, engine: &Engine) -> Check {
    let images = match engine.images().await {
        Ok(images) => images,
        Err(cause) => return Check::of("images", String::new(), vec![cause]),
    };
    let failures = images::unfulfilled(lock, &images);
    Check::of("images", format!("{} with the locked IDs", lock.images.len() - failures.len()), failures)
}

fn installer_check(world: &CommandContext, lock: Option<&Lock>) -> Check {
    let pinned = lock.and_then(|lock| lock.installer.as_ref());
    match (pinned, &world.settings.install.url, lock) {
        (None, None, None) => Check::skipped("installer", "waits for lock"),
        (None, Some(url), None) => {
            Check::skipped("installer", &format!("fetched at boot from {}", url::shown(url.as_str())))
        }
        // A boot with this lock would refuse to run any installer.
        (None, _, Some(lock)) => {
            let missing = pins::installer(lock).err();
            Check::of("installer", String::new(), missing.into_iter().collect())
        }
        (Some(pinned), _, _) => {
            let scripts = [
                (script::PINNED, Some(&pinned.sha256)),
                (script::PINNED_OPERATOR, pinned.operator.as_ref().map(|operator| &operator.sha256)),
            ];
            let locked = scripts.into_iter().filter_map(|(path, sha256)| Some((path, sha256?)));
            let found = locked.map(|(path, sha256)| script::from_file(&world.root.path(path), Some(sha256)));
            let (good, bad): (Vec<_>, Vec<_>) = found.partition(Result::is_ok);
            let sums: Vec<String> = good.into_iter().flatten().map(|script| script.sha256).collect();
            let detail = format!("SHA-256 {}", sums.join(" and "));
            Check::of("installer", detail, bad.into_iter().filter_map(Result::err).collect())
        }
    }
}

/// What the pinned scripts declare.
fn release(world: &CommandContext, lock: &Lock) -> Result<Release, Cause> {
    let read = |path: &str| {
        let path = world.root.path(path);
        let (content, _) = script::read(&path, None)?;
        Ok::<_, Cause>((content, path.display().to_string()))
    };
    let (content, place) = read(script::PINNED)?;
    let edition = Edition::read(&content, &place)?;
    let has_operator = lock.installer.as_ref().is_some_and(|installer| installer.operator.is_some());
    let operator = if has_operator {
        let (content, place) = read(script::PINNED_OPERATOR)?;
        Some(OperatorEdition::read(&content, &place)?)
    } else {
        None
    };
    Ok(Release { edition, operator })
}

/// Checks that scripts, images and arguments match, and that a boot has to download nothing.
fn release_check(world: &CommandContext, lock: Option<&Lock>) -> Check {
    let Some((lock, installer)) = lock.and_then(|lock| Some((lock, lock.installer.as_ref()?))) else {
        return Check::skipped("release", "the installer is not pinned");
    };
    let release = match release(world, lock) {
        Ok(release) => release,
        Err(cause) => return Check::of("release", String::new(), vec![cause]),
    };
    let arguments = &world.settings.install.arguments;
    // `images.toml` is in the image too, unless a person removed it.
    let wanted = BakePlan::read(&world.root.path(plan::FILE)).ok();
    let asked = wanted.as_ref().and_then(|wanted| wanted.replicated.as_ref());
    let locked = || lock.images.iter().map(|image| &image.reference);
    let mut failures = release.findings(asked, locked(), arguments);
    if installer.operator.is_none() && release::runs_operator(&release.edition, arguments) {
        failures.push(Cause::config(
            Kind::InstallerOperatorUnpinned,
            "The image lock does not pin the operator's script, which the installer downloads and runs as root.",
            BAKE_AGAIN,
        ));
    }
    for image in release.images().iter().filter(|image| !locked().any(|locked| locked == *image)) {
        failures.push(Cause::config(
            Kind::ImagesForgotten,
            format!("The image lock lacks {image}, which the installer starts: every boot would pull it."),
            BAKE_AGAIN,
        ));
    }
    let detail = format!("Replicated {}, scripts, images and arguments agree", release.edition.version);
    Check::of("release", if failures.is_empty() { detail } else { String::new() }, failures)
}

async fn unit_failures(world: &CommandContext) -> Vec<Cause> {
    let mut failures = Vec::new();
    let path = world.root.path(unit::PATH);
    match files::read_text(&path) {
        Ok(text) if text == unit::text() => {}
        Ok(_) => failures.push(
            Cause::config(
                Kind::UnitOther,
                "The installed unit differs from the one that this agent was built with.",
                BAKE_AGAIN,
            )
            .with("file", path.display()),
        ),
        Err(error) => failures.push(
            Cause::config(Kind::UnitMissing, "The boot-agent.service unit is not installed.", BAKE_AGAIN)
                .with("file", path.display())
                .with_error(&error),
        ),
    }
    match install::is_enabled(&world.root).await {
        Ok((true, _)) => {}
        Ok((false, said)) => failures.push(
            Cause::config(
                Kind::UnitNotEnabled,
                format!("{} is not enabled, so an instance of this image would not boot.", unit::NAME),
                format!("Enable it: systemctl enable {}", unit::NAME),
            )
            .with("systemctl", said),
        ),
        Err(cause) => failures.push(cause),
    }
    failures
}

/// The binary at the path in the unit and in user-data, run with this kernel and the image's libraries, if any.
async fn binary(path: &Path) -> Result<String, Cause> {
    let next_step = format!("Install it: install -m 0755 agent {}", path.display());
    let wrong = |kind, sentence: &str| Cause::config(kind, sentence, &next_step).with("file", path.display());
    let found = std::fs::metadata(path)
        .map_err(|error| wrong(Kind::BinaryMissing, "The agent is not in the image.").with_error(&error))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(wrong(Kind::BinaryNotExecutable, "The agent in the image is not executable."));
    }
    let mut command = Command::new(path);
    command.arg("--version").env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let failed =
        |why: String| wrong(Kind::BinaryBroken, "The agent in the image fails to run.").with("error", why);
    let output = tokio::time::timeout(VERSION, command.output())
        .await
        .map_err(|_| failed(format!("no response within {} s", VERSION.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let own = concat!("agent ", env!("CARGO_PKG_VERSION"));
    if said != own {
        let cause = wrong(Kind::BinaryOther, "The agent in the image has a different version.");
        return Err(cause.with("found", said).with("this", own));
    }
    Ok(format!("{said}, {}", path.display()))
}

fn hygiene_check(world: &CommandContext, containers: Option<&[crate::docker::engine::Container]>) -> Check {
    let found = match hygiene::scan(&world.root, &world.settings, containers) {
        Ok(found) => found,
        Err(cause) => return Check::of("hygiene", String::new(), vec![cause]),
    };
    let mut detail = found.summary();
    if containers.is_none() {
        detail.push_str("; the containers could not be listed");
    }
    let (errors, warnings): (Vec<_>, Vec<_>) = found.findings().partition(|(_, is_error)| *is_error);
    let only = |causes: Vec<(Cause, bool)>| causes.into_iter().map(|(cause, _)| cause).collect::<Vec<_>>();
    Check { warnings: only(warnings), ..Check::of("hygiene", detail, only(errors)) }
}
