//! A child process with everything it starts, ended as one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::fetch_guard::FetchGuard;
use super::output::Lines;
use crate::files;
use crate::secret::Secrets;

/// How long a process group has to end by itself after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// The same when the future was dropped: then a thread of the runtime waits, so it has to be short.
const GRACE_ON_DROP: Duration = Duration::from_millis(400);

/// How long is read on after the leader has ended while somebody still holds its output.
const READ_ON: Duration = Duration::from_millis(500);

const POLL: Duration = Duration::from_millis(10);

/// Mark the environment of the child and of all that it starts: which file it runs, and its process group. By these a run
/// that outlived a killed agent is told from one that a person started, and from a daemon that has left the group.
const RUNS: &str = "BOOT_AGENT_RUNS";
const GROUP: &str = "BOOT_AGENT_GROUP";

/// Names the file that the run must not open to the world.
const KEEPS_CLOSED: &str = "BOOT_AGENT_KEEPS_CLOSED";

/// Only the child itself knows its process group before it runs.
///
/// One file stays closed whoever is killed, this process too: the `chmod` of the run passes over it, and where the run opens
/// it in another way, a watcher in its group closes it. The watcher lives as long as the run, and starts no programs that
/// would be told among those of the run.
const MARK_AND_RUN: &str = r#"
export BOOT_AGENT_GROUP=$$
chmod() {
    local word words=() operands=0 is_closed=
    for word; do
        if [ "$word" -ef "$BOOT_AGENT_KEEPS_CLOSED" ]; then
            is_closed=1
        else
            words+=("$word")
            [[ $word == -* ]] || operands=$((operands + 1))
        fi
    done
    # The mode alone is left.
    [ -z "$is_closed" ] || [ "$operands" -gt 1 ] || return 0
    command chmod "${words[@]+"${words[@]}"}"
}
export -f chmod
(
    exec {never}<> <(:) </dev/null >/dev/null 2>&1
    while kill -0 "$BOOT_AGENT_GROUP"; do
        command chmod o= "$BOOT_AGENT_KEEPS_CLOSED"
        read -r -t 0.2 -u "$never"
    done
    command chmod o= "$BOOT_AGENT_KEEPS_CLOSED"
) &
exec bash "$@"
"#;

/// Variables that are never withheld from the child, whatever they contain: a password `root` must not cost it its PATH.
const ALWAYS_INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "PWD"];

/// Variables by which systemd speaks to this process alone, and those by which bash runs a file before its script.
const NOT_THE_CHILDS: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "BASH_ENV", "ENV"];

/// Where programs are looked for, where the environment does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the leader of a process group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessExit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Not before the deadline; it was ended.
    Deadline,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// How its leader ended.
    pub(super) exit: ProcessExit,
    /// At the deadline: the command lines of its group that were still running, without shells, the newest first.
    pub(super) running: Vec<String>,
}

/// Runs `bash FILE ARGUMENTS…` in a session and a process group of its own, without input and without a terminal, until
/// it ends or `deadline` has passed. Whatever of the group is left then is ended too; a daemon that made a session of its
/// own lives on. With a guard, the run fetches nothing but what the guard has. Its `chmod` passes over `closed`.
///
/// # Errors
/// What the system said when the run could not be started.
pub(super) async fn run_bash(
    file: &Path,
    arguments: &[String],
    guard: Option<&FetchGuard>,
    closed: &Path,
    deadline: Duration,
    secrets: &Secrets,
    lines: &mut Lines<'_>,
) -> io::Result<Ended> {
    run_until(file, arguments, guard, closed, sleep(deadline), secrets, lines).await
}

async fn run_until(
    file: &Path,
    arguments: &[String],
    guard: Option<&FetchGuard>,
    closed: &Path,
    deadline: impl Future<Output = ()>,
    secrets: &Secrets,
    lines: &mut Lines<'_>,
) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    // Not a leader of a process group, so that setsid(1) need not fork: the child leads its session and its group.
    let mut command = Command::new("setsid");
    command.args(["bash", "-c", MARK_AND_RUN, "bash"]).arg(file).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .env(RUNS, file)
        .env(KEEPS_CLOSED, closed);
    restrict_environment(&mut command, secrets);
    if let Some(guard) = guard {
        let path = std::env::var("PATH").unwrap_or_else(|_| USUAL_PATH.to_owned());
        command.env("PATH", format!("{}:{path}", guard.programs().display()));
        command.current_dir(guard.working_directory());
    }
    let mut group = Group::of(command.spawn()?);
    // The command holds the parent's copies of the write end, which would keep the output from ever ending.
    drop(command);
    let mut output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let exit = follow(&mut group, &mut output, deadline, lines).await?;
    let running = if exit == ProcessExit::Deadline { group.commands() } else { Vec::new() };
    group.end().await;
    read_rest(&output, lines);
    Ok(Ended { exit, running })
}

async fn follow(
    group: &mut Group,
    output: &mut pipe::Receiver,
    deadline: impl Future<Output = ()>,
    lines: &mut Lines<'_>,
) -> io::Result<ProcessExit> {
    let mut buffer = vec![0; 64 * 1024];
    let mut output_open = true;
    let mut ended: Option<ExitStatus> = None;
    tokio::pin!(deadline);
    let read_on = sleep(Duration::MAX / 4);
    tokio::pin!(read_on);
    loop {
        if let Some(status) = ended
            && !output_open
        {
            return Ok(exit_of(status));
        }
        tokio::select! {
            biased;
            () = &mut deadline, if ended.is_none() => return Ok(ProcessExit::Deadline),
            () = &mut read_on, if ended.is_some() => output_open = false,
            status = group.child.wait(), if ended.is_none() => {
                ended = Some(status?);
                read_on.as_mut().reset(tokio::time::Instant::now() + READ_ON);
            }
            read = output.read(&mut buffer), if output_open => match read? {
                0 => output_open = false,
                count => lines.take(&buffer[..count]),
            },
        }
    }
}

