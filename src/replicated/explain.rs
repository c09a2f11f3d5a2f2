//! What the installer's end and its last lines mean.

use std::time::Duration;

use super::process::{Ended, ProcessExit};
use crate::cause::Cause;
use crate::kind::Kind;

/// How many of the last lines stand in a cause; all that are kept are in the report.
const QUOTED: usize = 6;

/// How many of the last lines tell why it ended: it stops at the first command that fails, whose words come last.
const TELLING: usize = 5;

/// How much is shown of the command line of a process, in characters.
const LONGEST_COMMAND: usize = 300;

/// How many of the processes that had not ended at the deadline are named.
const NAMED: usize = 4;

/// What curl's exit codes say about the network: names, connections, time limits, TLS handshakes, answers cut short.
const CURL_NETWORK: [u32; 12] = [5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92, 95];

/// The words of Docker, of the Go library and of package managers for a network or a server that is not what it should be.
/// They say nothing about this box, and go by themselves.
const NETWORK: &[&str] = &[
    "no such host",
    "server misbehaving",
    "temporary failure in name resolution",
    "temporary failure resolving",
    "could not resolve",
    "network is unreachable",
    "no route to host",
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "context deadline exceeded",
    "client.timeout exceeded",
    "request canceled while waiting",
    "i/o timeout",
    "tls handshake timeout",
    "unexpected eof",
    "\": eof",
    "unexpected http status: 5",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway",
    "toomanyrequests",
    "too many requests",
    "pull rate limit",
];

/// The installer's word that it stopped because of Docker's version. It asks whether to go on, takes the closed input for
/// a no, and exits with 0.
pub(super) fn declined_for_docker(last_lines: &[String]) -> Option<&str> {
    let says =
        ["The installed version of Docker", "upgrade your current version of Docker", "not support Docker"];
    last_lines.iter().rev().find(|line| says.iter().any(|word| line.contains(word))).map(String::as_str)
}

/// The cause for an installer that did not end with exit code 0.
pub(super) fn failed(ended: &Ended, deadline: Duration, last_lines: &[String]) -> Cause {
    let cause = match ended.exit {
        ProcessExit::Deadline => at_deadline(ended, deadline, last_lines),
        ProcessExit::Code(code) => with_code(code, last_lines).with("exit code", code),
        ProcessExit::Signal(signal) => Cause::host(
            Kind::InstallerExit,
            format!("The Replicated installer was killed by signal {signal}."),
            "Check dmesg for the out-of-memory killer.",
        )
        .with("signal", signal),
    };
    quoting(cause, last_lines)
}

fn at_deadline(ended: &Ended, deadline: Duration, last_lines: &[String]) -> Cause {
    let seconds = deadline.as_secs();
    let cause = if last_lines.iter().any(|line| line.contains("Enter desired number")) {
        Cause::config(
            Kind::InstallerDeadline,
            "The Replicated installer kept asking for this box's private address.",
            "Remove an empty local-address from install.arguments, and LocalAddress from replicated.conf.",
        )
    } else if let Some(fetching) = ended.running.iter().find_map(|command| fetched_by(command)) {
        Cause::external(
            Kind::InstallerDeadline,
            format!(
                "The Replicated installer was still waiting for {fetching} when it was stopped after {seconds} s."
            ),
            "Make it reachable (route, NAT, DNS, proxy), or bake the AMI with agent bake, so that a boot downloads nothing.",
        )
    } else {
        Cause::host(
            Kind::InstallerDeadline,
            format!("The Replicated installer had not finished after {seconds} s and was stopped."),
            "Check its last lines. If it was only slow, raise install.deadline.",
        )
    };
    let running = ended.running.iter().take(NAMED);
    running
        .fold(cause, |cause, command| cause.with_quote("still running", command, LONGEST_COMMAND))
        .with("deadline", format!("{seconds} s"))
        .after_waiting(deadline)
}

/// What a command of the installer fetches: a URL or an image. `None` if it fetches nothing.
fn fetched_by(command: &str) -> Option<String> {
    let mut words = command.split(' ');
    let program = words.next()?.rsplit('/').next()?;
    let is_url = |word: &&str| word.starts_with("http://") || word.starts_with("https://");
    match program {
        "curl" | "wget" => Some(command.split(' ').rfind(is_url).unwrap_or(command).to_owned()),
        "docker" if words.next() == Some("pull") => {
            words.next_back().map(|image| format!("the image {image}"))
        }
        "apt-get" | "yum" | "dnf" => Some(format!("packages ({command})")),
        _ => None,
    }
}

