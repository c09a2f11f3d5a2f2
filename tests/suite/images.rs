//! The engine and the images of the lock: what is missing comes by digest from a real registry, what is wrong is put
//! right or refused, and an engine or registry that is away is waited for.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::aftermath::{assert_abandoned, detail, evidence, waits};
use super::harness::registry::{PASSWORD, Registry, USER};
use super::scene::{ADDRESS, SOON, Scene};

/// How long a line may take that is due at once, on a busy machine.
const LINE: Duration = Duration::from_secs(90);

/// An image that lies in the registry alone, as the lock names it.
struct Locked {
    /// `127.0.0.1:PORT/library/thing:1.0`
    reference: String,
    digest: String,
    id: String,
}

/// Makes an image with a layer of its own, pushes it, and takes it off the engine again.
fn pushed(scene: &Scene, registry: &Registry) -> Locked {
    let engine = &scene.engine;
    let fill = "head -c 3000000 /dev/urandom >/content";
    engine.docker(&["run", "--name=maker", "--network=none", "busybox", "sh", "-c", fill]);
    let id = engine.docker(&["commit", "maker", "thing:made"]);
    engine.docker(&["rm", "maker"]);
    let by_digest = registry.push(engine, "thing:made", "library/thing:1.0");
    let (repository, digest) = by_digest.split_once('@').unwrap();
    let locked = Locked { reference: format!("{repository}:1.0"), digest: digest.to_owned(), id };
    engine.docker(&["rmi", "--force", &locked.id]);
    assert_eq!(id_of(scene, &locked.id), None, "the engine has it still");
    locked
}

impl Locked {
    fn line(&self) -> String {
        let Locked { reference, digest, id } = self;
        format!(
            "[[image]]\nreference = \"{reference}\"\ndigest = \"{digest}\"\nid = \"{id}\"\n\
             alias = \"library/thing:1.0\"\n"
        )
    }

    fn alias() -> String {
        format!("{ADDRESS}:9874/library/thing:1.0")
    }
}

