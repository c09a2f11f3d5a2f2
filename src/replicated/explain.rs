//! What the installer's end and its last lines mean.

use std::time::Duration;

use super::process::Exit;
use crate::cause::Cause;

/// How many of the last lines stand in a cause; all that are kept are in the report.
const QUOTED: usize = 6;

/// The installer's word that it stopped because of Docker's version. It asks whether to go on, takes the closed input for
/// a no, and exits with 0.
pub(super) fn declined_for_docker(last_lines: &[String]) -> Option<&str> {
    let says =
        ["The installed version of Docker", "upgrade your current version of Docker", "not support Docker"];
    last_lines.iter().rev().find(|line| says.iter().any(|word| line.contains(word))).map(String::as_str)
}

/// The cause for an installer that did not end with exit code 0.
pub(super) fn failed(exit: Exit, deadline: Duration, last_lines: &[String]) -> Cause {
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
        Exit::Deadline => cause.with("deadline", format!("{} s", deadline.as_secs())).after_waiting(deadline),
    };
    quoting(cause, last_lines)
}

/// Adds the last lines that differ from each other: an installer that waits says the same again and again.
pub(super) fn quoting(cause: Cause, last_lines: &[String]) -> Cause {
    let mut quoted: Vec<&String> = Vec::new();
    for line in last_lines.iter().rev() {
        if quoted.len() < QUOTED && !quoted.contains(&line) {
            quoted.push(line);
        }
    }
    quoted.iter().rev().fold(cause, |cause, line| cause.with("installer", line))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cause::Class;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
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
    fn a_line_that_is_said_again_and_again_is_quoted_once() {
        let mut lines = vec!["first".to_owned(); 3];
        lines.extend(vec!["waiting".to_owned(); 40]);
        let cause = quoting(Cause::host("a.b", "A.", "B."), &lines);
        let quoted: Vec<&str> = cause.evidence.iter().map(|fact| fact.value.as_str()).collect();
        assert_eq!(quoted, ["first", "waiting"]);
    }
}