fn with_code(code: i32, last_lines: &[String]) -> Cause {
    let telling = &last_lines[last_lines.len().saturating_sub(TELLING)..];
    let said = |word: &str| telling.iter().rev().find(|line| line.contains(word)).map(String::as_str);
    let config = |sentence: &str, next_step: &str| Cause::config(Kind::InstallerExit, sentence, next_step);
    if let Some(cause) = operators_answer(last_lines, telling) {
        return cause;
    }
    if let Some(cause) = curls_words(telling).or_else(|| network_words(code, telling)) {
        return cause;
    }
    if let Some(line) = said("unknown parameter") {
        let argument = line.split('"').nth(1).unwrap_or("one of its arguments");
        return config(
            &format!("The Replicated installer does not support the argument {argument}."),
            "Correct install.arguments: each edition of the installer supports different arguments.",
        );
    }
    if said("Docker is not installed").is_some() {
        return config(
            "The Replicated installer found no Docker: with no-docker it expects docker on the PATH and a running dockerd.",
            "Bake the packages docker and procps into the AMI: command -v docker; ps aux | grep dockerd.",
        );
    }
    if said("unknown shorthand flag: 'f'").is_some() {
        return config(
            "The Replicated installer ran with skip-pull, but an image is not on this box under its exact tag.",
            "Bake the images stable-VERSION of replicated, replicated-ui and replicated-operator, or remove skip-pull from install.arguments.",
        );
    }
    if let Some(command) = telling.iter().rev().find_map(|line| missing_command(line)) {
        return config(
            &format!("The Replicated installer needs the command {command}, which this box does not have."),
            "Install the package that provides it, and bake the AMI again.",
        );
    }
    if code == 6 {
        return config(
            "The Replicated installer could not create its user: the group of /var/run/docker.sock has no entry in /etc/group.",
            "Bake the group into the AMI: groupadd --gid $(stat -c %g /var/run/docker.sock) docker.",
        );
    }
    Cause::host(
        Kind::InstallerExit,
        format!("The Replicated installer failed with exit code {code}."),
        "Check its last lines, and run it by hand with the same arguments.",
    )
}

/// What bash says when the server of the operator's script has answered with something else: it is run all the same.
fn operators_answer(last_lines: &[String], telling: &[String]) -> Option<Cause> {
    let of_operator = |line: &&String| {
        line.contains("operator_install.sh: line ")
            && ["command not found", "syntax error", "No such file or directory"]
                .iter()
                .any(|word| line.contains(word))
    };
    telling.iter().rev().find(of_operator)?;
    let fetch = last_lines.iter().rev().find_map(|line| {
        let line = line.trim();
        (line.starts_with("curl ") || line.starts_with("wget ")).then(|| line.rsplit(' ').next()).flatten()
    });
    let cause = Cause::external(
        Kind::InstallerOperator,
        "The server returned something that is not a script instead of the Replicated operator's script.",
        "Check what the URL returns (curl -i URL), or bake the AMI with agent bake, so that a boot downloads nothing.",
    );
    Some(match fetch {
        Some(url) => cause.with_url("url", url),
        None => cause,
    })
}

/// `curl: (6) Could not resolve host: get.replicated.com`
fn curls_words(telling: &[String]) -> Option<Cause> {
    let line = telling.iter().rev().find(|line| line.contains("curl: ("))?;
    let code: u32 = line.split("curl: (").nth(1)?.split(')').next()?.parse().ok()?;
    let lower = line.to_ascii_lowercase();
    let is_for_now = ["error: 5", "error: 429", "error: 408"].iter().any(|word| lower.contains(word));
    Some(match code {
        22 if is_for_now => network(),
        code if CURL_NETWORK.contains(&code) => network(),
        22 => Cause::config(
            Kind::InstallerExit,
            "A server rejected a download of the Replicated installer.",
            "Correct the versions in install.url; the last lines show the request.",
        ),
        23 => Cause::host(
            Kind::InstallerExit,
            "The Replicated installer could not write what it downloaded.",
            "Check the disk space: df -h /tmp /var.",
        ),
        51 | 58 | 60 | 77 | 83 | 90 | 91 => Cause::config(
            Kind::InstallerExit,
            "The Replicated installer does not trust the certificate of a server that it downloads from.",
            "Install the CA of the proxy that intercepts TLS, or check the box's clock: date.",
        ),
        _ => return None,
    })
}

fn network_words(code: i32, telling: &[String]) -> Option<Cause> {
    let is_network = |line: &&String| {
        let line = line.to_ascii_lowercase();
        // The socket of the engine on this box is no network.
        NETWORK.iter().any(|word| line.contains(word))
            && !line.contains("dial unix")
            && !line.contains("docker daemon at unix")
    };
    // wget is told to be quiet: its exit codes for the network and for an error of the server are all there is.
    let by_wget = matches!(code, 4 | 8) && telling.iter().any(|line| line.contains("wget -qO- http"));
    (by_wget || telling.iter().any(|line| is_network(&line))).then(network)
}

fn network() -> Cause {
    Cause::external(
        Kind::InstallerNetwork,
        "The Replicated installer could not reach a server that it needs.",
        "Make the host in its last lines reachable (route, NAT, DNS, proxy), or bake the AMI with agent bake, so that a boot downloads nothing.",
    )
}

/// `/tmp/x.sh: line 12: netstat: command not found`
fn missing_command(line: &str) -> Option<&str> {
    let before = line.trim_end().strip_suffix(": command not found")?;
    let name = before.rsplit(": ").next().unwrap_or(before);
    (!name.is_empty() && !name.contains(' ')).then_some(name)
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
mod tests;