/// What is in the pipe and was not read before the end; at most one pipe full, so that nobody can keep this going.
fn read_rest(output: &pipe::Receiver, lines: &mut Lines<'_>) {
    let mut buffer = vec![0; 64 * 1024];
    if let Ok(count) = output.try_read(&mut buffer) {
        lines.take(&buffer[..count]);
    }
}

fn exit_of(status: ExitStatus) -> ProcessExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessExit::Code(code),
        (None, signal) => ProcessExit::Signal(signal.unwrap_or(0)),
    }
}

fn restrict_environment(command: &mut Command, secrets: &Secrets) {
    for (name, value) in std::env::vars_os() {
        if is_withheld(&name, &value, secrets) {
            command.env_remove(&name);
        }
    }
    if std::env::var_os("HOME").is_none() {
        // systemd gives a system service none, and scripts that were written for a login expect one.
        command.env("HOME", "/root");
    }
}

fn is_withheld(name: &OsStr, value: &OsStr, secrets: &Secrets) -> bool {
    let name = name.to_string_lossy();
    if ALWAYS_INHERITED.contains(&name.as_ref()) || name.starts_with("LC_") {
        return false;
    }
    let aws_credential = name.starts_with("AWS_")
        && ["KEY", "SECRET", "TOKEN", "CREDENTIAL"].iter().any(|word| name.contains(word));
    aws_credential
        || NOT_THE_CHILDS.contains(&name.as_ref())
        || secrets.is_in(&format!("{name}={}", value.to_string_lossy()))
}

/// A child that leads a process group. Dropped, it takes the group with it.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Group { child, id }
    }

    fn signal(&self, signal: Signal) {
        // A child that has just been started may not lead its group yet.
        if let Some(id) = self.id
            && killpg(id, signal).is_err()
            && self.child.id().is_some()
        {
            let _ = kill(id, signal);
        }
    }

    /// Whether nobody of the group is left. The leader counts until it is reaped, so it is reaped here.
    fn is_gone(&mut self) -> bool {
        let has_leader = matches!(self.child.try_wait(), Ok(None));
        !has_leader && self.id.is_none_or(|id| killpg(id, None).is_err())
    }

    /// The command lines of the group, without shells, the newest first.
    fn commands(&self) -> Vec<String> {
        let in_group = |pid: &Pid| self.id.is_some() && getpgid(Some(*pid)).ok() == self.id;
        let mut pids: Vec<Pid> = processes().filter(in_group).collect();
        pids.sort_by_key(|pid| std::cmp::Reverse(pid.as_raw()));
        let told = pids.into_iter().filter_map(|pid| {
            let line = files::read_bounded(Path::new(&format!("/proc/{pid}/cmdline")), 64 * 1024).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let program = line.split(' ').next()?.rsplit('/').next()?.to_owned();
            let is_shell = matches!(program.as_str(), "" | "bash" | "sh" | "dash");
            (!is_shell).then(|| line.trim_end().to_owned())
        });
        told.collect()
    }

    /// Ends what is left of the group: asks, waits for [`GRACE`], kills.
    async fn end(&mut self) {
        let asked = Instant::now();
        if !self.is_gone() {
            self.signal(Signal::SIGTERM);
            while !self.is_gone() && asked.elapsed() < GRACE {
                sleep(POLL).await;
            }
            if !self.is_gone() {
                self.signal(Signal::SIGKILL);
                // A killed process is gone at once unless it hangs in the kernel, and then no waiting helps.
                let killed = Instant::now();
                while !self.is_gone() && killed.elapsed() < GRACE {
                    sleep(POLL).await;
                }
            }
        }
        self.id = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_gone() {
            return;
        }
        self.signal(Signal::SIGTERM);
        let asked = Instant::now();
        while !self.is_gone() && asked.elapsed() < GRACE_ON_DROP {
            std::thread::sleep(POLL);
        }
        self.signal(Signal::SIGKILL);
    }
}

/// Ends what is left of the runs of `file` that an agent started which was then killed itself. To be called only by
/// whoever holds the lock of the boot: the run of a living agent would be ended as well.
///
/// The leader of such a run is often gone, since nobody reads its output any more, while what it started goes on.
///
/// Returns how many runs there were.
pub(super) async fn end_leftover_runs(file: &Path) -> usize {
    let leftover: BTreeSet<Pid> = processes().filter_map(|pid| group_running(pid, file)).collect();
    for id in &leftover {
        let _ = killpg(*id, Signal::SIGTERM);
        let asked = Instant::now();
        while killpg(*id, None).is_ok() && asked.elapsed() < GRACE {
            sleep(POLL).await;
        }
        let _ = killpg(*id, Signal::SIGKILL);
    }
    leftover.len()
}

/// Every process of this machine.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

/// The process group of `pid`, if it belongs to a run of `file`.
fn group_running(pid: Pid, file: &Path) -> Option<Pid> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let variables = environment.split(|byte| *byte == 0);
        variables.into_iter().find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    let group = getpgid(Some(pid)).ok()?;
    let is_run = value(RUNS)? == file.as_os_str().as_encoded_bytes()
        && value(GROUP)? == group.as_raw().to_string().as_bytes();
    is_run.then_some(group)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
