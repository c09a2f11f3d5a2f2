//! `agent probe --support-bundle`: everything a vendor needs, and nothing that is secret.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tempfile::TempDir;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::{parts, shell};
use super::leaks::{Guarded, WORD, assert_clean, json, percent, secret};
use super::scene::{PLACED, SETTINGS, SOON, Scene};

/// In every secret that no bundle of the test holds.
const STRANGER: &str = "sTr4nG3r";

/// How every redaction begins.
const MARKER: &str = "[redacted";

/// A bundle as whoever receives it sees it.
pub(crate) struct Unpacked {
    _directory: TempDir,
    /// Name below the bundle's own directory, and content.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) manifest: Value,
}

impl Unpacked {
    /// # Panics
    /// Unless it is one directory with files in it that nobody but the owner may read.
    pub(crate) fn of(path: &Path) -> Self {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", path.display());
        let directory = parts::directory("unpacked");
        let tar = |what: &str| {
            let mut command = Command::new("tar");
            shell::must(command.arg(what).arg(path).arg("-C").arg(directory.path()))
        };
        let listed = tar("-tzf");
        let top = listed.lines().next().unwrap().split('/').next().unwrap().to_owned();
        assert!(top.starts_with("boot-agent-support-"), "{listed}");
        tar("-xzf");
        let prefix = format!("{top}/");
        let mut files = BTreeMap::new();
        for name in listed.lines() {
            let below = name.strip_prefix(&prefix).unwrap_or_else(|| panic!("{name} lies outside of {top}"));
            let content = fs::read_to_string(directory.path().join(name)).unwrap();
            assert_eq!(files.insert(below.to_owned(), content), None, "{name} stands twice");
        }
        let manifest = serde_json::from_str(&files["manifest.json"]).unwrap();
        Unpacked { _directory: directory, files, manifest }
    }

    pub(crate) fn read(&self, name: &str) -> &str {
        self.files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.files.keys()))
    }

    /// Why something is not in it.
    pub(crate) fn gap(&self, name: &str) -> &str {
        let mut gaps = self.manifest["not_collected"].as_array().unwrap().iter();
        let gap = gaps.find(|gap| gap["name"] == name);
        gap.unwrap_or_else(|| panic!("{name} is not missing: {:#}", self.manifest))["why"].as_str().unwrap()
    }

    pub(crate) fn listed(&self, name: &str) -> &Value {
        let mut files = self.manifest["files"].as_array().unwrap().iter();
        files.find(|file| file["name"] == name).unwrap_or_else(|| panic!("{name} is not in the manifest"))
    }

    /// The redactions of a class in a file.
    pub(crate) fn redactions(&self, name: &str, class: &str) -> u64 {
        let mut of_file = self.listed(name)["redactions"].as_array().unwrap().iter();
        of_file.find(|one| one["class"] == class).map_or(0, |one| one["count"].as_u64().unwrap())
    }

    /// No canary, in any encoding, in any file or name.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        for (name, content) in &self.files {
            assert_clean("a name", name);
            assert_clean(name, content);
            assert!(!content.contains(STRANGER) && !content.contains("C4NARY"), "{name}: {content}");
            for encoded in [
                STANDARD.encode(format!("user:{STRANGER}")),
                URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"{STRANGER}\"}}")),
            ] {
                assert!(!content.contains(&encoded), "{name}: {content}");
            }
        }
    }

    /// The manifest names every file with its size, and every redaction with its line.
    #[track_caller]
    pub(crate) fn assert_true(&self, finished: &Finished) {
        assert_eq!(self.manifest["version"], 1);
        let mut total = 0;
        for (name, content) in &self.files {
            if matches!(name.as_str(), "manifest.json" | "MANIFEST.txt") {
                continue;
            }
            let listed = self.listed(name);
            assert_eq!(listed["bytes"], content.len(), "{name}");
            let redactions = listed["redactions"].as_array().unwrap();
            let counted: u64 = redactions.iter().map(|one| one["count"].as_u64().unwrap()).sum();
            assert_eq!(counted, content.matches(MARKER).count() as u64, "{name}: {listed:#}");
            let mut lines: Vec<u64> = redactions
                .iter()
                .flat_map(|one| one["lines"].as_array().unwrap().iter().map(|line| line.as_u64().unwrap()))
                .collect();
            lines.sort_unstable();
            lines.dedup();
            let with_marker = (1..).zip(content.lines()).filter(|(_, line)| line.contains(MARKER));
            assert_eq!(lines, with_marker.map(|(number, _)| number).collect::<Vec<u64>>(), "{name}");
            total += counted;
        }
        assert_eq!(self.manifest["redactions"], total);
        assert_eq!(self.manifest["files"].as_array().unwrap().len() + 2, self.files.len());
        for gap in self.manifest["not_collected"].as_array().unwrap() {
            assert!(!self.files.contains_key(gap["name"].as_str().unwrap()), "{gap}");
        }
        finished
            .assert_says(&format!("{total} redactions"))
            .assert_says("Read MANIFEST.txt before you send it");
    }
}

