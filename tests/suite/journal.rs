//! What the journal and systemd are told, by a boot that runs as systemd would run it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use stand_ins::autoscaling::Fault;
use stand_ins::s3_faults;
use tempfile::TempDir;

use super::harness::agent::Agent;
use super::harness::parts;
use super::scene::{INSTALLER, INSTANCE, SOON, Scene};

const COMPLETE: &str = "CompleteLifecycleAction";

/// One datagram, and when it came.
type Datagram = (Instant, Vec<u8>);

/// A datagram socket and all that came to it.
struct Listener {
    path: PathBuf,
    came: Arc<Mutex<Vec<Datagram>>>,
    is_over: Arc<AtomicBool>,
}

impl Listener {
    fn at(path: PathBuf) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let listener = Listener { path, came: Arc::default(), is_over: Arc::default() };
        let (came, is_over) = (Arc::clone(&listener.came), Arc::clone(&listener.is_over));
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer) {
                    came.lock().unwrap().push((Instant::now(), buffer[..length].to_vec()));
                }
            }
        });
        listener
    }

    fn came(&self) -> Vec<Datagram> {
        self.came.lock().unwrap().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// A journal that the program sees in place of the machine's.
struct Journal {
    run: TempDir,
    listener: Listener,
}

type Entry = BTreeMap<String, String>;

impl Journal {
    fn start() -> Self {
        let run = parts::directory("journal");
        let listener = Listener::at(run.path().join("systemd/journal/socket"));
        Journal { run, listener }
    }

    /// `agent`, with this journal's directory as its `/run`, and with `stderr` as its standard error, of which
    /// `$JOURNAL_STREAM` says what systemd says of a stream that it has connected.
    fn connected(&self, agent: Agent) -> Agent {
        self.with_stream(agent, "$(stat -L -c %d:%i \"$2\")")
    }

    /// The same, and standard output is that stream too, as systemd connects both unless the unit says otherwise.
    fn connected_whole(&self, agent: Agent) -> Agent {
        let agent = agent.under("sh", ["-c", "exec 1>&2; exec \"$@\"", "sh"]);
        self.connected(agent)
    }

    fn with_stream(&self, agent: Agent, stream: &str) -> Agent {
        let script = format!(
            "mount --bind \"$1\" /run && exec 2>\"$2\" && export JOURNAL_STREAM={stream} && shift 2 && exec \"$@\""
        );
        let stderr = self.stderr().display().to_string();
        let run = self.run.path().display().to_string();
        agent.under("unshare", ["--mount", "sh", "-c", &script, "sh", &run, &stderr])
    }

    fn stderr(&self) -> PathBuf {
        self.run.path().join("stderr")
    }

    fn entries(&self) -> Vec<Entry> {
        // The first is empty: with it the program asks whether somebody listens.
        let came = self.listener.came();
        came.iter().filter(|(_, datagram)| !datagram.is_empty()).map(|(_, it)| parse(it)).collect()
    }
}

/// The journal's native protocol: `KEY=VALUE\n`, or `KEY\n`, the length as 64 bits little-endian, the value, `\n`.
fn parse(mut rest: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a line's end");
        let line = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 1..];
        match line.split_once('=') {
            Some((key, value)) => entry.insert(key.to_owned(), value.to_owned()),
            None => {
                let (length, after) = rest.split_at(8);
                let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
                rest = &after[length + 1..];
                entry.insert(line, String::from_utf8(after[..length].to_vec()).unwrap())
            }
        };
    }
    entry
}

fn field<'a>(entry: &'a Entry, name: &str) -> &'a str {
    entry.get(name).map_or("", String::as_str)
}

/// The one entry that says it ended so.
fn ended<'a>(entries: &'a [Entry], stage: &str, word: &str) -> &'a Entry {
    let begin = format!("{stage} {word} after");
    let mut found = entries.iter().filter(|entry| field(entry, "MESSAGE").starts_with(&begin));
    let entry = found.next().unwrap_or_else(|| panic!("no entry begins {begin:?}: {entries:#?}"));
    assert_eq!(found.next(), None);
    entry
}

#[test]
fn everything_is_in_the_journal_once_and_the_last_entry_says_how_it_ended() {
    let scene = Scene::new();
    let journal = Journal::start();
    scene.put("license.rli", "<html>login</html>");
    journal.connected_whole(scene.boot()).run(SOON).assert_code(1);
    assert_eq!(fs::read_to_string(journal.stderr()).unwrap(), "");
    let entries = journal.entries();
    let last = entries.last().unwrap();
    assert!(field(last, "MESSAGE").starts_with("boot failed after"), "{last:?}");
    assert!(field(last, "MESSAGE").contains("ABANDON acknowledged"), "{last:?}");
    assert_eq!((field(last, "PRIORITY"), field(last, "BOOT_CAUSE")), ("3", "bundle.invalid"), "{last:?}");
    // What no event says is printed all the same.
    let journal = Journal::start();
    journal.connected_whole(scene.boot().args(["--dry-run", "--deadline=soon"])).run(SOON).assert_code(2);
    assert!(fs::read_to_string(journal.stderr()).unwrap().contains("settings.invalid"));
}

