//! One run of the Replicated installer, and what it must have achieved.
//!
//! The installer's exit code proves nothing by itself, so a run is judged by the containers that run afterwards; its
//! last lines serve to say why they do not.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::explain::{declined_for_docker, failed, quoting};
use super::output::Lines;
pub use super::process::Exit;
use super::process::{end_leftover_runs, run_bash};
use super::script::Script;
use crate::cause::Cause;
use crate::docker::engine::{Container, Engine};
use crate::files::{self, Access, Root};
use crate::secret;

/// The arguments for a box whose Docker and images were baked, besides its address: nothing is asked of a terminal, of
/// IMDSv1 or of a proxy; Docker is left as it is; and no preflight image is built.
///
/// `skip-pull` is not among them: it needs all three images under the tags of exactly the installer's own version.
pub const DEFAULT_ARGUMENTS: &[&str] = &["no-public-address", "no-proxy", "no-docker", "skip-preflights"];

/// The file that the installer opens to the world.
pub const REPLICATED_CONF: &str = "/etc/replicated.conf";

/// Where the installer keeps the token by which the operator logs in to the daemon.
pub const OPTIONS: &[&str] = &[
    "/etc/default/replicated",
    "/etc/default/replicated-operator",
    "/etc/sysconfig/replicated",
    "/etc/sysconfig/replicated-operator",
];

/// How long after the installer's end its containers may take to run: it only asks systemd to start them, and the first
/// read of a fresh instance's volume is slow.
const SETTLE: Duration = Duration::from_secs(20);

/// The same where the installer has not said its last words, so that it probably never came to start anything.
const SETTLE_UNFINISHED: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(250);

/// What the installer did, whether or not it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended; `None` if it could not be started.
    pub exit: Option<Exit>,
    /// Its last 50 lines, scrubbed.
    pub last_lines: Vec<String>,
    /// How long it ran, without the wait for its containers.
    pub took: Duration,
}

/// The installer's arguments: this instance's address, then those of the settings.
///
/// An argument that sets the address itself is left out of the settings' ones: the last one would win, and an AMI must
/// not carry an address.
pub fn arguments(address: Ipv4Addr, settings: &[String]) -> Vec<String> {
    let sets_address = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default().replace('_', "-");
        matches!(name.as_str(), "local-address" | "private-address")
    };
    let mut arguments = vec![format!("local-address={address}")];
    arguments.extend(settings.iter().filter(|argument| !sets_address(argument)).cloned());
    arguments
}

/// The containers that an installer with these arguments must leave running.
pub fn expected_containers(arguments: &[String]) -> Vec<&'static str> {
    let without_operator = arguments.iter().any(|argument| argument.replace('_', "-") == "no-operator");
    let mut names = vec!["replicated", "replicated-ui", "replicated-operator"];
    names.truncate(if without_operator { 2 } else { 3 });
    names
}

/// Whether the containers run that this installer leaves: the postcondition, which alone proves an installation.
///
/// # Errors
/// `replicated.container_missing` and `replicated.container_down` (host), and those of [`Engine::ping`].
pub async fn installed(engine: &Engine, arguments: &[String]) -> Result<(), Cause> {
    running(&engine.containers().await?, &expected_containers(arguments))
}

/// The address for which Replicated was installed last, by the files that the installer wrote; `None` where these name
/// none. An image of a used box starts containers too, and they serve that box's address.
pub fn installed_for(root: &Root) -> Option<Ipv4Addr> {
    OPTIONS.iter().find_map(|file| {
        let text = fs::read_to_string(root.path(file)).ok()?;
        let value = text.lines().find_map(|line| line.trim().strip_prefix("PRIVATE_ADDRESS="))?;
        value.trim_matches(['"', '\'']).parse().ok()
    })
}

