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
    let ended =
        run_until(&file, &[], None, NONE.as_ref(), deadline, &Secrets::default(), &mut lines).await.unwrap();
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
    let guard = FetchGuard::write(&files::Root::new(directory.path()), None, "http://127.0.0.1:9").unwrap();
    let (_directory, file) = script("curl -sSL http://127.0.0.1:8/x; echo $?; pwd; env | grep -c BASH_ENV");
    let mut on_line = |_: &str| {};
    let mut lines = Lines::new(Secrets::default(), &mut on_line);
    run_bash(&file, &[], Some(&guard), NONE.as_ref(), LONG, &Secrets::default(), &mut lines).await.unwrap();
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
    let (exit, lines) =
        run("yes 'a line that says nothing much, again and again' | head -c 50000000; echo; echo end", LONG)
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
        let pid = |name: &str| std::fs::read_to_string(file.with_file_name(name)).unwrap().trim().to_owned();
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
