//! No secret in any sink. Wherever a secret can stand there is a canary: a word that nothing else contains, with and
//! without characters that need encoding around it. The bare word is searched for, which letters and digits alone make
//! up, so that every encoding that keeps those is covered, and a part of a secret as well; base64 is searched for apart.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use stand_ins::{imds, s3_faults};

use super::harness::agent::{Agent, Finished};
use super::harness::mongo;
use super::harness::postgres::Postgres;
use super::scene::{REPLICATED, SETTINGS, SOON, Scene, customizations, databases};

/// How every canary begins. What follows tells where it stood.
pub(super) const WORD: &str = "cAn4Ry7";

/// The places, and how the secret there is written: each of them needs another encoding somewhere.
const PLACES: [(&str, &str); 14] = [
    ("ConsolePassword", "%"),
    // Without blanks: the installer hands it to the operator's script unquoted.
    ("DaemonToken", "p@/:?#[]&=+%41%w"),
    ("HubPassword", "\"q\" \\ \u{e9}"),
    ("SnapshotKey", "/+="),
    ("ProxyPassword", "@:/"),
    ("Passphrase", "\"<&>' \\n"),
    ("ClientSecret", ""),
    ("OtherToken", "$x`y"),
    ("MongoPassword", "@:/?#%"),
    ("PostgresPassword", ""),
    ("KeyFile", "+/="),
    ("EnvironmentKey", "/+"),
    ("EnvironmentToken", "//=="),
    ("RoleKey", "+/"),
];

/// The secret of a place.
pub(super) fn secret(place: &str) -> String {
    let (_, characters) = PLACES.iter().find(|(name, _)| *name == place).unwrap();
    format!("{WORD}{place}{characters}{WORD}")
}

pub(super) fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// # Panics
/// When a canary is in there; `what` is where this was found.
#[track_caller]
pub(super) fn assert_clean(what: &str, text: &str) {
    let around = |at: usize| {
        let from = text[..at].char_indices().rev().nth(80).map_or(0, |(at, _)| at);
        text[from..].chars().take(240).collect::<String>()
    };
    if let Some(at) = text.find(WORD) {
        panic!("a canary in {what}: {}", around(at));
    }
    for (place, _) in PLACES {
        let secret = secret(place);
        for form in [STANDARD.encode(&secret), URL_SAFE_NO_PAD.encode(&secret)] {
            assert!(!text.contains(&form), "{place} in base64 in {what}");
        }
    }
    for password in [mongo::PASSWORD, Postgres::PASSWORD] {
        assert!(!text.contains(password), "a database's password in {what}");
    }
}

/// A scene whose every secret is a canary, and what must stay clean in it.
pub(super) struct Guarded {
    pub(super) scene: Scene,
    /// Gives the role's credentials, which are canaries too.
    imds: imds::Handle,
}

impl Guarded {
    pub(super) fn new() -> Self {
        let scene = Scene::new();
        let defaults = imds::Instance::default();
        let instance = imds::Instance {
            secret_key: secret("RoleKey"),
            session_token: format!("{WORD}RoleToken//=="),
            ..defaults
        };
        let imds = imds::start(imds::Config { instance, ..imds::Config::default() }).unwrap();
        let guarded = Self { scene, imds };
        guarded.put_bundle();
        // The box's console, which a failed boot writes to.
        guarded.scene.world.write("/dev/console", "");
        guarded.settings("60s");
        guarded
    }

    fn put_bundle(&self) {
        let (mongo, postgres) = databases();
        let proxy = format!("http://user:{}@127.0.0.1:9", percent(&secret("ProxyPassword")));
        let more = [
            ("DaemonToken", secret("DaemonToken")),
            ("DockerHubUsername", "somebody".to_owned()),
            ("DockerHubPassword", secret("HubPassword")),
            ("SnapshotsAWSSecretKey", secret("SnapshotKey")),
            ("HttpProxy", proxy),
        ];
        let more: Vec<String> =
            more.iter().map(|(key, value)| format!("  \"{key}\": {},\n", json(value))).collect();
        let replicated = REPLICATED
            .replace("\"console-password-of-the-test\"", &json(&secret("ConsolePassword")))
            .replacen("{\n", &format!("{{\n{}", more.concat()), 1);
        let settings = SETTINGS
            .replace("\"passphrase-of-the-test\"", &json(&secret("Passphrase")))
            .replace("\"client-secret-of-the-test\"", &json(&secret("ClientSecret")));
        let customizations = customizations(|database| mongo.uri(database), &postgres.uri());
        let other = format!("export CIRCLE_SECRETS_OTHER_TOKEN='{}'\n", secret("OtherToken"));
        self.scene.put("replicated.conf", replicated);
        self.scene.put("settings.conf", settings);
        self.scene.put("circle-installation-customizations", customizations + &other);
        self.scene.put("keys/key", secret("KeyFile"));
    }