/// Runs the installer and judges what it left.
///
/// `on_line` gets each line as it comes, scrubbed and without control characters; of a flood it gets 200 lines a second
/// and how many were left out. The process group is ended at `deadline` and whenever the future is dropped.
///
/// # Errors
/// `installer.start`, `installer.exit`, `installer.deadline`, `installer.nothing_installed`, `installer.incomplete`, and
/// those of [`Engine::ping`] where the engine cannot be asked for the result.
pub async fn install(
    engine: &Engine,
    script: &Script,
    arguments: &[String],
    deadline: Duration,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> (Report, Result<(), Cause>) {
    let leftover = end_leftover_runs(&script.path).await;
    if leftover > 0 {
        on_line(&format!("ended {leftover} run of the installer that an earlier boot had left behind"));
    }
    let started = Instant::now();
    let mut lines = Lines::new(on_line);
    let ended = run_bash(&script.path, arguments, deadline, &mut lines).await;
    let last_lines = lines.finish();
    let took = started.elapsed();
    let outcome = match &ended {
        Ok(Exit::Code(0)) => prove(engine, arguments, &last_lines).await,
        Ok(exit) => Err(failed(*exit, deadline, &last_lines)),
        Err(error) => Err(Cause::config(
            "installer.start",
            "The Replicated installer could not be started.",
            "Make sure that the AMI has bash: bash --version.",
        )
        .with("file", script.path.display())
        .with("error", error)),
    };
    (Report { exit: ended.ok(), last_lines, took }, outcome)
}

async fn prove(engine: &Engine, arguments: &[String], last_lines: &[String]) -> Result<(), Cause> {
    let expected = expected_containers(arguments);
    let declined = declined_for_docker(last_lines);
    let finished = last_lines.iter().any(|line| line.contains("To continue the installation"));
    let settle = if finished { SETTLE } else { SETTLE_UNFINISHED };
    let ended = Instant::now();
    loop {
        let containers = engine.containers().await?;
        let Err(state) = running(&containers, &expected) else {
            return Ok(());
        };
        let nothing = !containers.iter().any(|container| expected.contains(&container.name.as_str()));
        if ended.elapsed() < settle && !(nothing && declined.is_some()) {
            sleep(POLL).await;
            continue;
        }
        let cause = match (nothing, declined) {
            (true, Some(line)) => Cause::config(
                "installer.nothing_installed",
                "The Replicated installer ended with exit code 0 and installed nothing: it declined this box's Docker version.",
                "Add no-docker to install.arguments, so that it leaves Docker as it is.",
            )
            .with("reason", line),
            (true, None) => Cause::host(
                "installer.nothing_installed",
                "The Replicated installer ended with exit code 0 and installed nothing.",
                "Read its last lines; run it by hand with the same arguments.",
            ),
            (false, _) => Cause::host(
                "installer.incomplete",
                "The Replicated installer ended with exit code 0, and not all of its containers run.",
                "Look at why: docker ps -a; journalctl -u replicated -u replicated-ui -u replicated-operator.",
            ),
        };
        let cause = state.evidence.into_iter().fold(cause, |mut cause, fact| {
            cause.evidence.push(fact);
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
            "replicated.container_missing",
            format!("The container {first} does not exist: Replicated is not installed, or not wholly."),
            "Look at what runs: docker ps -a; systemctl status 'replicated*'.",
        ),
        Some(_) => Cause::host(
            "replicated.container_down",
            format!("The container {first} does not run."),
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

/// Makes the token known to the scrubber that the installer made up for this box's own daemon. Files that cannot be read
/// hold nothing that this process could print.
pub fn register_daemon_token(root: &Root) {
    for file in OPTIONS {
        let Ok(text) = fs::read_to_string(root.path(file)) else {
            continue;
        };
        for word in text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')) {
            if let Some((name, value)) = word.split_once('=')
                && name.ends_with("DAEMON_TOKEN")
            {
                secret::register(value);
            }
        }
        // As the whole value of a variable it may be quoted, and so a word of its own.
        for line in text.lines() {
            if let Some((name, value)) = line.trim().split_once('=')
                && name.ends_with("DAEMON_TOKEN")
            {
                secret::register(value.trim_matches(['"', '\'']));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn container(name: &str, state: &str) -> Container {
        Container {
            id: String::new(),
            name: name.to_owned(),
            image: String::new(),
            state: state.to_owned(),
            status: format!("{state} just now"),
            labels: Default::default(),
            health: None,
            exit_code: None,
        }
    }

    #[test]
    fn the_address_is_this_instances_whatever_the_settings_say() {
        let settings =
            strings(&["no-proxy", "local_address=", "private-address=10.0.0.9", "release-sequence=7"]);
        assert_eq!(
            arguments(Ipv4Addr::new(10, 0, 0, 7), &settings),
            ["local-address=10.0.0.7", "no-proxy", "release-sequence=7"]
        );
    }

    #[test]
    fn three_containers_must_run_unless_no_operator_is_wanted() {
        let containers = [container("replicated", "running"), container("replicated-ui", "running")];
        assert!(running(&containers, &expected_containers(&strings(&["no_operator"]))).is_ok());
        let all = expected_containers(&strings(&["no-docker"]));
        assert_eq!(running(&containers, &all).unwrap_err().kind, "replicated.container_missing");
        let restarting = [container("replicated", "restarting")];
        let cause = running(&restarting, &all[..1]).unwrap_err();
        assert_eq!(cause.kind, "replicated.container_down");
        assert_eq!(cause.evidence[0].value, "replicated: restarting just now");
    }

    /// A boot is spawned beside its heartbeats, which only what may move between threads can be.
    #[test]
    fn an_installation_can_be_spawned() {
        fn spawnable<T: Send>(_: T) {}
        let engine = Engine::connect(&Root::default(), None).unwrap();
        let script = Script { path: "/nonexistent".into(), sha256: String::new() };
        let mut on_line = |_: &str| {};
        spawnable(install(&engine, &script, &[], Duration::ZERO, &mut on_line));
        spawnable(crate::replicated::app::app_status(&engine));
        let plan = crate::docker::images::Plan::default();
        let pull = crate::settings::OnMissing::Pull;
        spawnable(crate::docker::images::apply(&engine, &plan, pull, &|_| {}));
    }

    #[test]
    fn replicated_conf_is_closed_again_and_left_alone_if_closed() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        let access = Access { mode: 0o640, owner: None };
        assert!(!restore_access(&root, access).unwrap());
        fs::create_dir(root.path("/etc")).unwrap();
        fs::write(root.path(REPLICATED_CONF), "{}").unwrap();
        fs::set_permissions(root.path(REPLICATED_CONF), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(restore_access(&root, access).unwrap());
        assert_eq!(fs::metadata(root.path(REPLICATED_CONF)).unwrap().mode() & 0o7777, 0o640);
        assert!(!restore_access(&root, access).unwrap());
    }

    #[test]
    fn the_boxs_own_daemon_token_is_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        fs::create_dir_all(root.path("/etc/default")).unwrap();
        fs::write(
            root.path(OPTIONS[0]),
            "REPLICATED_OPTS=\"-e LOG_LEVEL=info -e DAEMON_TOKEN=token-canary-1 \"\n",
        )
        .unwrap();
        fs::write(root.path(OPTIONS[1]), "DAEMON_TOKEN=\"token-canary-2\"\nTAGS=local\n").unwrap();
        register_daemon_token(&root);
        assert_eq!(installed_for(&root), None);
        assert!(
            secret::is_in("token-canary-1") && secret::is_in("token-canary-2") && !secret::is_in("local")
        );
    }
}
