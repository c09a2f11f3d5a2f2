//! The app: late, never, in transition for ever, ill, flapping; and what a boot then finds beneath it.

use std::fs;
use std::time::Duration;

use super::aftermath::{assert_abandoned, evidence, waits};
use super::harness::postgres::Postgres;
use super::scene::{self, SOON, Scene};

/// How long a line may take that is due within a few seconds, on a busy machine.
const LINE: Duration = Duration::from_secs(90);

const STARTING: &str = "0 starting started true 503\n";
const STARTED: &str = "0 started started false 200\n";

/// Settings whose `[app]` is the test's, but for the health URL.
fn settings(scene: &Scene, app: &str) {
    let health = format!("http://127.0.0.1:{}/health-check", scene.health_port);
    scene.world.agent_toml(&format!("[app]\nhealth_urls = [\"{health}\"]\n{app}\n"));
}

/// A boot whose app does what `timeline` says and is given up after seven seconds: two more than one answer may take.
fn never_ready(timeline: &str, kind: &str) -> Scene {
    let scene = Scene::new();
    scene.stand_in("timeline", timeline);
    settings(&scene, "wait = \"7s\"\nsteady = \"1s\"");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, kind, "host");
    assert_eq!((scene.stage("install").as_str(), scene.stage("ready").as_str()), ("done", "failed"));
    assert!(finished.stderr.contains("ready      waiting"), "{finished}");
    scene
}

/// Seconds since the app was installed.
fn since_install(scene: &Scene) -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let installed = scene.world.read("/var/lib/replicated/stand-in/installed");
    let seconds = |text: &str| text.split_whitespace().next().unwrap().parse::<f64>().unwrap();
    seconds(&uptime) - seconds(&installed)
}

#[test]
fn app_that_is_late_is_waited_for() {
    let scene = Scene::new();
    scene.stand_in("timeline", &format!("{STARTING}6 started started false 200\n"));
    scene.boots().assert_code(0);
    assert!(since_install(&scene) >= 7.0, "six seconds late, and one to be believed");
    assert_eq!(waits(&scene, "ready"), ["app.transitioning"]);
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn app_that_is_not_even_installed_for_a_while_is_waited_for() {
    let scene = Scene::new();
    scene.stand_in("timeline", "4 starting started false closed\n8 started started false 200\n");
    scene.boots().assert_code(0);
    let waits = waits(&scene, "ready");
    assert!(waits.starts_with(&["app.not_installed".into(), "app.starting".into()]), "{waits:?}");
}

#[test]
fn app_that_never_starts_is_given_up_with_its_own_last_words() {
    let scene = Scene::new();
    scene.stand_in("timeline", STARTING);
    let password = Postgres::PASSWORD;
    let mut log: String = (0..40).map(|line| format!("INFO circle.init: step {line}.\n")).collect();
    log.push_str(&format!("ERROR circle.db: cannot log in as circle with {password} to the database\n"));
    scene.stand_in("frontend.log", &log);
    settings(&scene, "wait = \"4s\"");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, "app.transitioning", "host");
    let evidence = evidence(&scene);
    assert!(evidence.contains("docker logs frontend: "), "{evidence}");
    assert!(evidence.contains("ERROR circle.db: cannot log in as circle with [redacted]"), "{evidence}");
    assert!(
        evidence.contains("step 39.") && !evidence.contains("step 3."),
        "the last lines alone: {evidence}"
    );
    finished.assert_silent_about(password);
    assert!(scene.record()["cause"]["waited_seconds"].as_u64().unwrap() >= 4);
}

#[test]
fn app_in_transition_for_ever_is_not_ready() {
    let scene = never_ready("0 started stopped true 200\n", "app.transitioning");
    assert!(evidence(&scene).contains("state: started → stopped"), "{}", evidence(&scene));
}

#[test]
fn app_whose_health_url_answers_500_is_not_ready() {
    let scene = never_ready("0 started started false 500\n", "app.health");
    assert!(evidence(&scene).contains("status: 500"), "{}", evidence(&scene));
}

#[test]
fn app_whose_health_url_is_silent_is_not_ready() {
    let scene = never_ready("0 started started false silent\n", "app.health");
    let sentence = scene.record()["cause"]["sentence"].as_str().unwrap().to_owned();
    assert!(sentence.contains("timed out after 5 s"), "{sentence}");
}

#[test]
fn app_whose_health_url_closes_is_not_ready() {
    never_ready("0 started started false closed\n", "app.health");
}

#[test]
fn app_that_is_meant_to_be_stopped_says_how_to_start_it() {
    let scene = never_ready("0 stopped stopped false closed\n", "app.stopped");
    assert_eq!(scene.record()["cause"]["next_step"], "Start it: replicatedctl app start.");
}

