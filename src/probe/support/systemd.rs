//! What systemd and its journal say, by their own commands.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use super::piece::{Found, Piece};
use super::tail::Tail;
use crate::files::Root;

/// How long one command may take. A journal of gigabytes on a cold disk takes seconds.
const LIMIT: Duration = Duration::from_secs(15);

/// How many entries of the journal are taken.
const ENTRIES: usize = 5000;

/// How many bytes of what a command says are taken, from its end.
const BYTES: usize = 2 << 20;

/// How many bytes of its complaints.
const COMPLAINTS: usize = 4096;

/// The units that this box lives by; a pattern finds those that are loaded.
const UNITS: &[&str] =
    &["boot-agent.service", "docker.service", "docker.socket", "containerd.service", "replicated*"];

/// What is told of each. Never `Environment` or `ExecStart`, in which anybody may have written a password.
const PROPERTIES: &str = "Id,Description,LoadState,ActiveState,SubState,Result,UnitFileState,FragmentPath,DropInPaths,\
    StatusText,StatusErrno,ExecMainStartTimestamp,ExecMainExitTimestamp,ExecMainCode,ExecMainStatus,MainPID,NRestarts,\
    ActiveEnterTimestamp,InactiveEnterTimestamp,StateChangeTimestamp,MemoryCurrent,TasksCurrent,NeedDaemonReload";

/// Parts of the journal: name in the bundle, and the fields that choose its entries, one of which must match.
const JOURNALS: &[(&str, &[&str])] = &[
    (
        "journal/boot-agent.log",
        &["_SYSTEMD_UNIT=boot-agent.service", "UNIT=boot-agent.service", "SYSLOG_IDENTIFIER=boot-agent"],
    ),
    (
        "journal/docker.log",
        &[
            "_SYSTEMD_UNIT=docker.service",
            "UNIT=docker.service",
            "_SYSTEMD_UNIT=containerd.service",
            "UNIT=containerd.service",
        ],
    ),
    (
        "journal/replicated.log",
        &[
            "_SYSTEMD_UNIT=replicated.service",
            "UNIT=replicated.service",
            "_SYSTEMD_UNIT=replicated-ui.service",
            "UNIT=replicated-ui.service",
            "_SYSTEMD_UNIT=replicated-operator.service",
            "UNIT=replicated-operator.service",
        ],
    ),
];

/// Everything at the same time.
pub(super) async fn ask(root: &Root) -> Vec<Piece> {
    let journals = join_all(JOURNALS.iter().map(|(name, fields)| journal(root, name, fields)));
    let (mut pieces, units) = tokio::join!(journals, units());
    pieces.push(units);
    pieces
}

async fn units() -> Piece {
    let mut arguments = vec!["show".to_owned(), "--no-pager".to_owned(), format!("--property={PROPERTIES}")];
    arguments.extend(UNITS.iter().map(|unit| (*unit).to_owned()));
    // The manager is the running system's, wherever the box's root lies.
    told("units.txt", "systemctl", &arguments).await
}

async fn journal(root: &Root, name: &str, fields: &[&str]) -> Piece {
    let lines = format!("--lines={ENTRIES}");
    let mut arguments: Vec<String> =
        ["--no-pager", "--output=short-iso-precise", &lines].map(str::to_owned).into();
    if !root.is_system() {
        arguments.push(format!("--root={}", root.directory().display()));
    }
    arguments.extend(fields.join(" + ").split(' ').map(str::to_owned));
    told(name, "journalctl", &arguments).await
}

/// What a command says on standard output.
async fn told(name: &str, program: &str, arguments: &[String]) -> Piece {
    Piece::new(name, format!("{program} {}", arguments.join(" ")), run(program, arguments).await)
}

async fn run(program: &str, arguments: &[String]) -> Result<Found, String> {
    let mut command = Command::new(program);
    // Of this process's environment only what finds the program: the rest may hold keys.
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("there is no {program} on this box"));
        }
        Err(error) => return Err(format!("{program} could not be started: {error}")),
    };
    let until = Instant::now() + LIMIT;
    let (mut said, mut complained) = (Tail::new(BYTES), Tail::new(COMPLAINTS));
    let ended = timeout_at(until, async {
        tokio::join!(drain(child.stdout.take(), &mut said), drain(child.stderr.take(), &mut complained));
        child.wait().await
    })
    .await;
    // A command that hangs is killed as its value is dropped.
    let has_more = said.lines() >= ENTRIES;
    let (text, is_cut) = said.finish();
    let (complaint, _) = complained.finish();
    let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
    let fault = match ended {
        Ok(Ok(status)) if status.success() => None,
        Ok(Ok(status)) => Some(ended_badly(program, status, &complaint)),
        Ok(Err(error)) => Some(format!("{program} was lost: {error}")),
        Err(_) => Some(format!("{program} did not end within {} s", LIMIT.as_secs())),
    };
    match fault {
        Some(fault) if text.trim().is_empty() => Err(fault),
        Some(fault) => Ok(Found::text(text).cut(Some(format!("incomplete: {fault}")))),
        None if is_cut || has_more => {
            Ok(Found::text(text).cut(Some(format!("the last {ENTRIES} entries, at most {BYTES} bytes"))))
        }
        // It may have seen less than there is, and says so.
        None => Ok(Found::text(text).cut(Some(complaint).filter(|complaint| !complaint.is_empty()))),
    }
}

fn ended_badly(program: &str, status: ExitStatus, complaint: &str) -> String {
    if complaint.is_empty() { format!("{program}: {status}") } else { format!("{program}: {complaint}") }
}

async fn drain(stream: Option<impl AsyncRead + Unpin>, tail: &mut Tail) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 64 * 1024];
    // What cannot be read has ended as far as this is concerned; how the command ended says more.
    while let Ok(count) = stream.read(&mut buffer).await
        && count > 0
    {
        tail.push(&buffer[..count]);
    }
}
