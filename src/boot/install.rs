//! Stage 7: Replicated, installed by its own installer and proved by its containers.

use std::time::Duration;

use jiff::Timestamp;

use crate::aws::imds::Identity;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::docker::engine::Engine;
use crate::docker::lock::{Lock, Sha256};
use crate::placement;
use crate::replicated::installer;
use crate::replicated::script::{self, Script};
use crate::settings;
use crate::wait;

use super::run::{Run, Stage};

/// How long systemd is given to start Replicated's containers again after a reboot, before they are installed anew.
const START_AFTER_REBOOT: Duration = Duration::from_secs(60);

/// Runs the installer, unless Replicated's containers run already.
pub(super) async fn install(
    stage: &Stage<'_>,
    engine: &Engine,
    lock: Option<&Lock>,
    identity: &Identity,
) -> Result<Achieved<()>, Cause> {
    let run = stage.run;
    let settings = &run.settings.install;
    let arguments = installer::arguments(identity.local_ipv4, &settings.arguments);
    if !run.force && runs_already(stage, engine, &arguments, identity).await {
        note_installed(run);
        return Ok(Achieved::skipped((), "Replicated's containers run"));
    }
    if stage.is_dry_run() {
        let script = to_run(run, lock)?;
        return Ok(Achieved::done((), format!("would run {script} {}", arguments.join(" "))));
    }
    let script = obtain(stage, lock).await?;
    stage.progress(format!("running {}", script.path.display()), None);
    let mut on_line = |line: &str| stage.output(line);
    let (report, outcome) =
        installer::install(engine, &script, &arguments, settings.deadline, &mut on_line).await;
    installer::register_daemon_token(&run.root);
    // Also after a failure: the installer may have opened the file before it failed.
    let closed = installer::restore_access(&run.root, placement::access(&run.root, None)?);
    outcome?;
    closed?;
    note_installed(run);
    Ok(Achieved::done(
        (),
        format!("installer ended after {}, its containers run", crate::console::human(report.took)),
    ))
}

/// Whether Replicated's containers run, which is waited for on a box where they did: after a reboot, systemd may still
/// be starting them.
async fn runs_already(stage: &Stage<'_>, engine: &Engine, arguments: &[String], identity: &Identity) -> bool {
    let instance = stage.run.record().instance;
    let limit = match instance.and_then(|instance| instance.installed_at) {
        Some(_) => START_AFTER_REBOOT,
        None => {
            let baked = installer::installed_for(&stage.run.root);
            if let Some(address) = baked.filter(|address| *address != identity.local_ipv4) {
                stage.progress(format!("the image has the Replicated of {address}, another box"), None);
                return false;
            }
            Duration::ZERO
        }
    };
    stage.until(limit, |_| true, async || installer::installed(engine, arguments).await).await.is_ok()
}

fn note_installed(run: &Run) {
    run.update(|record| {
        if let Some(instance) = &mut record.instance {
            instance.installed_at.get_or_insert_with(Timestamp::now);
        }
    });
}

/// The checksum of the settings, in the form in which the lock has it.
fn given_checksum(settings: &settings::Install) -> Result<Option<Sha256>, Cause> {
    let given = settings.sha256.clone().map(Sha256::try_from).transpose();
    given.map_err(|why| Cause::config("settings.invalid", why, "Correct install.sha256 in agent.toml."))
}

/// The installer that [`obtain`] would give, verified where it lies on this box.
fn to_run(run: &Run, lock: Option<&Lock>) -> Result<String, Cause> {
    match &run.settings.install.url {
        Some(url) => {
            given_checksum(&run.settings.install)?;
            Ok(url.to_string())
        }
        None => pinned(run, lock).map(|script| script.path.display().to_string()),
    }
}

/// The installer of the AMI, with the checksum of the settings or of the lock.
fn pinned(run: &Run, lock: Option<&Lock>) -> Result<Script, Cause> {
    let locked = lock.and_then(|lock| lock.installer.as_ref()).map(|installer| &installer.sha256);
    let given = given_checksum(&run.settings.install)?;
    script::from_file(&run.root.path(script::PINNED), given.as_ref().or(locked))
}

/// The installer: pinned in the AMI, or fetched, with the checksum of the settings or of the lock.
async fn obtain(stage: &Stage<'_>, lock: Option<&Lock>) -> Result<Script, Cause> {
    let run = stage.run;
    let settings = &run.settings.install;
    let Some(url) = &settings.url else { return pinned(run, lock) };
    let given = given_checksum(settings)?;
    let given = given.as_ref();
    // The lock's checksum is the pinned installer's; another address may serve another version.
    if given.is_none() {
        stage.warn(Cause::config(
            "installer.unverified",
            "The installer is fetched without a checksum and runs as root.",
            "Set install.sha256.",
        ));
    }
    let client = crate::http::build(run.http.outgoing()?)?;
    stage
        .until(settings.deadline, wait::is_external, async || {
            script::from_url(&run.root, url.as_str(), given, &client).await
        })
        .await
}