    fn settings(&self, app_wait: &str) {
        let bucket = &self.scene.bucket;
        let port = self.scene.health_port;
        self.scene.world.agent_toml(&format!(
            "[[extra]]\nobject = \"keys/\"\npath = \"/data/circle/circleci-encryption-keys/\"\n\
             [report]\nupload = \"s3://{bucket}/reports\"\n\
             [app]\nhealth_urls = [\"http://127.0.0.1:{port}/health-check\"]\nsteady = \"1s\"\nwait = \"{app_wait}\"\n"
        ));
    }

    pub(super) fn agent(&self, arguments: &[&str]) -> Agent {
        Agent::new(&self.scene.world)
            .args(arguments)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.imds.url())
    }

    /// With credentials of the environment in place of the role's.
    fn with_keys(agent: Agent) -> Agent {
        agent
            .env("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
            .env("AWS_SECRET_ACCESS_KEY", secret("EnvironmentKey"))
            .env("AWS_SESSION_TOKEN", secret("EnvironmentToken"))
    }

    pub(super) fn boot(&self) -> Agent {
        self.agent(&["--verbose", "boot", &self.scene.source()])
    }

    /// What the boot said, wrote and sent.
    fn assert_boot_is_clean(&self, finished: &Finished) {
        assert_output_is_clean(finished);
        let own = |path: &str| {
            path.starts_with("./var/lib/boot-agent") || path.starts_with("./run") || path == "./dev/console"
        };
        let mut looked_at = BTreeSet::new();
        for (path, content) in self.scene.world.files() {
            let path = path.display().to_string();
            if own(&path) {
                assert_clean(&path, &String::from_utf8_lossy(&content));
                looked_at.insert(path);
            }
        }
        assert!(looked_at.contains("./var/lib/boot-agent/boot.json"), "{looked_at:?}");
    }

    /// The same of a failed one, which uploads its report and writes to the console, too.
    fn assert_failure_is_clean(&self, finished: &Finished, kind: &str) {
        assert_eq!(self.scene.record()["cause"]["kind"], kind, "{finished}");
        self.assert_boot_is_clean(finished);
        assert!(self.scene.world.read("/dev/console").contains("the boot failed"));
        let Some((_, rest)) = finished.stderr.split_once(&format!("report: s3://{}/", self.scene.bucket))
        else {
            panic!("no report was uploaded\n{finished}");
        };
        let report = self.scene.s3.get(&self.scene.bucket, rest.lines().next().unwrap());
        assert!(report.contains(kind), "{report}");
        assert_clean("the report", &report);
    }

    /// Every other way to make the program say something.
    fn assert_commands_are_clean(&self) {
        let source = self.scene.source();
        for arguments in [
            &["status"][..],
            &["--output", "json", "status"],
            &["--verbose", "check", &source],
            &["--output", "json", "check", &source],
            &["check"],
            &["--verbose", "boot", "--dry-run", &source],
            &["--output", "json", "boot", "--dry-run", &source],
        ] {
            let finished = Self::with_keys(self.agent(arguments)).run(SOON);
            assert!(finished.code.is_some() && finished.stdout.len() > 20, "{arguments:?}\n{finished}");
            assert_output_is_clean(&finished);
        }
    }
}

#[track_caller]
fn assert_output_is_clean(finished: &Finished) {
    assert_clean("standard output", &finished.stdout);
    assert_clean("standard error", &finished.stderr);
}

#[test]
fn a_good_boot_with_an_installer_that_tells_everything() {
    let guarded = Guarded::new();
    guarded.scene.stand_in("mode", "leak\nslow 3\n");
    let running = Guarded::with_keys(guarded.boot()).spawn();
    let watch = Watch::of_every_process();
    let finished = running.finish(SOON);
    let seen = watch.end();
    finished.assert_code(0).assert_says("DaemonAuthenticationPassword [redacted]");
    assert!(seen > 0, "no process of the installer was seen");
    guarded.assert_boot_is_clean(&finished);
    guarded.assert_commands_are_clean();
    // The canaries were there, and arrived where they belong.
    assert!(guarded.scene.world.read("/etc/replicated.conf").contains(WORD));
    assert!(guarded.scene.world.read("/data/circle/circleci-encryption-keys/key").contains(WORD));
}

#[test]
fn a_boot_that_fails_after_the_installer_told_everything() {
    let guarded = Guarded::new();
    guarded.scene.stand_in("mode", "leak\nmissing-one\n");
    let finished = guarded.boot().arg("--output").arg("json").run(SOON);
    guarded.assert_failure_is_clean(&finished, guarded.scene.record()["cause"]["kind"].as_str().unwrap());
    assert_eq!(guarded.scene.stage("install"), "failed", "{finished}");
    guarded.assert_commands_are_clean();
}