#[test]
fn error_of_the_app_is_quoted() {
    let scene = Scene::new();
    scene.stand_in("timeline", "0 starting started false 503\n");
    scene.stand_in("app-error", "Container frontend: no such image: circleci/frontend:2.18.3");
    settings(&scene, "wait = \"3s\"");
    let finished = scene.boots();
    assert_abandoned(&scene, &finished, 3, "app.error", "host");
    finished.assert_says("error: Container frontend: no such image");
}

#[test]
#[ignore = "slow: 25 s"]
fn app_that_flaps_is_believed_once_it_stays_ready() {
    let scene = Scene::new();
    scene.stand_in(
        "timeline",
        &format!("{STARTED}4 started started false 503\n10 started started false 200\n"),
    );
    settings(&scene, "wait = \"60s\"\nsteady = \"6s\"");
    scene.boots().assert_code(0).assert_says("checking that it remains ready");
    assert!(waits(&scene, "ready").contains(&"app.health".to_owned()), "{:?}", waits(&scene, "ready"));
    assert!(since_install(&scene) >= 16.0, "ready from the 10th second on, and six to be believed");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn release_without_replicatedctl_is_asked_in_the_old_way() {
    let scene = Scene::new();
    scene.stand_in("mode", "old-release\n");
    scene.stand_in("timeline", "0 starting started true 503\n5 started started false 200\n");
    scene.boots().assert_code(0);
    let gone = scene.engine.try_docker(&["exec", "replicated", "replicatedctl", "version"]);
    assert!(!gone.status.success(), "the release has it after all");
    assert!(since_install(&scene) >= 5.0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn app_that_stalls_is_explained_by_its_database() {
    let scene = Scene::new();
    let mut postgres = Postgres::start();
    let mongo = &scene::databases().0;
    let addresses = scene::customizations(|name| mongo.uri(name), &postgres.uri());
    scene.put("circle-installation-customizations", addresses);
    scene.stand_in("timeline", STARTING);
    settings(&scene, "wait = \"90s\"\nsteady = \"1s\"\nstalled_after = \"1s\"");

    let mut boot = scene.boot().spawn();
    boot.wait_for_line("databases  done", LINE);
    postgres.stop();
    let line = boot.wait_for_line("tcp.refused", LINE);
    assert!(line.contains(" ready      waiting"), "{line}");
    assert!(line.contains("postgres.main") && line.contains(&postgres.port().to_string()), "{line}");
    postgres.resume();
    scene.stand_in("timeline", STARTED);
    boot.finish(SOON).assert_code(0);
    assert!(waits(&scene, "ready").contains(&"tcp.refused".to_owned()), "{:?}", waits(&scene, "ready"));
}

#[test]
fn app_that_never_starts_for_its_database_is_given_up_with_that_cause() {
    let scene = Scene::new();
    let mut postgres = Postgres::start();
    let mongo = &scene::databases().0;
    scene.put(
        "circle-installation-customizations",
        scene::customizations(|name| mongo.uri(name), &postgres.uri()),
    );
    scene.stand_in("timeline", STARTING);
    settings(&scene, "wait = \"8s\"\nstalled_after = \"1s\"");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("databases  done", LINE);
    postgres.stop();
    let finished = boot.finish(SOON);
    assert_abandoned(&scene, &finished, 3, "tcp.refused", "external");
    assert!(evidence(&scene).contains("docker logs frontend: "), "{}", evidence(&scene));
}

#[test]
#[ignore = "needs port 80 of the loopback for itself, which tests/run gives it"]
fn health_urls_are_those_of_the_services_that_run_here() {
    let port = std::net::TcpListener::bind("127.0.0.1:80");
    drop(port.expect("port 80 of the loopback is taken: run this test by tests/run"));
    let scene = Scene::new();
    scene.stand_in("port", "80");
    scene.stand_in("timeline", "0 started started false 503\n");
    scene.world.agent_toml("[app]\nsteady = \"1s\"\nwait = \"90s\"\n");
    // An older installation hashes its containers' names, so the image has to tell what this is.
    scene.engine.docker(&["tag", "busybox", "circleci/circleci-api-service:1"]);
    let service = ["run", "--detach", "--network=none", "--name=f3a9", "circleci/circleci-api-service:1"];
    scene.engine.docker(&[&service[..], &["sleep", "600"]].concat());

    let mut boot = scene.boot().spawn();
    let line = boot.wait_for_line("app.health", LINE);
    assert!(line.contains("The health check of frontend returned 503"), "{line}");
    assert!(line.contains("api-service is not accepting connections yet"), "{line}");
    assert!(!line.contains("workflows-conductor"), "it does not run here: {line}");
    scene.stand_in("timeline", STARTED);
    let line = boot.wait_for_line("api-service is not accepting connections yet. [app.health", LINE);
    assert!(line.contains("http://127.0.0.1:8082/status"), "{line}");
    scene.engine.docker(&["rm", "--force", "f3a9"]);
    boot.finish(SOON).assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
}