#[test]
fn the_journal_gets_fields_and_standard_error_nothing() {
    let scene = Scene::new();
    let journal = Journal::start();
    let s3 = s3_faults::start(s3_faults::Config::before(&scene.s3.url())).unwrap();
    s3.rule(s3_faults::Rule::key("license.rli", s3_faults::Fault::SlowDown).times(1));
    scene.stand_in("mode", "leak\n");
    let boot = scene.boot().env("AWS_ENDPOINT_URL_S3", s3.url());
    let finished = journal.connected(boot).run(SOON);
    finished.assert_code(0);
    assert_eq!(fs::read_to_string(journal.stderr()).unwrap(), "");

    let entries = journal.entries();
    for entry in &entries {
        assert_eq!(field(entry, "SYSLOG_IDENTIFIER"), "boot-agent", "{entry:?}");
        assert!(["3", "4", "5", "6", "7"].contains(&field(entry, "PRIORITY")), "{entry:?}");
    }
    let waiting = entries.iter().find(|entry| field(entry, "MESSAGE").starts_with("fetch waiting")).unwrap();
    assert_eq!(field(waiting, "BOOT_STAGE"), "fetch");
    assert_eq!(field(waiting, "BOOT_CAUSE"), "s3.slow_down");
    assert_eq!(field(waiting, "INSTANCE_ID"), INSTANCE);
    assert_eq!(field(waiting, "PRIORITY"), "4");

    let done = ended(&entries, "fetch", "done");
    assert_eq!((field(done, "BOOT_STAGE"), field(done, "BOOT_CAUSE")), ("fetch", ""));
    assert!(field(done, "PRIORITY") > "4", "{done:?}");
    let identified = entries.iter().position(|entry| entry.contains_key("INSTANCE_ID")).unwrap();
    assert!(entries[identified..].iter().all(|entry| field(entry, "INSTANCE_ID") == INSTANCE));

    let said = entries.iter().filter(|entry| field(entry, "BOOT_STAGE") == "install");
    let said: String = said.map(|entry| field(entry, "MESSAGE")).collect();
    assert!(said.contains("Using DaemonAuthenticationPassword"), "{said}");
    for secret in ["console-password-of-the-test", "passphrase-of-the-test", "circle-password"] {
        assert!(!format!("{entries:?}").contains(secret), "{secret} is in the journal");
    }
}

#[test]
fn a_failure_stands_in_the_journal_as_an_error_with_its_cause() {
    let scene = Scene::new();
    let journal = Journal::start();
    scene.put("license.rli", "<html>login</html>");
    journal.connected(scene.boot()).run(SOON).assert_code(1);
    let entries = journal.entries();
    let failed = ended(&entries, "validate", "failed");
    assert_eq!(field(failed, "BOOT_STAGE"), "validate");
    assert_eq!(field(failed, "BOOT_CAUSE"), "bundle.invalid");
    assert_eq!(field(failed, "INSTANCE_ID"), INSTANCE);
    assert_eq!(field(failed, "PRIORITY"), "3");
    assert!(field(failed, "MESSAGE").contains("license.rli"), "{failed:?}");
}

#[test]
fn a_stream_that_is_not_the_journals_gets_plain_lines() {
    let scene = Scene::new();
    let journal = Journal::start();
    scene.put("license.rli", "<html>login</html>");
    // As inherited by a shell whose output was redirected since.
    journal.with_stream(scene.boot(), "8:12345").run(SOON).assert_code(1);
    assert_eq!(journal.entries(), Vec::<Entry>::new());
    let said = fs::read_to_string(journal.stderr()).unwrap();
    assert!(said.contains("validate   FAILED"), "{said}");
}

/// systemd's end of `sd_notify`.
struct Supervisor {
    _directory: TempDir,
    listener: Listener,
}

impl Supervisor {
    fn start() -> Self {
        let directory = parts::directory("notify");
        let listener = Listener::at(directory.path().join("notify"));
        Supervisor { _directory: directory, listener }
    }

    fn socket(&self) -> &Path {
        &self.listener.path
    }

    /// Every assignment that came, and when.
    fn told(&self) -> Vec<(Instant, String)> {
        let mut told = Vec::new();
        for (at, datagram) in self.listener.came() {
            let text = String::from_utf8(datagram).unwrap();
            told.extend(text.lines().map(|line| (at, line.to_owned())));
        }
        told
    }

    fn count(&self, line: &str) -> usize {
        self.told().iter().filter(|(_, told)| told == line).count()
    }

    fn has_status(&self, begin: &str) -> bool {
        let begin = format!("STATUS={begin}");
        self.told().iter().any(|(_, line)| line.starts_with(&begin))
    }

