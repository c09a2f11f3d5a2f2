//! Stage 7: runs Replicated's installer and verifies the result by its containers.
//!
//! With an image lock, nothing runs that is not locked: the installer and the operator's script are the pinned ones,
//! nothing is downloaded or pulled, and the containers must run the locked images.

use std::time::Duration;

use jiff::Timestamp;

use crate::aws::imds::{self, Identity};
use crate::bundle::Bundle;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::docker::engine::Engine;
use crate::docker::lock::{Lock, Sha256};
use crate::kind::Kind;
use crate::placement;
use crate::replicated::answers;
use crate::replicated::fetch_guard::{FetchGuard, Operator};
use crate::replicated::installer::{self, Goal, InstallReport, Job, KeptClosed};
use crate::replicated::pins;
use crate::replicated::script::{self, Script};
use crate::settings;
use crate::wait;

use super::run::{Run, Stage};

/// How long systemd gets to restart Replicated's containers after a reboot before they are reinstalled.
const START_AFTER_REBOOT: Duration = Duration::from_secs(60);

/// The additional pause before the installer is re-run; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause. Each run loads external servers, and stops and starts containers.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The installer to run, verified as far as it is pinned.
struct Verified {
    script: Script,
    /// The only thing that the installer may fetch on a box with a lock.
    operator: Option<Operator>,
}

/// Runs the installer, unless Replicated's containers are running already as they should.
pub(super) async fn install(
    stage: &Stage<'_>,
    engine: &Engine,
    lock: Option<&Lock>,
    identity: &Identity,
    bundle: &Bundle,
) -> Result<Achieved<()>, Cause> {
    let run = stage.run;
    let arguments = installer::arguments(
        identity.local_ipv4,
        &run.settings.install.arguments,
        lock.is_none(),
        bundle.replicated.airgap_path.is_some(),
    );
    let goal = Goal::new(&arguments, lock);
    if !run.force && runs_already(stage, engine, &goal, identity).await? {
        if !stage.is_dry_run() {
            // A boot killed during the install may have left it world-readable.
            installer::restore_access(&run.root, placement::access(&run.root, None)?)?;
            note_installed(run);
        }
        return Ok(Achieved::skipped((), "Replicated's containers are running"));
    }
    if stage.is_dry_run() {
        let script = to_run(run, lock, &arguments)?;
        return Ok(Achieved::done((), format!("would run {script} {}", arguments.join(" "))));
    }
    let Verified { script, operator } = obtain(stage, lock, &arguments).await?;
    settle_answers(stage, &arguments, identity)?;
    let metadata = imds::endpoint(|name| std::env::var(name).ok());
    let guard = lock.map(|_| FetchGuard::write(&run.root, operator.as_ref(), &metadata)).transpose()?;
    let closed = run.root.path(installer::REPLICATED_CONF);
    let job = Job {
        script: &script,
        arguments: &arguments,
        guard: guard.as_ref(),
        goal: &goal,
        deadline: run.settings.install.deadline,
        closed: &closed,
        secrets: &run.secrets,
    };
    let report = run_until_done(stage, engine, &job).await?;
    note_installed(run);
    Ok(Achieved::done(
        (),
        format!(
            "the installer finished in {}; its containers are running",
            crate::console::human(report.took)
        ),
    ))
}

/// Runs the installer, retrying while it fails because of external servers.
async fn run_until_done(stage: &Stage<'_>, engine: &Engine, job: &Job<'_>) -> Result<InstallReport, Cause> {
    let run = stage.run;
    let access = placement::access(&run.root, None)?;
    let mut pause = Duration::ZERO;
    stage
        .until(run.settings.install.wait, wait::is_external, async || {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            stage.progress(format!("running {}", job.script.path.display()), None);
            let mut on_line = |line: &str| stage.output(line);
            let _closed = KeptClosed::new(&run.root, access);
            let (report, outcome) = installer::install(engine, job, &mut on_line).await;
            answers::register_daemon_token(&run.root, &run.secrets);
            if report.restarted_docker {
                stage.warn(docker_restarted());
            }
            // Also after a failure: the installer may have made the file world-readable before.
            let closed = installer::restore_access(&run.root, access);
            outcome?;
            closed?;
            if let Some(guard) = job.guard {
                warn_of_refused(stage, guard);
            }
            Ok(report)
        })
        .await
}

fn docker_restarted() -> Cause {
    Cause::config(
        Kind::InstallerDockerRestarted,
        "The Replicated installer gave Docker an HTTP proxy and restarted it during the boot.",
        "Bake Docker's proxy into the AMI (/etc/systemd/system/docker.service.d/http-proxy.conf), or set no-proxy in install.arguments.",
    )
}

/// The installer continued without it, so this is not a failure.
fn warn_of_refused(stage: &Stage<'_>, guard: &FetchGuard) {
    for url in guard.refused() {
        let cause = Cause::config(
            Kind::InstallerFetchRefused,
            "The Replicated installer tried to fetch something that is not in the image lock, and was blocked.",
            "No action needed if Replicated works: the installer continued without it.",
        );
        stage.warn(cause.with("refused", url));
    }
}

