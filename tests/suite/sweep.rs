//! `tests/setup/sweep.sh`, which tidies up behind every run: it ends and removes what a dead run left, and nothing of a run
//! that goes on, wherever that may be.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::harness::{parts, process, shell};

/// What a test program has on disk while it runs: a record of one server and that server's data.
struct Run {
    target: TempDir,
    data: PathBuf,
    record: PathBuf,
    lock: Option<File>,
}

impl Run {
    /// With the record of this process's `server`.
    fn of(server: u32) -> Self {
        let target = parts::directory("target");
        let (run, data) = (target.path().join("test-parts/run/one"), target.path().join("boot-agent-data"));
        for directory in [&run, &data] {
            fs::create_dir_all(directory).unwrap();
        }
        let record = run.join(process::record_name(server));
        fs::write(&record, data.display().to_string()).unwrap();
        let lock = File::create(run.join("lock")).unwrap();
        lock.lock().unwrap();
        Run { target, data, record, lock: Some(lock) }
    }

    /// Runs the sweep, under `words`.
    fn sweep(&self, words: &[&str]) {
        let script = parts::source("tests/setup/sweep.sh").display().to_string();
        let words: Vec<&str> = words.iter().copied().chain([script.as_str()]).collect();
        shell::must(Command::new(words[0]).args(&words[1..]).env("CARGO_TARGET_DIR", self.target.path()));
    }

    fn is_whole(&self) -> bool {
        self.data.exists() && self.record.exists()
    }
}

/// In a PID namespace of its own, from where no process of another can be seen.
const ELSEWHERE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--"];

#[test]
fn a_run_that_goes_on_loses_nothing_and_a_dead_one_all() {
    let server = process::spawn({
        let mut sleep = process::bound("sleep", nix::sys::signal::Signal::SIGTERM);
        sleep.arg("600");
        sleep
    });
    let (mut run, mut server) = (Run::of(server.id()), server);
    for words in [&ELSEWHERE[..], &["env"]] {
        run.sweep(words);
        assert!(run.is_whole(), "{words:?}");
        assert!(server.try_wait().unwrap().is_none(), "{words:?}");
    }
    run.lock = None;
    run.sweep(&["env"]);
    assert!(!run.data.exists() && !run.record.exists());
    server.wait().unwrap();
}

#[test]
fn what_a_dead_run_left_is_removed_from_wherever_it_is_seen() {
    let mut run = Run::of(std::process::id());
    run.lock = None;
    run.sweep(&ELSEWHERE);
    assert!(!run.data.exists() && !run.record.exists());
}

/// A directory of a whole run, as `tests/run` has one, with a mark that only its end removes.
#[test]
fn the_directory_of_a_run_that_was_killed_is_removed_and_no_other() {
    let [running, killed, foreign] = ["running", "killed", "foreign"].map(|what| {
        let directory =
            tempfile::Builder::new().prefix(&format!("boot-agent-tests-{what}-")).tempdir_in("/tmp");
        let directory = directory.unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        directory
    });
    let lock = File::create(running.path().join("lock")).unwrap();
    lock.lock().unwrap();
    File::create(killed.path().join("lock")).unwrap();
    let target = parts::directory("target");
    let sweep = parts::source("tests/setup/sweep.sh");
    shell::must(Command::new(sweep).env("CARGO_TARGET_DIR", target.path()));
    assert!(running.path().exists() && foreign.path().exists());
    assert!(!killed.path().exists());
}
