//! Servers as children that cannot outlive this process.
//!
//! Three nets under each: it is stopped when its value is dropped; the kernel ends it when this process ends in whatever
//! way (`PR_SET_PDEATHSIG`); and a record on disk lets `tests/setup/sweep.sh` end it, should it have ignored that, once this
//! process no longer holds its lock.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

type Job = (Command, Sender<std::io::Result<Child>>);

/// The kernel counts the end of the *thread* that started a child as the parent's death, and a test's thread ends with
/// the test. So one thread, which lives as long as the process, starts them all.
static STARTER: LazyLock<Mutex<Sender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::spawn(move || {
        for (mut command, answer) in queue {
            // The asking test may be gone; then so is the interest.
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(jobs)
});

/// Starts `command` from the long-lived thread.
pub(crate) fn spawn(command: Command) -> Child {
    let shown = format!("{command:?}");
    let (answer, started) = mpsc::channel();
    STARTER.lock().unwrap().send((command, answer)).unwrap();
    started.recv().unwrap().unwrap_or_else(|error| panic!("{shown}: {error}"))
}

/// `program` under `setpriv`, which asks the kernel for `at_parents_end` and then becomes `program`: same process id.
pub(crate) fn bound(program: impl AsRef<std::ffi::OsStr>, at_parents_end: Signal) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", at_parents_end.as_str().trim_start_matches("SIG")]);
    command.arg("--").arg(program);
    command
}

/// `program` as [`bound`], run by the unprivileged `user`.
pub(crate) fn bound_as(user: &str, program: impl AsRef<std::ffi::OsStr>, end: Signal) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", end.as_str().trim_start_matches("SIG")]);
    command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    command.arg("--").arg(program);
    command
}

/// A running server.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    record: PathBuf,
    stop_signal: Signal,
}

impl Server {
    /// Starts `command` (made by [`bound`]) with its output in `directory/NAME.log`; `directory` is what the sweep removes.
    pub(crate) fn start(name: &str, mut command: Command, stop_signal: Signal, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // A Ctrl-C is meant for the test program; what it started is stopped in order.
            .process_group(0);
        let child = spawn(command);
        let record = write_record(child.id(), directory);
        Self { name: name.to_owned(), child, log, record, stop_signal }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Sends a signal. After SIGSTOP, returns when every thread of it stands still: until then it may still answer.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).unwrap();
        if signal == Signal::SIGSTOP {
            let asked = Instant::now();
            while !stands_still(self.pid()) {
                assert!(asked.elapsed() < Duration::from_secs(60), "it does not stop");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Asks again and again until `ready` says yes.
    ///
    /// # Panics
    /// With the end of the server's log when it ends or `within` passes first.
    pub(crate) fn wait_until(&mut self, within: Duration, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + within;
        while !ready() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended ({status}):\n{}", self.name, self.log_tail());
            }
            assert!(
                Instant::now() < deadline,
                "{} is not ready after {within:?}:\n{}",
                self.name,
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it in order, and hard when it takes longer than 20 seconds. A second call does nothing.
    pub(crate) fn stop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // One that is paused could not hear.
            let _ = signal::kill(self.pid(), Signal::SIGCONT);
            let _ = signal::kill(self.pid(), self.stop_signal);
            if wait(&mut self.child, Duration::from_secs(20)).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        let _ = fs::remove_file(&self.record);
    }

    /// What it wrote last, for a person who reads a failure.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for the end of `child`; `None` when it has not come `within` that time.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What `tests/setup/sweep.sh` knows of this process: a directory of records, locked until the process is gone.
struct Run {
    directory: PathBuf,
    _lock: File,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let runs = super::parts::part("").join("run");
    fs::create_dir_all(&runs).unwrap();
    // The sweep looks at names without a dot in front; this one gets its own when it is locked.
    let hidden = tempfile::Builder::new().prefix(".").rand_bytes(12).tempdir_in(&runs).unwrap().keep();
    let lock = File::create(hidden.join("lock")).unwrap();
    lock.lock().unwrap();
    let name = hidden.file_name().unwrap().to_string_lossy();
    let directory = runs.join(name.trim_start_matches('.'));
    fs::rename(&hidden, &directory).unwrap();
    Run { directory, _lock: lock }
});

/// A name that no other test program has, running or gone.
pub(crate) fn run_id() -> String {
    RUN.directory.file_name().unwrap().to_string_lossy().into_owned()
}

/// The record of a server.
fn write_record(pid: u32, directory: &Path) -> PathBuf {
    let record = RUN.directory.join(record_name(pid));
    fs::write(&record, directory.display().to_string()).unwrap();
    record
}

/// NAMESPACE-PID-START of a process.
pub(crate) fn record_name(pid: u32) -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{namespace}-{pid}-{}", start_time(pid))
}

/// The 22nd field of `/proc/PID/stat`, by which a process is told from a later one under the same id.
fn start_time(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(19).unwrap_or("0").to_owned()
}

/// Whether every thread of a process is stopped. One that waits in the kernel stops when it leaves it.
fn stands_still(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}
