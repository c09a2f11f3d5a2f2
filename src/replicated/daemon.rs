//! The Replicated daemon's command lines, which are run in its container.

use std::time::Duration;

use crate::cause::Cause;
use crate::docker::engine::Engine;
use crate::docker::exec::Executed;
use crate::kind::Kind;

/// The container of the Replicated daemon.
pub const DAEMON: &str = "replicated";

/// How long one command may take; the daemon answers in well under a second, and in some seconds while it starts the app.
const COMMAND: Duration = Duration::from_secs(15);

/// How much of a command's words is quoted, in characters.
pub(super) const QUOTED: usize = 400;

/// What stands before the exit code of a command that a shell has run, in both of its outputs.
const ENDED: &str = "-- boot-agent: exit ";

/// What came of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CtlOutput {
    /// What it wrote.
    Said(String),
    /// It failed since no app is installed.
    NoApp,
    /// The release does not have it.
    NoCommand,
}

/// Runs one command.
///
/// # Errors
/// `replicated.container_missing`, `replicated.container_down`, `replicated.ctl_timeout`, `replicated.ctl_failed` and
/// those of [`Engine::ping`], all of class host.
pub(super) async fn ask(engine: &Engine, command: &[&str]) -> Result<CtlOutput, Cause> {
    let asked = command.join(" ");
    match engine.exec(DAEMON, command, COMMAND).await {
        Ok(executed) => judged(executed, &asked),
        // Engines from 23 on refuse to start what does not exist; earlier ones start it and exit with 126 or 127.
        Err(cause) if cause.evidence.iter().any(|fact| is_no_command(&fact.value)) => {
            Ok(CtlOutput::NoCommand)
        }
        Err(cause) => Err(of_daemon(cause, &asked)),
    }
}

/// Runs two commands, of plain words, by one shell in the container where it has one: starting a process in a container
/// costs many times what these commands do.
///
/// # Errors
/// Of each as for [`ask`].
pub(super) async fn ask_both(engine: &Engine, commands: [&[&str]; 2]) -> [Result<CtlOutput, Cause>; 2] {
    let asked = commands.map(|command| command.join(" "));
    let script: String =
        asked.iter().map(|command| format!("{command}; echo \"{ENDED}$?\"; echo '{ENDED}' >&2\n")).collect();
    match engine.exec(DAEMON, &["sh", "-c", &script], COMMAND).await {
        Ok(executed) => match split_outputs(&executed) {
            Some([one, other]) => [judged(one, &asked[0]), judged(other, &asked[1])],
            None => both(engine, commands).await,
        },
        Err(cause) if cause.evidence.iter().any(|fact| is_no_command(&fact.value)) => {
            both(engine, commands).await
        }
        // Asked one by one, it would be no other: the container does not run, or its daemon hangs.
        Err(cause) => asked.map(|asked| Err(of_daemon(cause.clone(), &asked))),
    }
}

async fn both(engine: &Engine, [one, other]: [&[&str]; 2]) -> [Result<CtlOutput, Cause>; 2] {
    let (one, other) = tokio::join!(ask(engine, one), ask(engine, other));
    [one, other]
}

/// What each of two commands wrote, and its exit code.
fn split_outputs(executed: &Executed) -> Option<[Executed; 2]> {
    let (mut stdout, mut stderr) = (executed.stdout.as_str(), executed.stderr.as_str());
    let mut next = || {
        let (said, rest) = stdout.split_once(ENDED)?;
        let (code, rest) = rest.split_once('\n')?;
        let (complained, others) = stderr.split_once(ENDED)?;
        stdout = rest;
        stderr = others.strip_prefix('\n').unwrap_or(others);
        Some(Executed {
            exit_code: code.parse().ok()?,
            stdout: said.to_owned(),
            stderr: complained.to_owned(),
        })
    };
    Some([next()?, next()?])
}