/// Whether Replicated's containers are running as they should, which is waited for on a box where they did: after a reboot, systemd
/// may still be starting them.
///
/// # Errors
/// [`pins::NOT_LOCKED`] on a box that has been in service: it may have been upgraded on purpose, and is not downgraded
/// without being asked to.
async fn runs_already(
    stage: &Stage<'_>,
    engine: &Engine,
    goal: &Goal<'_>,
    identity: &Identity,
) -> Result<bool, Cause> {
    let instance = stage.run.record().instance;
    let limit = match instance.as_ref().and_then(|instance| instance.installed_at) {
        Some(_) => START_AFTER_REBOOT,
        None => {
            let baked = answers::installed_for(&stage.run.root);
            if let Some(address) = baked.filter(|address| *address != identity.local_ipv4) {
                stage.progress(
                    format!("the image contains Replicated as installed for {address}, another instance"),
                    None,
                );
                return Ok(false);
            }
            Duration::ZERO
        }
    };
    let worth_waiting = |cause: &Cause| cause.kind != pins::NOT_LOCKED;
    let Err(cause) = stage.until(limit, worth_waiting, async || goal.is_achieved(engine).await).await else {
        return Ok(true);
    };
    if cause.kind == pins::NOT_LOCKED {
        if instance.is_some_and(|instance| instance.completed_at.is_some()) {
            return Err(cause);
        }
        stage.progress("installing again, because the running images are not the locked ones", None);
    }
    Ok(false)
}

/// Handles the answers of an earlier run, which the installer would keep: another instance's are removed, and this
/// instance's are compared with the arguments.
fn settle_answers(stage: &Stage<'_>, arguments: &[String], identity: &Identity) -> Result<(), Cause> {
    let run = stage.run;
    let instance = run.record().instance;
    let ran_here =
        instance.is_some_and(|known| known.installer_ran_at.is_some() || known.installed_at.is_some());
    let address = answers::installed_for(&run.root);
    let is_here = ran_here && address.is_none_or(|address| address == identity.local_ipv4);
    if is_here {
        answers::register_daemon_token(&run.root, &run.secrets);
        for warning in answers::compare(&run.root, arguments)? {
            stage.warn(warning);
        }
    } else {
        for file in answers::forget(&run.root)? {
            stage.progress(
                format!("removed {}, left by another instance's installer run", file.display()),
                None,
            );
        }
    }
    run.update(|record| {
        if let Some(instance) = &mut record.instance {
            instance.installer_ran_at.get_or_insert_with(Timestamp::now);
        }
    });
    Ok(())
}

fn note_installed(run: &Run) {
    run.update(|record| {
        if let Some(instance) = &mut record.instance {
            instance.installed_at.get_or_insert_with(Timestamp::now);
        }
    });
}

/// The checksum from the settings, in the lock's format.
fn given_checksum(settings: &settings::Install) -> Result<Option<Sha256>, Cause> {
    let given = settings.sha256.clone().map(Sha256::try_from).transpose();
    given.map_err(|why| Cause::config(Kind::SettingsInvalid, why, "Correct install.sha256 in agent.toml."))
}

/// The required checksum of the installer, from the lock or the settings.
///
/// # Errors
/// `installer.checksum` (config) if lock and settings contradict each other; `lock.no_installer`, `settings.invalid`.
fn expected_checksum(run: &Run, lock: Option<&Lock>) -> Result<Option<Sha256>, Cause> {
    let given = given_checksum(&run.settings.install)?;
    let Some(lock) = lock else { return Ok(given) };
    let locked = &pins::installer(lock)?.sha256;
    match given {
        Some(given) if given != *locked => Err(Cause::config(
            Kind::InstallerChecksum,
            "install.sha256 is not the SHA-256 of the installer that the image lock names.",
            "Remove install.sha256 from agent.toml, or bake the AMI again with that installer.",
        )
        .with("expected SHA-256", given.as_str())
        .with("found SHA-256", locked.as_str())),
        _ => Ok(Some(locked.clone())),
    }
}

/// The installer that [`obtain`] would return, verified if it is on this box.
fn to_run(run: &Run, lock: Option<&Lock>, arguments: &[String]) -> Result<String, Cause> {
    let expected = expected_checksum(run, lock)?;
    if let Some(url) = &run.settings.install.url {
        return Ok(url.to_string());
    }
    let script = script::from_file(&run.root.path(script::PINNED), expected.as_ref())?;
    let verified = verified(run, lock, script, arguments)?;
    Ok(verified.script.path.display().to_string())
}

/// The installer: pinned in the AMI or downloaded, with the checksum from the lock or the settings.
async fn obtain(stage: &Stage<'_>, lock: Option<&Lock>, arguments: &[String]) -> Result<Verified, Cause> {
    let run = stage.run;
    let settings = &run.settings.install;
    let expected = expected_checksum(run, lock)?;
    let expected = expected.as_ref();
    let Some(url) = &settings.url else {
        return verified(run, lock, script::from_file(&run.root.path(script::PINNED), expected)?, arguments);
    };
    if expected.is_none() {
        stage.warn(Cause::config(
            Kind::InstallerUnverified,
            "The installer is downloaded without a checksum and runs as root.",
            "Set install.sha256.",
        ));
    }
    let client = crate::http::build(run.http.outgoing()?)?;
    let fetching = async || script::from_url(&run.root, url.as_str(), expected, &client).await;
    verified(run, lock, stage.until(settings.wait, wait::is_external, fetching).await?, arguments)
}

/// With a lock, adds what the installer would otherwise fetch itself, and makes sure that it need not pull.
fn verified(run: &Run, lock: Option<&Lock>, script: Script, arguments: &[String]) -> Result<Verified, Cause> {
    let Some(lock) = lock else { return Ok(Verified { script, operator: None }) };
    let operator = pins::operator(&run.root, pins::installer(lock)?, arguments)?;
    pins::require_images(lock, &script.path, arguments)?;
    Ok(Verified { script, operator })
}
