//! What a support bundle cannot hold is named in it, and keeps nothing else out.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::agent::{Agent, CommandContext};
use super::harness::parts;
use super::leaks::{Guarded, WORD, secret};
use super::scene::{SOON, Scene};
use super::support::{Unpacked, bundle_of};

#[test]
fn a_bundle_is_written_while_the_engine_is_down_and_says_so() {
    let mut scene = Scene::new();
    scene.boots().assert_code(0);
    scene.engine.stop();
    let (finished, bundle) = bundle_of(Agent::new(&scene.world), &[]);
    finished.assert_code(1);
    bundle.assert_true(&finished);
    for name in ["docker/engine.json", "docker/containers.json", "containers/*.log"] {
        assert!(bundle.gap(name).contains("docker.socket_missing"), "{name}");
    }
    assert!(bundle.read("probe.txt").contains("docker.socket_missing"));
}

/// An engine in front of the real one, which never answers when asked for the log of `frontend`.
fn with_a_hanging_log(scene: &Scene) -> (TempDir, String) {
    let place = parts::directory("hanging");
    let path = place.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (real, frontend) =
        (scene.engine.socket(), scene.engine.docker(&["inspect", "-f", "{{.Id}}", "frontend"]));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (real, frontend) = (real.clone(), frontend.clone());
            thread::spawn(move || pass_on(client, &real, &frontend));
        }
    });
    let address = format!("unix://{}", path.display());
    (place, address)
}

fn pass_on(mut client: UnixStream, real: &PathBuf, frontend: &str) -> io::Result<()> {
    let mut engine = UnixStream::connect(real)?;
    let (mut answers, mut back) = (engine.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut answers, &mut back));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let asked = String::from_utf8_lossy(&buffer[..count]);
        if asked.contains("/logs?") && asked.contains(frontend) {
            thread::park();
        }
        engine.write_all(&buffer[..count])?;
    }
}

#[test]
fn a_log_that_hangs_is_named_and_keeps_nothing_else_out() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let (_place, address) = with_a_hanging_log(&scene);
    let agent = Agent::new(&scene.world).env("DOCKER_HOST", address).args(["--output", "json"]);
    let place = parts::directory("support");
    let path = place.path().join("box.tar.gz");
    let finished =
        agent.args(["probe", "--only", "docker.engine", "--support-bundle"]).arg(path.display()).run(SOON);
    finished.assert_code(0);
    let bundle = Unpacked::of(&path);
    assert!(bundle.gap("containers/frontend.log").contains("docker.silent"));
    assert!(bundle.files.contains_key("containers/replicated.log"));
    let said: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(said["support_bundle"]["redactions"], bundle.manifest["redactions"]);
    assert_eq!(said["support_bundle"]["file"], path.display().to_string());
}

#[test]
fn without_root_what_cannot_be_scrubbed_for_certain_is_held_back() {
    let guarded = Guarded::new();
    let scene = &guarded.scene;
    scene.stand_in("frontend.log", &format!("the passphrase is {}\n", secret("Passphrase")));
    guarded.boot().run(SOON).assert_code(0);
    fs::set_permissions(scene.engine.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let agent = guarded.agent(&[]).under("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let (finished, bundle) = bundle_of(agent, &[]);
    bundle.assert_clean();
    bundle.assert_true(&finished);
    // The list itself could be had, so it is the bundle that could not.
    assert!(bundle.read("docker/containers.json").contains("\"frontend\""));
    assert!(bundle.gap("containers/frontend.log").contains("withheld"));
    assert!(bundle.read("MANIFEST.txt").contains("! Not read: /etc/settings.conf ("));
    assert!(bundle.read("boot.json").contains("in_service"));
}

#[test]
fn secrets_that_were_removed_from_the_box_are_learnt_at_the_source_or_the_logs_held_back() {
    let guarded = Guarded::new();
    let scene = &guarded.scene;
    scene.stand_in("frontend.log", &format!("the passphrase is {}\n", secret("Passphrase")));
    guarded.boot().run(SOON).assert_code(0);
    fs::remove_file(scene.world.path("/etc/settings.conf")).unwrap();
    let (finished, bundle) = bundle_of(guarded.agent(&[]), &[]);
    bundle.assert_clean();
    bundle.assert_true(&finished);
    assert_eq!(bundle.read("containers/frontend.log"), "the passphrase is [redacted]\n");

    let nobody = format!("http://127.0.0.1:{}", parts::free_port());
    let (finished, bundle) = bundle_of(guarded.agent(&[]).env("AWS_ENDPOINT_URL_S3", nobody), &[]);
    bundle.assert_clean();
    bundle.assert_true(&finished);
    assert!(bundle.gap("containers/frontend.log").contains("withheld"));
}

/// `agent` where commands are looked for in one directory alone.
fn with_path(agent: Agent, path: &Path) -> Agent {
    agent.under("/usr/bin/env", [format!("PATH={}", path.display())])
}

/// Commands of the box in place of systemd's.
fn command(place: &Path, name: &str, script: &str) {
    let path = place.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_box_without_systemd_still_has_a_bundle() {
    let (world, empty) = (CommandContext::new(), parts::directory("empty"));
    let (finished, bundle) = bundle_of(with_path(Agent::new(&world), empty.path()), &[]);
    bundle.assert_true(&finished);
    assert_eq!(bundle.gap("units.txt"), "there is no systemctl on this box");
    assert_eq!(bundle.gap("journal/boot-agent.log"), "there is no journalctl on this box");
    assert_eq!(bundle.gap("boot.json"), "it does not exist");
}

#[test]
#[ignore = "slow: 20 s"]
fn commands_that_hang_or_fail_are_named_and_are_given_no_secret() {
    let (world, place) = (CommandContext::new(), parts::directory("commands"));
    let seen = place.path().join("seen");
    command(
        place.path(),
        "systemctl",
        &format!(
            "/usr/bin/env >{0}; echo \"$@\" >>{0}; echo Id=docker.service; echo of no use >&2; exit 4",
            seen.display()
        ),
    );
    command(place.path(), "journalctl", "echo half; exec /bin/sleep 300");
    let agent = with_path(Agent::new(&world), place.path())
        .env("AWS_SECRET_ACCESS_KEY", format!("{WORD}OfTheEnvironment"));
    let (finished, bundle) = bundle_of(agent, &[]);
    bundle.assert_clean();
    bundle.assert_true(&finished);
    assert_eq!(bundle.read("units.txt"), "Id=docker.service\n");
    assert_eq!(bundle.listed("units.txt")["cut"], "incomplete: systemctl: of no use");
    assert_eq!(bundle.read("journal/boot-agent.log"), "half\n");
    let cut = bundle.listed("journal/boot-agent.log")["cut"].as_str().unwrap();
    assert!(cut.contains("did not finish within"), "{cut}");
    let seen = fs::read_to_string(seen).unwrap();
    assert!(!seen.contains(WORD) && !seen.contains("Environment") && seen.contains("replicated*"), "{seen}");
}