fn judged(executed: Executed, asked: &str) -> Result<CtlOutput, Cause> {
    let Executed { exit_code, stdout, stderr } = executed;
    match exit_code {
        0 => Ok(CtlOutput::Said(stdout)),
        126 | 127 if is_no_command(&stdout) || is_no_command(&stderr) => Ok(CtlOutput::NoCommand),
        code => {
            let words = format!("{stderr}\n{stdout}");
            if is_no_app(&words) {
                return Ok(CtlOutput::NoApp);
            }
            Err(Cause::host(
                Kind::ReplicatedCtlFailed,
                format!("The Replicated daemon did not respond to {asked}."),
                "If it just started, wait; otherwise check docker logs --tail 50 replicated.",
            )
            .with("exit code", code)
            .with_quote("answer", &words, QUOTED))
        }
    }
}

/// The engine's cause in the words of Replicated, where it is about the daemon's container.
fn of_daemon(cause: Cause, asked: &str) -> Cause {
    let mut named = match cause.kind {
        Kind::DockerNoContainer => Cause::host(
            Kind::ReplicatedContainerMissing,
            "The container replicated does not exist: Replicated is not installed, or its unit does not start it.",
            "Check its unit: systemctl status replicated; journalctl -u replicated -n 50.",
        ),
        Kind::DockerNotRunning => Cause::host(
            Kind::ReplicatedContainerDown,
            "The container replicated is not running.",
            "See how it ended: docker logs --tail 50 replicated; journalctl -u replicated -n 50.",
        ),
        Kind::DockerExecTimeout => Cause::host(
            Kind::ReplicatedCtlTimeout,
            format!("The Replicated daemon did not respond to {asked} within {} s.", COMMAND.as_secs()),
            "See what it is doing: docker logs --tail 50 replicated.",
        ),
        _ => return cause,
    };
    named.evidence = cause.evidence;
    named
}

fn is_no_command(words: &str) -> bool {
    let engines =
        words.contains("executable file not found") || words.contains("no such file or directory: unknown");
    engines || words.trim_end().ends_with(": not found") || words.trim_end().ends_with("command not found")
}

/// While no app is installed the command fails, in words that differ between releases.
fn is_no_app(words: &str) -> bool {
    let lower = words.to_ascii_lowercase();
    ["no app", "app not found", "app is not installed", "not installed", "no license"]
        .iter()
        .any(|word| lower.contains(word))
}

/// An answer that came and is nothing that this agent knows.
pub(super) fn not_understood(command: &[&str], text: &str) -> Cause {
    Cause::host(
        Kind::ReplicatedCtlFailed,
        format!("The output of {} is not in a supported format.", command.join(" ")),
        "Run it by hand, and report it with the release of Replicated: docker inspect -f '{{.Config.Image}}' replicated.",
    )
    .with_quote("answer", text, QUOTED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(stdout: &str, stderr: &str) -> Executed {
        Executed { exit_code: 0, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    #[test]
    fn two_commands_of_one_shell_are_told_apart() {
        let said = shell(
            &format!("[]\n{ENDED}0\n{{}}{ENDED}1\n"),
            &format!("slow\n{ENDED}\nError: no app\n{ENDED}\n"),
        );
        let [one, other] = split_outputs(&said).unwrap();
        assert_eq!((one.exit_code, one.stdout.as_str(), one.stderr.as_str()), (0, "[]\n", "slow\n"));
        assert_eq!(
            (other.exit_code, other.stdout.as_str(), other.stderr.as_str()),
            (1, "{}", "Error: no app\n")
        );
        assert_eq!(judged(other, "x").unwrap(), CtlOutput::NoApp);
    }

    #[test]
    fn a_shell_that_did_not_run_them_is_no_answer() {
        for (stdout, stderr) in
            [("", ""), ("OCI runtime exec failed: executable file not found", ""), ("[]", ENDED)]
        {
            assert!(split_outputs(&shell(stdout, stderr)).is_none(), "{stdout}");
        }
    }

    #[test]
    fn a_shells_word_on_a_missing_command_is_understood() {
        let missing = Executed { exit_code: 127, ..shell("", "sh: replicatedctl: not found\n") };
        assert_eq!(judged(missing, "x").unwrap(), CtlOutput::NoCommand);
    }
}