/// Runs a probe with a support bundle, and unpacks that.
pub(crate) fn bundle_of(agent: Agent, words: &[&str]) -> (Finished, Unpacked) {
    let place = parts::directory("support");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = place.path().join("box.tar.gz");
    let finished = agent.arg("probe").args(words).arg("--support-bundle").arg(path.display()).run(SOON);
    assert!(path.exists(), "{finished}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "something is left beside it");
    let unpacked = Unpacked::of(&path);
    (finished, unpacked)
}

/// `agent`, with the real journal daemon keeping its journal in the world's `/run` while it runs.
fn with_a_journal(world: &CommandContext, agent: Agent) -> Agent {
    const SCRIPT: &str = r#"
        mount --bind "$1/run" /run && mkdir -p /run/systemd/journal || exit 99
        /lib/systemd/systemd-journald & journald=$!
        for _ in $(seq 200); do [ -S /run/systemd/journal/socket ] && break; sleep 0.05; done
        : >"$1/tmp/stderr"
        export JOURNAL_STREAM=$(stat -c %d:%i "$1/tmp/stderr")
        stderr=$1/tmp/stderr
        shift
        "$@" 2>"$stderr"
        code=$?
        kill $journald
        wait $journald
        exit $code"#;
    agent.under("unshare", ["--mount", "sh", "-c", SCRIPT, "sh", &world.root().display().to_string()])
}

/// Secrets that no bundle holds: each in a form by which it can be known, and how the manifest calls that.
fn strangers() -> Vec<(&'static str, String)> {
    let web_token = |part: &str| URL_SAFE_NO_PAD.encode(format!("{{\"{part}\":\"{STRANGER}\"}}"));
    let pem = format!("MII{STRANGER}0123456789\n{STRANGER}+/abcdef==");
    vec![
        ("password in an address", format!("cannot reach postgres://other:{STRANGER}Unknown@db.example/x")),
        ("password in an address", format!("cannot reach postgres://other:{STRANGER}/Un@known@db.example/x")),
        ("authorization", format!("> Authorization: Basic {}", STANDARD.encode(format!("user:{STRANGER}")))),
        ("authorization", format!("> Authorization: Bearer {STRANGER}Bearer0123456789")),
        ("JSON web token", format!("user is {}.{}.{STRANGER}", web_token("alg"), web_token("sub"))),
        ("AWS key", format!("found AKIA{} with {STRANGER}{}", "C4NARYCANARY1234", "k".repeat(32))),
        ("named as a secret", format!("AWS_SECRET_ACCESS_KEY={STRANGER}/0123456789")),
        ("named as a secret", format!("{{:user \"x\", :password \"{STRANGER} of clojure\"}}")),
        ("cookie", format!("Set-Cookie: ring-session={STRANGER}; Path=/")),
        ("private key", format!("-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----")),
    ]
}

#[test]
fn a_bundle_of_a_booted_box_holds_no_secret_and_its_manifest_is_true() {
    let guarded = Guarded::new();
    let scene = &guarded.scene;
    let (passphrase, token, changed) =
        (secret("Passphrase"), secret("DaemonToken"), format!("{WORD}OnlyAtTheSource"));
    let known = [
        format!("passphrase is {passphrase}"),
        format!("as JSON {}", json(&passphrase)),
        format!("https://admin:{}@localhost/", percent(&token)),
        format!("base64 {}", STANDARD.encode(&token)),
        format!("\u{1b}[31m{}\u{1b}[0m in red", secret("ClientSecret")),
        format!("changed to {changed}"),
    ];
    let strangers = strangers();
    let lines: Vec<&str> =
        known.iter().map(String::as_str).chain(strangers.iter().map(|(_, line)| line.as_str())).collect();
    scene.stand_in("frontend.log", &format!("{}\nthe last line\n", lines.join("\n")));
    with_a_journal(&scene.world, guarded.boot()).run(SOON).assert_code(0);
    // Whoever changes the passphrase at the source makes the app say it before this box has it.
    scene.put("settings.conf", SETTINGS.replace("passphrase-of-the-test", &changed));
    scene.world.write("/etc/hosts", "127.0.0.1 localhost\n");
    let login = STANDARD.encode(format!("robot:{}", secret("HubPassword")));
    scene
        .world
        .write("/root/.docker/config.json", format!(r#"{{"auths": {{"quay.io": {{"auth": "{login}"}}}}}}"#));

    let (_, whole) = bundle_of(guarded.agent(&[]), &[]);
    whole.assert_clean();
    // The check of the app's log knows passwords in addresses by itself; without it, the last net has to hold.
    let words = ["--skip", "app.log"];
    let alone = guarded.agent(&["probe"]).args(words).run(SOON);
    let (finished, bundle) = bundle_of(guarded.agent(&[]), &words);
    assert_eq!(finished.code, alone.code, "{finished}");
    bundle.assert_clean();
    bundle.assert_true(&finished);

    let log = bundle.read("containers/frontend.log");
    assert!(log.contains("passphrase is [redacted]\n") && log.contains("the last line\n"), "{log}");
    assert!(log.contains("[redacted] in red") && log.contains("changed to [redacted]\n"), "{log}");
    assert!(!log.contains("AKIA"), "{log}");
    for (class, line) in &strangers {
        assert!(bundle.redactions("containers/frontend.log", class) > 0, "{class} for {line}\n{log}");
    }
    assert_eq!(bundle.redactions("containers/frontend.log", "known secret"), known.len() as u64, "{log}");
    assert!(bundle.read("MANIFEST.txt").contains("private key (by pattern), line "));

    let record: Value = serde_json::from_str(bundle.read("boot.json")).unwrap();
    assert_eq!(record["outcome"], "in_service");
    let journal = bundle.read("journal/boot-agent.log");
    assert!(journal.contains("install") && journal.contains("boot-agent["), "{journal}");
    assert!(bundle.read("docker/containers.json").contains("\"replicated-ui\""));
    assert!(bundle.read("probe.txt").contains("checks in "));
    assert_eq!(serde_json::from_str::<Value>(bundle.read("probe.json")).unwrap()["version"], 1);
    assert!(bundle.read("settings/agent.toml").contains("[app]"));
    assert_eq!(bundle.read("host/hosts"), "127.0.0.1 localhost\n");
    // The test's own namespaces have no systemd.
    assert!(bundle.gap("units.txt").contains("systemctl"));
    assert_sums_are_right(scene, &bundle);
}

/// The bundle's files are described and not told.
fn assert_sums_are_right(scene: &Scene, bundle: &Unpacked) {
    let described: Value = serde_json::from_str(bundle.read("bundle-in-place.json")).unwrap();
    let files = described["files"].as_array().unwrap();
    for path in PLACED {
        let file = files.iter().find(|file| file["path"] == path).unwrap();
        let content = scene.world.read(path);
        assert_eq!((&file["bytes"], &file["mode"]), (&content.len().into(), &"0640".into()), "{path}");
        let sum = shell::must(Command::new("sha256sum").arg(scene.world.path(path)));
        match file["sha256"].as_str() {
            Some(told) => assert!(content.len() >= 512 && sum.starts_with(told), "{file:#}"),
            // What is short could be guessed from its sum.
            None => assert!(content.len() < 512, "{file:#}"),
        }
    }
    let key = files.iter().find(|file| file["path"] == "/data/circle/circleci-encryption-keys/key").unwrap();
    assert!(key["sha256"].is_null() && key["bytes"].as_u64().unwrap() > 0, "{key:#}");
}

#[test]
fn nothing_is_overwritten_and_nothing_asked_before_that_is_known() {
    let (world, place) = (CommandContext::new(), parts::directory("support"));
    let path = place.path().join("box.tar.gz");
    fs::write(&path, "an earlier one").unwrap();
    let probe =
        |file: &Path| Agent::new(&world).args(["probe", "--support-bundle"]).arg(file.display()).run(SOON);
    probe(&path).assert_code(2).assert_says("usage.file_exists").assert_silent_about("This instance");
    assert_eq!(fs::read_to_string(&path).unwrap(), "an earlier one");
    probe(&place.path().join("no/such.tar.gz")).assert_code(2).assert_says("usage.no_directory");
    assert!(!place.path().join("no").exists());
}
