//! One run of the Replicated installer, and what it must have achieved.
//!
//! The installer's exit code proves nothing by itself, so a run is judged by the containers that run afterwards; its
//! last lines serve to say why they do not.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::edition::name_of;
use super::explain::{declined_for_docker, failed, quoting};
use super::fetch_guard::FetchGuard;
use super::output::Lines;
use super::pins;
pub use super::process::ProcessExit;
use super::process::{end_leftover_runs, run_bash};
use super::script::Script;
use crate::cause::Cause;
use crate::docker::engine::{Container, Engine};
use crate::docker::lock::Lock;
use crate::files::{self, Access, Root};
use crate::kind::Kind;
use crate::secret::Secrets;

/// The file that the installer opens to the world.
pub const REPLICATED_CONF: &str = "/etc/replicated.conf";

/// What the installer says before it gives Docker a proxy and restarts it.
const RESTARTS_DOCKER: &str = "automatically configure it now";

/// How long after the installer's end its containers may take to run: it only asks systemd to start them, and the first
/// read of a fresh instance's volume is slow.
const SETTLE: Duration = Duration::from_secs(20);

/// The same where the installer has not said its last words, so that it probably never came to start anything.
const SETTLE_UNFINISHED: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(250);

/// What an installation is to achieve: the postcondition, which alone proves it.
#[derive(Debug)]
pub struct Goal<'a> {
    /// The containers that must run.
    pub containers: Vec<&'static str>,
    /// The lock that names their images, on a box that has one.
    pub lock: Option<&'a Lock>,
}

impl<'a> Goal<'a> {
    /// What an installer with these arguments must leave.
    pub fn new(arguments: &[String], lock: Option<&'a Lock>) -> Self {
        Goal { containers: pins::expected_containers(arguments), lock }
    }

    /// Whether it is achieved.
    ///
    /// # Errors
    /// `replicated.container_missing`, `replicated.container_down` and [`pins::NOT_LOCKED`] (host), and those of
    /// [`Engine::ping`].
    pub async fn is_achieved(&self, engine: &Engine) -> Result<(), Cause> {
        self.judge(&engine.containers().await?)
    }

    /// What the containers that there are come to.
    ///
    /// # Errors
    /// As for [`Goal::is_achieved`], but for the engine's.
    pub fn judge(&self, containers: &[Container]) -> Result<(), Cause> {
        running(containers, &self.containers)?;
        self.lock.map_or(Ok(()), |lock| pins::as_locked(containers, lock, &self.containers))
    }
}

/// One installation.
#[derive(Debug)]
pub struct Job<'a> {
    /// The verified installer.
    pub script: &'a Script,
    /// Its arguments.
    pub arguments: &'a [String],
    /// What it may fetch; `None`: whatever it likes.
    pub guard: Option<&'a FetchGuard>,
    /// What it is to achieve.
    pub goal: &'a Goal<'a>,
    /// When it is ended, with everything it started.
    pub deadline: Duration,
    /// The file that it must not open to the world: see [`REPLICATED_CONF`].
    pub closed: &'a Path,
    /// What it must not find in its environment.
    pub secrets: &'a Secrets,
}

/// What the installer did, whether or not it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallReport {
    /// How it ended; `None` if it could not be started.
    pub exit: Option<ProcessExit>,
    /// Its last 50 lines.
    pub last_lines: Vec<String>,
    /// How long it ran, without the wait for its containers.
    pub took: Duration,
    /// Whether it has restarted Docker to give it a proxy.
    pub restarted_docker: bool,
}

