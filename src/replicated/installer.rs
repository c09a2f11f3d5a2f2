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
const OPTIONS: &[&str] = &[
    "/etc/default/replicated",
    "/etc/default/replicated-operator",
    "/etc/sysconfig/replicated",
    "/etc/sysconfig/replicated-operator",
];

/// How long after the installer's end its containers may take to run: it only asks systemd to start them.
const SETTLE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(250);

/// How many of the last lines stand in a cause; all that are kept are in [`Report::last_lines`].
const QUOTED: usize = 6;

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
/// `replicated.container_missing` and `replicated.container_down` (host), and those of [`Engine::version`].
pub async fn installed(engine: &Engine, arguments: &[String]) -> Result<(), Cause> {
    running(&engine.containers().await?, &expected_containers(arguments))
}

/// Ends an installer that was started by an agent which was then killed, so that two never run at a time. The caller
/// holds the lock of the boot. Returns how many were ended.
pub async fn end_leftover(script: &Script) -> usize {
    end_leftover_runs(&script.path).await
}

/// Runs the installer and judges what it left.
///
/// `on_line` gets each line as it comes, scrubbed and without control characters; of a flood it gets 200 lines a second
/// and how many were left out. The process group is ended at `deadline` and whenever the future is dropped.
///
/// # Errors
/// `installer.start`, `installer.exit`, `installer.deadline`, `installer.nothing_installed`, `installer.incomplete`, and
/// those of [`Engine::version`] where the engine cannot be asked for the result.
pub async fn install(
    engine: &Engine,
    script: &Script,
    arguments: &[String],
    deadline: Duration,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> (Report, Result<(), Cause>) {
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
    let ended = Instant::now();
    loop {
        let containers = engine.containers().await?;
        let Err(state) = running(&containers, &expected) else {
            return Ok(());
        };
        let nothing = !containers.iter().any(|container| expected.contains(&container.name.as_str()));
        if ended.elapsed() < SETTLE && !(nothing && declined.is_some()) {
            sleep(POLL).await;
            continue;
        }
        let cause = match (nothing, declined) {
            (true, Some(line)) => Cause::config(
                "installer.nothing_installed",
                "The Replicated installer ended with exit code 0 and installed nothing: it declined this box's Docker version.",
                "Add no-docker to install.arguments, so that it leaves Docker as it is.",
            )
            .with("installer", line),
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

fn running(containers: &[Container], expected: &[&str]) -> Result<(), Cause> {
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

/// The installer's word that it stopped because of Docker's version. It asks whether to go on, takes the closed input for
/// a no, and exits with 0.
fn declined_for_docker(last_lines: &[String]) -> Option<&str> {
    let says = ["The installed version of Docker", "upgrade your current version of Docker"];
    last_lines.iter().rev().find(|line| says.iter().any(|word| line.contains(word))).map(String::as_str)
}

fn failed(exit: Exit, deadline: Duration, last_lines: &[String]) -> Cause {
    let said = |word: &str| last_lines.iter().rev().find(|line| line.contains(word));
    let by_hand = "Read its last lines; run it by hand with the same arguments.";
    let cause = match exit {
        Exit::Deadline if said("Enter desired number").is_some() => Cause::config(
            "installer.deadline",
            "The Replicated installer asked without end for the private address of this box.",
            "Give it the address: remove an empty local-address from install.arguments, and LocalAddress from replicated.conf.",
        ),
        Exit::Deadline => Cause::host(
            "installer.deadline",
            format!("The Replicated installer had not ended after {} s and was stopped.", deadline.as_secs()),
            "Read its last lines; if it was merely slow, raise install.deadline.",
        ),
        Exit::Code(1) if said("unknown parameter").is_some() => Cause::config(
            "installer.exit",
            "The Replicated installer does not know one of its arguments.",
            "Correct install.arguments: the installer of each version knows its own.",
        ),
        Exit::Code(_) if said("curl: (").is_some() => Cause::external(
            "installer.exit",
            "The Replicated installer could not fetch something that it needs.",
            "Open the way to the host that its last lines name: route, NAT, DNS, proxy.",
        ),
        Exit::Code(6) => Cause::config(
            "installer.exit",
            "The Replicated installer could not create its user: the group of /var/run/docker.sock has no entry in /etc/group.",
            "Bake the group into the AMI: groupadd --gid $(stat -c %g /var/run/docker.sock) docker.",
        ),
        Exit::Code(127) => Cause::config(
            "installer.exit",
            "The Replicated installer missed a command; with no-docker it wants docker on the PATH and dockerd in ps aux.",
            "Bake the packages docker and procps into the AMI: command -v docker ps; ps aux | grep dockerd.",
        ),
        Exit::Code(code) => Cause::host(
            "installer.exit",
            format!("The Replicated installer failed with exit code {code}."),
            by_hand,
        ),
        Exit::Signal(signal) => Cause::host(
            "installer.exit",
            format!("The Replicated installer was ended by signal {signal}."),
            "Look at what ended it: dmesg names the out-of-memory killer's victims.",
        ),
    };
    let cause = match exit {
        Exit::Code(code) => cause.with("exit code", code),
        Exit::Signal(signal) => cause.with("signal", signal),
        Exit::Deadline => cause.with("deadline", format!("{} s", deadline.as_secs())),
    };
    quoting(cause, last_lines)
}

fn quoting(cause: Cause, last_lines: &[String]) -> Cause {
    let from = last_lines.len().saturating_sub(QUOTED);
    last_lines[from..].iter().fold(cause, |cause, line| cause.with("installer", line))
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
    use crate::cause::Class;

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

    #[test]
    fn each_end_is_explained() {
        let deadline = Duration::from_secs(600);
        for (exit, line, class, kind, word) in [
            (Exit::Code(1), "Error: unknown parameter \"x\"", Class::Config, "installer.exit", "arguments"),
            (Exit::Code(6), "useradd: group '999' does not exist", Class::Config, "installer.exit", "group"),
            (
                Exit::Code(6),
                "curl: (6) Could not resolve host: get.replicated.com",
                Class::External,
                "installer.exit",
                "fetch",
            ),
            (Exit::Code(127), "docker: command not found", Class::Config, "installer.exit", "dockerd"),
            (Exit::Code(1), "boom", Class::Host, "installer.exit", "exit code 1"),
            (Exit::Signal(9), "boom", Class::Host, "installer.exit", "signal 9"),
            (
                Exit::Deadline,
                "Enter desired number (0-1): Enter desired",
                Class::Config,
                "installer.deadline",
                "address",
            ),
            (Exit::Deadline, "Pulling", Class::Host, "installer.deadline", "600 s"),
        ] {
            let cause = failed(exit, deadline, &strings(&["first", line]));
            assert_eq!((cause.kind.as_ref(), cause.class), (kind, class), "{line}");
            assert!(cause.sentence.contains(word), "{cause}");
            assert_eq!(cause.evidence.last().unwrap().value, line);
        }
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
        assert!(
            secret::is_in("token-canary-1") && secret::is_in("token-canary-2") && !secret::is_in("local")
        );
    }
}
