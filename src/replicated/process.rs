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
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("run.sh");
        std::fs::write(&file, text).unwrap();
        (directory, file)
    }

    async fn run(text: &str, deadline: Duration) -> (ProcessExit, Vec<String>) {
        let (_directory, file) = script(text);
        let mut on_line = |_: &str| {};
        let mut lines = Lines::new(Secrets::default(), &mut on_line);
        let ended = run_bash(
            &file,
            &["an argument, unsplit".to_owned()],
            None,
            NONE.as_ref(),
            deadline,
            &Secrets::default(),
            &mut lines,
        )
        .await
        .unwrap();
        (ended.exit, lines.finish())
    }

    /// Whether the process is there and not merely a zombie, which in this test nobody may reap for a while.
    fn is_alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// No file is to be kept closed.
    const NONE: &str = "/nonexistent";

    /// Nothing here takes that long on whatever machine.
    const LONG: Duration = Duration::from_secs(120);

    /// The same, with a deadline that has come when the script has said so many lines.
    async fn run_until_said(text: &str, count: usize) -> (Ended, Vec<String>) {
        let (_directory, file) = script(text);
        let (said, mut enough) = tokio::sync::watch::channel(0);
        let mut on_line = |_: &str| said.send_modify(|said| *said += 1);
        let mut lines = Lines::new(Secrets::default(), &mut on_line);
        let deadline = async { drop(enough.wait_for(|said| *said >= count).await) };
        let ended = run_until(&file, &[], None, NONE.as_ref(), deadline, &Secrets::default(), &mut lines)
            .await
            .unwrap();
        (ended, lines.finish())
    }

    #[tokio::test]
    async fn both_outputs_come_in_order_without_input_in_a_session_of_its_own() {
        let text = "echo one; echo two >&2; read -r x || echo no input; echo \"$1\"; \
                    ps -o pgid=,sess=,tty= $$ | tr -s ' ' | sed 's/^ //'; echo $$ $$ '?'; exit 3";
        let (exit, lines) = run(text, LONG).await;
        assert_eq!(exit, ProcessExit::Code(3));
        assert_eq!(lines[..4], ["one", "two", "no input", "an argument, unsplit"]);
        assert_eq!(lines[4], lines[5]);
    }

    #[tokio::test]
    async fn what_runs_at_the_deadline_is_told_without_the_shells() {
        // Said when both have become another program.
        let text = "sleep 301 & a=$!; sleep 302 & b=$!
                    until [[ $(</proc/$a/comm) == sleep && $(</proc/$b/comm) == sleep ]]; do :; done
                    echo both; wait";
        let (ended, _) = run_until_said(text, 1).await;
        let mut running = ended.running;
        running.sort();
        assert_eq!(
            (ended.exit, running),
            (ProcessExit::Deadline, vec!["sleep 301".to_owned(), "sleep 302".to_owned()])
        );
    }

    #[tokio::test]
    async fn a_guarded_run_fetches_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let guard =
            FetchGuard::write(&files::Root::new(directory.path()), None, "http://127.0.0.1:9").unwrap();
        let (_directory, file) =
            script("curl -sSL http://127.0.0.1:8/x; echo $?; pwd; env | grep -c BASH_ENV");
        let mut on_line = |_: &str| {};
        let mut lines = Lines::new(Secrets::default(), &mut on_line);
        run_bash(&file, &[], Some(&guard), NONE.as_ref(), LONG, &Secrets::default(), &mut lines)
            .await
            .unwrap();
        let lines = lines.finish();
        assert!(lines[0].contains("refused to fetch http://127.0.0.1:8/x"), "{lines:?}");
        assert_eq!(lines[1..], ["97", guard.working_directory().to_str().unwrap(), "0"]);
        assert_eq!(guard.refused(), ["http://127.0.0.1:8/x"]);
    }

    #[tokio::test]
    async fn at_the_deadline_the_whole_group_is_ended_even_if_it_ignores_the_request() {
        let text = "trap '' TERM; sleep 300 & echo $!; (trap '' TERM; while :; do sleep 1; done) & echo $!; while :; do sleep 1; done";
        let (ended, lines) = run_until_said(text, 2).await;
        assert_eq!(ended.exit, ProcessExit::Deadline);
        assert!(lines.iter().all(|pid| !is_alive(pid)), "{lines:?}");
    }

    #[tokio::test]
    async fn what_the_leader_leaves_behind_is_ended_and_does_not_hold_up_the_end() {
        let started = Instant::now();
        let (exit, lines) = run("sleep 300 & echo $!", LONG).await;
        assert_eq!(exit, ProcessExit::Code(0));
        assert!(started.elapsed() < LONG, "its output was read to its end");
        assert!(!is_alive(&lines[0]));
    }

    #[tokio::test]
    async fn a_dropped_run_takes_its_group_with_it() {
        let (_directory, file) = script("sleep 300 & echo $! > \"$(dirname \"$0\")/pid\"; wait");
        let pid_file = file.with_file_name("pid");
        let mut on_line = |_: &str| {};
        let mut lines = Lines::new(Secrets::default(), &mut on_line);
        let secrets = Secrets::default();
        let run = run_bash(&file, &[], None, NONE.as_ref(), LONG, &secrets, &mut lines);
        let written = async {
            while std::fs::read_to_string(&pid_file).unwrap_or_default().trim().is_empty() {
                sleep(POLL).await;
            }
        };
        tokio::select! { _ = run => unreachable!(), () = written => {} }
        assert!(!is_alive(std::fs::read_to_string(&pid_file).unwrap().trim()));
    }

    #[tokio::test]
    async fn fifty_megabytes_pass_before_the_deadline() {
        let (exit, lines) = run(
            "yes 'a line that says nothing much, again and again' | head -c 50000000; echo; echo end",
            LONG,
        )
        .await;
        assert_eq!(exit, ProcessExit::Code(0));
        assert_eq!(lines.last().unwrap(), "end");
    }

    #[tokio::test]
    async fn what_a_killed_agent_left_running_is_ended_and_nothing_else() {
        // The leader ends at once, as it does when nobody reads its output; a daemon has left the group.
        let text = "cd \"$(dirname \"$0\")\"; rm -f child daemon; sleep 300 & echo $! > child; setsid sh -c 'echo $$ > daemon; exec sleep 300' & \
                    while [ ! -s daemon ]; do sleep 0.05; done; exit";
        let (_directory, file) = script(text);
        let start = |name: &str, value: &std::ffi::OsStr| {
            let mut command = std::process::Command::new("bash");
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.args(["-c", MARK_AND_RUN, "bash"]).arg(&file).env(name, value);
            command.spawn().unwrap().wait().unwrap();
            let pid =
                |name: &str| std::fs::read_to_string(file.with_file_name(name)).unwrap().trim().to_owned();
            (pid("child"), pid("daemon"))
        };
        let (child, daemon) = start(RUNS, file.as_os_str());
        let (by_hand, its_daemon) = start("SOME_NAME", file.as_os_str());
        assert!(is_alive(&child) && is_alive(&daemon));
        assert_eq!(end_leftover_runs(&file).await, 1);
        while is_alive(&child) {
            sleep(POLL).await;
        }
        assert!(is_alive(&daemon) && is_alive(&by_hand) && is_alive(&its_daemon));
        for pid in [daemon, by_hand, its_daemon] {
            nix::sys::signal::kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
        }
    }

    #[test]
    fn the_child_gets_no_secret_and_keeps_its_path() {
        let secrets = Secrets::default();
        secrets.register("environment-canary");
        let withheld = |name: &str, value: &str| is_withheld(OsStr::new(name), OsStr::new(value), &secrets);
        assert!(withheld("SOME_URI", "mongodb://u:environment-canary@h/"));
        assert!(withheld("AWS_SESSION_TOKEN", "x") && withheld("AWS_SECRET_ACCESS_KEY", "x"));
        assert!(withheld("NOTIFY_SOCKET", "/run/x"));
        assert!(!withheld("AWS_REGION", "us-east-1") && !withheld("http_proxy", "http://10.0.0.1:3128"));
        assert!(!withheld("PATH", "/environment-canary/bin"));
    }

    #[tokio::test]
    async fn the_run_opens_everything_but_one_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, file) = script(
            "set -eu\ncd \"${0%/*}\"\nchmod a+r closed\nchmod -v 0644 closed open\nbash -c 'chmod a+r ./closed'\nchmod 0600 other\n! chmod 2>/dev/null",
        );
        for name in ["closed", "open", "other"] {
            std::fs::write(directory.path().join(name), "").unwrap();
            let mode = std::fs::Permissions::from_mode(0o640);
            std::fs::set_permissions(directory.path().join(name), mode).unwrap();
        }
        let mut on_line = |_: &str| {};
        let mut lines = Lines::new(Secrets::default(), &mut on_line);
        let closed = directory.path().join("closed");
        let ended = run_bash(&file, &[], None, &closed, LONG, &Secrets::default(), &mut lines).await.unwrap();
        assert_eq!(ended.exit, ProcessExit::Code(0), "{:?}", lines.finish());
        let mode = |name| directory.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(["closed", "open", "other"].map(mode), [0o640, 0o644, 0o600]);
    }
}