/// The installer's arguments: this instance's address, those of the settings, `skip-pull` where nothing may be pulled, and
/// `airgap` where the app comes from a package.
///
/// An argument that sets the address itself is left out of the settings' ones: the last one would win, and an AMI must
/// not carry an address.
pub fn arguments(address: Ipv4Addr, settings: &[String], may_pull: bool, is_airgap: bool) -> Vec<String> {
    let sets_address =
        |argument: &&String| matches!(name_of(argument).as_str(), "local-address" | "private-address");
    let mut arguments = vec![format!("local-address={address}")];
    arguments.extend(settings.iter().filter(|argument| !sets_address(argument)).cloned());
    for (name, is_wanted) in [("skip-pull", !may_pull), ("airgap", is_airgap)] {
        if is_wanted && !arguments.iter().any(|argument| name_of(argument) == name) {
            arguments.push(name.to_owned());
        }
    }
    arguments
}

/// Runs the installer and judges what it left.
///
/// `on_line` gets each line as it comes, without control characters; of a flood it gets 200 lines a second
/// and how many were left out. The process group is ended at the deadline and whenever the future is dropped.
///
/// # Errors
/// `installer.start`, `installer.exit`, `installer.deadline`, `installer.nothing_installed`, `installer.incomplete`,
/// `installer.fetch_refused`, [`pins::NOT_LOCKED`]; `installer.network`, `installer.operator` (external); and those of
/// [`Engine::ping`] where the engine cannot be asked for the result.
pub async fn install(
    engine: &Engine,
    job: &Job<'_>,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> (InstallReport, Result<(), Cause>) {
    let leftover = end_leftover_runs(&job.script.path).await;
    if leftover > 0 {
        on_line(&format!("stopped {leftover} installer run left behind by an earlier boot"));
    }
    let started = Instant::now();
    let mut restarted_docker = false;
    let mut on_line = |line: &str| {
        restarted_docker |= line.contains(RESTARTS_DOCKER);
        on_line(line);
    };
    let mut lines = Lines::new(job.secrets.clone(), &mut on_line);
    let ended = run_bash(
        &job.script.path,
        job.arguments,
        job.guard,
        job.closed,
        job.deadline,
        job.secrets,
        &mut lines,
    )
    .await;
    let last_lines = lines.finish();
    let took = started.elapsed();
    let refused = job.guard.map(FetchGuard::refused).unwrap_or_default();
    let outcome = match &ended {
        Ok(ended) if ended.exit == ProcessExit::Code(0) => prove(engine, job.goal, &last_lines).await,
        Ok(_) if !refused.is_empty() => Err(unpinned(&refused, &last_lines)),
        Ok(ended) => Err(failed(ended, job.deadline, &last_lines)),
        Err(error) => Err(Cause::config(
            Kind::InstallerStart,
            "The Replicated installer could not be started.",
            "Bake an AMI that has bash and setsid (util-linux): command -v bash setsid.",
        )
        .with("file", job.script.path.display())
        .with("error", error)),
    };
    (InstallReport { exit: ended.ok().map(|ended| ended.exit), last_lines, took, restarted_docker }, outcome)
}

/// The cause for an installer that failed since it was not given what the lock does not name.
fn unpinned(refused: &[String], last_lines: &[String]) -> Cause {
    let cause = Cause::config(
        Kind::InstallerFetchRefused,
        "The Replicated installer tried to fetch something that is not in the image lock, and was blocked.",
        "Check install.arguments (without no-docker, it installs Docker), or rebake the AMI with this installer: agent bake.",
    );
    let cause = refused.iter().fold(cause, |cause, url| cause.with("refused", url));
    quoting(cause, last_lines)
}

