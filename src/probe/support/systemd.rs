//! Output of systemctl and journalctl.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use super::section::{Found, Section};
use super::tail::Tail;
use crate::files::Root;

/// How long one command may take. A journal of gigabytes on a cold disk takes seconds.
const LIMIT: Duration = Duration::from_secs(15);

/// How many entries of the journal are taken.
const ENTRIES: usize = 5000;

/// How many bytes of the end of a command's output are collected.
const BYTES: usize = 2 << 20;

/// How many bytes of its complaints.
const COMPLAINTS: usize = 4096;

/// The relevant units; a pattern matches loaded ones.
const UNITS: &[&str] =
    &["boot-agent.service", "docker.service", "docker.socket", "containerd.service", "replicated*"];

/// The properties to show. Never `Environment` or `ExecStart`, which may contain passwords.
const PROPERTIES: &str = "Id,Description,LoadState,ActiveState,SubState,Result,UnitFileState,FragmentPath,DropInPaths,\
    StatusText,StatusErrno,ExecMainStartTimestamp,ExecMainExitTimestamp,ExecMainCode,ExecMainStatus,MainPID,NRestarts,\
    ActiveEnterTimestamp,InactiveEnterTimestamp,StateChangeTimestamp,MemoryCurrent,TasksCurrent,NeedDaemonReload";

/// Parts of the journal: name in the bundle, the units, and further entries that belong to them.
const JOURNALS: &[(&str, &[&str], &[&str])] = &[
    ("journal/boot-agent.log", &["boot-agent"], &["SYSLOG_IDENTIFIER=boot-agent"]),
    ("journal/docker.log", &["docker", "containerd"], &[]),
    ("journal/replicated.log", &["replicated", "replicated-ui", "replicated-operator"], &[]),
];

/// What `journalctl` prints where nothing matches.
const NO_ENTRIES: &str = "-- No entries --";

/// Everything at the same time.
pub(super) async fn ask(root: &Root) -> Vec<Section> {
    let journals =
        join_all(JOURNALS.iter().map(|(name, units, further)| journal(root, name, units, further)));
    let (mut pieces, units) = tokio::join!(journals, units());
    pieces.push(units);
    pieces
}

async fn units() -> Section {
    let mut arguments = vec!["show".to_owned(), "--no-pager".to_owned(), format!("--property={PROPERTIES}")];
    arguments.extend(UNITS.iter().map(|unit| (*unit).to_owned()));
    // The manager is the running system's, wherever the box's root lies.
    let found = run("systemctl", &arguments).await;
    Section::new("units.txt", format!("systemctl show {}", UNITS.join(" ")), found)
}

async fn journal(root: &Root, name: &str, units: &[&str], further: &[&str]) -> Section {
    let mut source = "journalctl".to_owned();
    let mut arguments =
        vec!["--no-pager".to_owned(), "--output=short-iso-precise".to_owned(), format!("--lines={ENTRIES}")];
    if !root.is_system() {
        let root = format!("--root={}", root.directory().display());
        source.push_str(&format!(" {root}"));
        arguments.push(root);
    }
    // What a unit said, and what systemd said of it: `--unit` would not let further entries stand beside them.
    let fields = units
        .iter()
        .flat_map(|unit| ["_SYSTEMD_UNIT", "UNIT"].map(|field| format!("{field}={unit}.service")));
    for (number, field) in fields.chain(further.iter().map(|field| (*field).to_owned())).enumerate() {
        arguments.extend((number > 0).then(|| "+".to_owned()));
        arguments.push(field);
    }
    source.extend(units.iter().map(|unit| format!(" -u {unit}")));
    let found = run("journalctl", &arguments).await;
    Section::new(name, source, found)
}

/// What a command says on standard output.
async fn run(program: &str, arguments: &[String]) -> Result<Found, String> {
    let mut command = Command::new(program);
    // Only `PATH` of this process's environment: the rest may contain keys.
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
    // A hung command is killed on drop.
    let has_more = said.lines() >= ENTRIES;
    let (text, is_cut) = said.finish();
    let (complaint, _) = complained.finish();
    let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
    let fault = match ended {
        Ok(Ok(status)) if status.success() => None,
        Ok(Ok(status)) => Some(ended_badly(program, status, &complaint)),
        Ok(Err(error)) => Some(format!("{program} could not be read: {error}")),
        Err(_) => Some(format!("{program} did not finish within {} s", LIMIT.as_secs())),
    };
    if text.trim() == NO_ENTRIES {
        let why = "the journal has no such entries";
        return Err(if complaint.is_empty() { why.to_owned() } else { format!("{why}: {complaint}") });
    }
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