#[test]
fn a_boot_whose_app_tells_why_it_does_not_start() {
    let guarded = Guarded::new();
    guarded.settings("6s");
    guarded.scene.stand_in("timeline", "0 starting started true 503\n");
    let (passphrase, token) = (secret("Passphrase"), secret("DaemonToken"));
    guarded.scene.stand_in(
        "frontend.log",
        &format!(
            "cannot connect to mongodb://circle:{}@127.0.0.1/circle_ghe\npassphrase is {passphrase}\n{}\n\
             https://admin:{}@localhost/ and {} and {}\n",
            mongo::PASSWORD,
            json(&passphrase),
            percent(&token),
            percent(&token)
                .to_lowercase()
                .replace(&WORD.to_lowercase(), WORD)
                .replace("daemontoken", "DaemonToken"),
            STANDARD.encode(&token),
        ),
    );
    let finished = guarded.boot().run(SOON);
    finished.assert_code(3).assert_says("docker logs frontend").assert_says("passphrase is [redacted]");
    guarded.assert_failure_is_clean(&finished, guarded.scene.record()["cause"]["kind"].as_str().unwrap());
    guarded.assert_commands_are_clean();
}

#[test]
fn a_boot_that_s3_refuses() {
    let guarded = Guarded::new();
    let faults = s3_faults::start(s3_faults::Config::before(&guarded.scene.s3.url())).unwrap();
    // The answer quotes what it was sent, as a proxy in between may.
    let echo = format!("no {} and {}", secret("RoleKey"), percent(&secret("RoleKey")));
    faults.rule(s3_faults::Rule::key("license.rli", s3_faults::Fault::AccessDenied(Some(echo))));
    let finished = guarded.boot().env("AWS_ENDPOINT_URL_S3", faults.url()).run(SOON);
    finished.assert_code(1);
    guarded.assert_failure_is_clean(&finished, "s3.access_denied");
}

/// Each mistake makes somebody quote what he could not read.
#[test]
fn a_boot_whose_bundle_is_full_of_mistakes() {
    let guarded = Guarded::new();
    let (mongo, postgres) = (secret("MongoPassword"), secret("PostgresPassword"));
    let uri = |database: &str| format!("mongodb://circle:{mongo}@127.0.0.1:x/{database}");
    let variables =
        customizations(uri, &format!("postgres://circle:{postgres}@{postgres}@h:99999/circle?sslmod=x"));
    guarded.scene.put("circle-installation-customizations", format!("{variables}X_PASSWORD = '{postgres}\n"));
    guarded.scene.put(
        "replicated.conf",
        REPLICATED
            .replace("\"password\",", &format!("\"{}\",", secret("DaemonToken")))
            .replace(
                "\"console-password-of-the-test\"",
                &format!("\u{201c}{}\u{201d}", secret("ConsolePassword")),
            )
            .replace("\"debug\",", &format!("'{postgres}'\n  \"DaemonToken\": {postgres},")),
    );
    guarded.scene.put(
        "settings.conf",
        SETTINGS.replace("{ \"value\": \"passphrase-of-the-test\" }", &json(&secret("Passphrase"))).replace(
            "\"client-secret-of-the-test\"",
            &format!("\"a \"quote\" in {}\"", secret("ClientSecret")),
        ),
    );
    let finished = guarded.boot().run(SOON);
    finished.assert_code(1);
    guarded.assert_failure_is_clean(&finished, "bundle.invalid");
    guarded.assert_commands_are_clean();
}

/// Looks at the arguments and environments of the processes of this machine, again and again.
struct Watch {
    over: Arc<AtomicBool>,
    looking: thread::JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    fn of_every_process() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let looking = thread::spawn(move || {
            let (mut of_installer, mut found) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) && found.is_empty() {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
                    else {
                        continue;
                    };
                    let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
                    let (arguments, mut environment) = (read("cmdline"), read("environ"));
                    let runs_agent =
                        String::from_utf8_lossy(&arguments).contains(env!("CARGO_BIN_EXE_agent"));
                    // Its own environment is where the keys are given to it, here and in the tests beside this one.
                    // A process that is just becoming another program has no arguments yet.
                    if runs_agent || arguments.is_empty() || pid == std::process::id() {
                        environment.clear();
                    }
                    let said = String::from_utf8_lossy(&[arguments, environment].concat()).into_owned();
                    of_installer += usize::from(said.contains("BOOT_AGENT_RUNS="));
                    // The vendor's own: its installer passes the daemon's token to the operator's script as an argument.
                    let is_operators = said.contains("operator_install.sh");
                    if said.contains(WORD) && !is_operators {
                        found.push(said.replace('\0', " "));
                    }
                }
                thread::sleep(Duration::from_millis(2));
            }
            (of_installer, found)
        });
        Self { over, looking }
    }

    /// How often a process of an installer was seen.
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let (of_installer, found) = self.looking.join().unwrap();
        assert!(found.is_empty(), "a canary in a process: {found:?}");
        of_installer
    }
}