/// The id that the engine has for a name.
fn id_of(scene: &Scene, name: &str) -> Option<String> {
    let asked = scene.engine.try_docker(&["image", "inspect", "--format={{.Id}}", name]);
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

#[test]
fn engine_that_starts_late_is_waited_for() {
    let mut scene = Scene::new();
    scene.engine.stop();
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("docker.socket_missing", LINE);
    assert!(line.contains("images     waiting"), "{line}");
    assert!(line.contains("systemctl start docker"), "{line}");
    scene.engine.start();
    boot.finish(SOON).assert_code(0);
    assert_eq!(waits(&scene, "images")[0], "docker.socket_missing");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
#[ignore = "slow: 20 s"]
fn engine_that_is_silent_for_a_while_is_waited_for() {
    let scene = Scene::new();
    scene.engine.pause();
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("docker.silent", LINE);
    assert!(line.contains("images     waiting"), "{line}");
    scene.engine.resume();
    boot.finish(SOON).assert_code(0);
    assert_eq!(waits(&scene, "images"), ["docker.silent"]);
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn engine_that_never_comes_ends_the_boot_at_its_deadline() {
    let mut scene = Scene::new();
    scene.write_settings("[images]\nwait = \"2s\"");
    scene.engine.stop();
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, "docker.socket_missing", "host");
    assert!(scene.record()["cause"]["waited_seconds"].as_u64().unwrap() >= 2);
    assert_eq!((scene.stage("images").as_str(), scene.installer_runs()), ("failed", 0));
}

#[test]
fn socket_that_a_dead_engine_left_is_told_from_none() {
    let mut scene = Scene::new();
    scene.write_settings("[images]\nwait = \"1s\"");
    scene.engine.stop();
    // Its end closes it, and leaves the file.
    drop(UnixListener::bind(scene.engine.socket()).unwrap());
    let finished = scene.boots();
    let _ = std::fs::remove_file(scene.engine.socket());
    assert_abandoned(&scene, &finished, 3, "docker.down", "host");
}

#[test]
fn missing_image_is_pulled_by_its_digest_and_named_for_this_instance() {
    let (scene, registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    let before = registry.requests().len();
    let finished = scene.boots();
    finished.assert_code(0).assert_says(&format!("pulling {}: layers", locked.reference));
    assert_eq!(id_of(&scene, &locked.reference).as_ref(), Some(&locked.id));
    assert_eq!(id_of(&scene, &Locked::alias()).as_ref(), Some(&locked.id));
    let asked = registry.requests()[before..].to_owned();
    assert!(asked.contains(&format!("GET /v2/library/thing/manifests/{}", locked.digest)), "{asked}");
    assert!(!asked.contains("/manifests/1.0"), "a tag may have been moved: {asked}");
    assert!(detail(&scene, "images").contains("pulled"), "{}", detail(&scene, "images"));

    let before = registry.requests().len();
    scene.boots().assert_code(0);
    assert_eq!(scene.stage("images"), "skipped", "all is as it must be");
    assert_eq!(registry.requests().len(), before, "nothing is asked again");
}

#[test]
fn missing_image_fails_the_boot_where_nothing_may_be_pulled() {
    let (scene, registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    scene.write_settings("[images]\non_missing = \"fail\"");
    let before = registry.requests().len();
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "images.missing", "config");
    assert!(evidence(&scene).contains(&locked.reference), "{}", evidence(&scene));
    assert_eq!((registry.requests().len(), scene.installer_runs()), (before, 0));
}

#[test]
fn right_tag_on_another_image_is_repaired() {
    let (scene, registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    scene.engine.docker(&["tag", "busybox", &locked.reference]);
    scene.boots().assert_code(0);
    assert_eq!(id_of(&scene, &locked.reference).as_ref(), Some(&locked.id));
    assert_eq!(id_of(&scene, &Locked::alias()).as_ref(), Some(&locked.id));
    assert!(detail(&scene, "images").contains(&format!("repaired {}", locked.reference)));
}

#[test]
fn right_tag_on_another_image_is_refused_where_nothing_may_be_pulled() {
    let (scene, registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    scene.write_settings("[images]\non_missing = \"fail\"");
    scene.engine.docker(&["tag", "busybox", &locked.reference]);
    let other = id_of(&scene, "busybox").unwrap();
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "images.wrong_id", "config");
    let evidence = evidence(&scene);
    assert!(evidence.contains(&locked.id) && evidence.contains(&other), "{evidence}");
    assert_eq!(id_of(&scene, &locked.reference), Some(other), "it is left as it was");
}

#[test]
fn image_that_is_there_gets_its_name_for_this_instance() {
    let scene = Scene::new();
    scene.engine.docker(&["tag", "busybox", "quay.io/app/thing:1.0"]);
    // As a box carries it that was baked after its app had run.
    scene.engine.docker(&["tag", "busybox", "10.9.9.9:9874/library/thing:1.0"]);
    let id = id_of(&scene, "busybox").unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let locked = Locked { reference: "quay.io/app/thing:1.0".to_owned(), digest, id };
    scene.lock(&locked.line());
    scene.boots().assert_code(0);
    assert_eq!(id_of(&scene, &Locked::alias()), Some(locked.id));
    assert!(detail(&scene, "images").contains(&format!("tagged {}", Locked::alias())));
}

#[test]
fn registry_that_wants_a_login_is_quoted_at_once() {
    let (scene, registry) = (Scene::new(), Registry::with_login());
    registry.login(&scene.engine);
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 1, "registry.unauthorized", "config");
    assert!(evidence(&scene).contains("no basic auth credentials"), "{}", evidence(&scene));
    assert!(waits(&scene, "images").is_empty(), "waiting cures no missing login");
    finished.assert_says(&format!("docker login {}", registry.address()));
}

#[test]
fn login_that_root_has_made_is_used_and_never_shown() {
    let (scene, registry) = (Scene::new(), Registry::with_login());
    registry.login(&scene.engine);
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    let login = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let logins = format!(r#"{{"auths": {{"{}": {{"auth": "{login}"}}}}}}"#, registry.address());
    scene.world.write("/root/.docker/config.json", logins);
    let finished = scene.boot().arg("-v").run(SOON);
    finished.assert_code(0).assert_silent_about(PASSWORD).assert_silent_about(&login);
    assert_eq!(id_of(&scene, &locked.reference), Some(locked.id));
}

#[test]
fn registry_that_is_down_is_waited_for() {
    let (scene, mut registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    registry.stop();
    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("registry.refused", LINE);
    assert!(line.contains("images     waiting"), "{line}");
    registry.resume();
    boot.finish(SOON).assert_code(0);
    assert_eq!(id_of(&scene, &locked.reference), Some(locked.id));
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn registry_that_stays_down_holds_the_boot_and_never_replaces_the_box() {
    let (scene, mut registry) = (Scene::new(), Registry::start());
    let locked = pushed(&scene, &registry);
    scene.lock(&locked.line());
    scene.write_settings("[images]\nwait = \"2s\"");
    registry.stop();
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("held:", SOON);
    assert_eq!(
        (&scene.record()["cause"]["kind"], scene.completions().len()),
        (&"registry.refused".into(), 0)
    );
    assert!(evidence(&scene).contains("connection refused"), "{}", evidence(&scene));
    assert_eq!(scene.installer_runs(), 0);
}