    #[track_caller]
    fn wait_until(&self, what: &str, within: Duration, question: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + within;
        while !question(self) {
            assert!(Instant::now() < deadline, "{what} has not come: {:#?}", self.told());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn systemd_hears_ready_once_and_after_the_group_has_acknowledged() {
    let scene = Scene::new();
    let supervisor = Supervisor::start();
    scene.stand_in("timeline", "0 starting started true 503\n");
    scene.auto_scaling.inject(Fault::Throttle(COMPLETE.into(), 1000));
    let mut running = scene.boot().env("NOTIFY_SOCKET", supervisor.socket().display()).spawn();
    supervisor.wait_until("the app's status", SOON, |it| it.has_status("ready: waiting ("));
    scene.stand_in("timeline", "0 started started false 200\n");
    running.wait_for_line("report     waiting", SOON);
    supervisor.wait_until("the report's status", SOON, |it| it.has_status("report: waiting ("));
    assert_eq!(supervisor.count("READY=1"), 0);
    scene.auto_scaling.cure();
    running.finish(SOON).assert_code(0);
    supervisor.wait_until("READY=1", SOON, |it| it.count("READY=1") > 0);
    assert_eq!(supervisor.count("READY=1"), 1);
    assert!(supervisor.has_status("in service after"));
    for stage in ["identity", "lifecycle", "fetch", "validate", "place", "databases", "images", "install"] {
        assert!(supervisor.has_status(&format!("{stage}: ")), "{stage}: {:#?}", supervisor.told());
    }
}

#[test]
fn systemd_never_hears_ready_of_a_failed_boot() {
    let scene = Scene::new();
    let supervisor = Supervisor::start();
    scene.put("license.rli", "<html>login</html>");
    scene.boot().env("NOTIFY_SOCKET", supervisor.socket().display()).run(SOON).assert_code(1);
    supervisor.wait_until("the failure", SOON, |it| it.has_status("validate: failed: "));
    assert_eq!(supervisor.count("READY=1"), 0);
}

#[test]
fn systemd_hears_ready_of_a_boot_that_followed_a_good_one() {
    let scene = Scene::new();
    let supervisor = Supervisor::start();
    scene.stand_in("timeline", "0 starting started true 503\n");
    let mut by_hand = scene.boot().spawn();
    by_hand.wait_for_line("ready      waiting", SOON);
    let mut unit = scene.boot().env("NOTIFY_SOCKET", supervisor.socket().display()).spawn();
    unit.wait_for_line("another boot is already running", SOON);
    scene.stand_in("timeline", "0 started started false 200\n");
    by_hand.finish(SOON).assert_code(0);
    unit.finish(SOON).assert_code(0);
    supervisor.wait_until("READY=1", SOON, |it| it.count("READY=1") > 0);
    assert_eq!(supervisor.count("READY=1"), 1);
}

#[test]
fn the_watchdog_is_fed_at_half_its_time_while_the_boot_waits() {
    let scene = Scene::new();
    let supervisor = Supervisor::start();
    scene.auto_scaling.inject(Fault::Silent("*".into()));
    let running = scene
        .boot()
        .env("NOTIFY_SOCKET", supervisor.socket().display())
        .env("WATCHDOG_USEC", 2_000_000)
        .spawn();
    supervisor.wait_until("the watchdog's food", SOON, |it| it.count("WATCHDOG=1") >= 6);
    drop(running);
    let told = supervisor.told();
    let fed: Vec<Instant> =
        told.iter().filter(|(_, line)| line == "WATCHDOG=1").map(|(at, _)| *at).take(6).collect();
    // As a rule: on a busy machine one may come late.
    let mut intervals: Vec<Duration> = fed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    assert!((500..1800).contains(&intervals[2].as_millis()), "{fed:?}");
}

#[test]
fn the_installer_cannot_speak_to_systemd() {
    let scene = Scene::new();
    let supervisor = Supervisor::start();
    let seen = scene.world.path("/environment-of-the-installer");
    let installer = scene.world.read(INSTALLER);
    let (shebang, rest) = installer.split_once('\n').unwrap();
    scene.world.write(INSTALLER, format!("{shebang}\nenv >'{}'\n{rest}", seen.display()));
    scene.lock("");
    scene
        .boot()
        .env("NOTIFY_SOCKET", supervisor.socket().display())
        .env("WATCHDOG_USEC", 20_000_000)
        .env("WATCHDOG_PID_OF_NOBODY", "stays")
        .run(SOON)
        .assert_code(0);
    let environment = fs::read_to_string(seen).unwrap();
    assert!(environment.lines().any(|line| line.starts_with("PATH=")), "{environment}");
    assert!(environment.contains("WATCHDOG_PID_OF_NOBODY=stays"), "{environment}");
    for name in ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="] {
        assert!(!environment.contains(name), "{environment}");
    }
    assert_eq!(supervisor.count("READY=1"), 1);
}