async fn prove(engine: &Engine, goal: &Goal<'_>, last_lines: &[String]) -> Result<(), Cause> {
    let declined = declined_for_docker(last_lines);
    let finished = last_lines.iter().any(|line| line.contains("To continue the installation"));
    let settle = if finished { SETTLE } else { SETTLE_UNFINISHED };
    let ended = Instant::now();
    loop {
        let containers = match engine.containers().await {
            Ok(containers) => containers,
            // It may have restarted Docker, which takes a moment.
            Err(_) if ended.elapsed() < SETTLE => {
                sleep(POLL).await;
                continue;
            }
            Err(cause) => return Err(cause),
        };
        let Err(state) = goal.judge(&containers) else {
            return Ok(());
        };
        if state.kind == pins::NOT_LOCKED {
            return Err(quoting(state, last_lines));
        }
        let nothing = !containers.iter().any(|container| goal.containers.contains(&container.name.as_str()));
        if ended.elapsed() < settle && !(nothing && declined.is_some()) {
            sleep(POLL).await;
            continue;
        }
        let cause = match (nothing, declined) {
            (true, Some(line)) => Cause::config(
                Kind::InstallerNothingInstalled,
                "The Replicated installer exited with code 0 but installed nothing: it does not support this box's Docker version.",
                "Add no-docker to install.arguments, so that it leaves Docker alone.",
            )
            .with("reason", line),
            (true, None) => Cause::host(
                Kind::InstallerNothingInstalled,
                "The Replicated installer exited with code 0 but installed nothing.",
                "Check its last lines, and run it by hand with the same arguments.",
            ),
            (false, _) => Cause::host(
                Kind::InstallerIncomplete,
                "The Replicated installer exited with code 0, but not all of its containers are running.",
                &state.next_step,
            ),
        };
        let cause = state.evidence.iter().fold(cause, |mut cause, fact| {
            cause.evidence.push(fact.clone());
            cause
        });
        return Err(quoting(cause, last_lines));
    }
}

/// Whether all `expected` containers run.
///
/// # Errors
/// `replicated.container_missing` and `replicated.container_down` (host), about the first, naming all.
pub fn running(containers: &[Container], expected: &[&str]) -> Result<(), Cause> {
    let of = |name: &str| containers.iter().find(|container| container.name == name);
    let bad: Vec<&str> =
        expected.iter().filter(|name| !of(name).is_some_and(Container::is_running)).copied().collect();
    let Some(first) = bad.first() else {
        return Ok(());
    };
    let mut cause = match of(first) {
        None => Cause::host(
            Kind::ReplicatedContainerMissing,
            format!("The container {first} does not exist: Replicated is not, or not completely, installed."),
            "See what is running: docker ps -a; systemctl status 'replicated*'.",
        ),
        Some(_) => Cause::host(
            Kind::ReplicatedContainerDown,
            format!("The container {first} is not running."),
            format!("See why: docker logs --tail 50 {first}; journalctl -u {first} -n 50."),
        ),
    };
    for name in bad {
        let state = of(name).map_or("missing", |container| container.status.as_str());
        cause = cause.with("container", format!("{name}: {state}"));
    }
    Err(cause)
}

/// Gives `/etc/replicated.conf` the given access again, which the installer opens to the world (0644). To be called
/// whether or not the installer succeeded. Says whether there was anything to do; an absent file is no error.
///
/// # Errors
/// `host.file`.
pub fn restore_access(root: &Root, access: Access) -> Result<bool, Cause> {
    let path = root.path(REPLICATED_CONF);
    let restore = || -> io::Result<bool> {
        let file = File::open(&path)?;
        let found = file.metadata()?;
        let right_owner = access.owner.is_none_or(|owner| owner == (found.uid(), found.gid()));
        if found.permissions().mode() & 0o7777 == access.mode && right_owner {
            return Ok(false);
        }
        // The mode first: it is the world that must not read on.
        file.set_permissions(fs::Permissions::from_mode(access.mode))?;
        if let Some((user, group)) = access.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        Ok(true)
    };
    match restore() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map_err(|error| files::failed("restore the access of", &path, &error)),
    }
}

/// Closes `/etc/replicated.conf`, which has the console's password in it, when it is dropped: also where the run of the
/// installer is given up.
#[derive(Debug)]
pub struct KeptClosed<'a> {
    root: &'a Root,
    access: Access,
}

impl<'a> KeptClosed<'a> {
    /// To be made before the installer is started, and dropped after it has ended.
    pub fn new(root: &'a Root, access: Access) -> Self {
        KeptClosed { root, access }
    }
}

impl Drop for KeptClosed<'_> {
    fn drop(&mut self) {
        let _ = restore_access(self.root, self.access);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
