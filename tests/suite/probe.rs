//! `agent probe`: what it prints, what it exits with, and which checks it asks.

use serde_json::Value;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::dns;
use super::scene::{SOON, Scene};
use super::terminal::{on_a_terminal, screen};

/// The file in place that names the databases.
const CUSTOMIZATIONS: &str = "/etc/circle-installation-customizations";

fn probe(scene: &Scene, words: &[&str]) -> Finished {
    Agent::new(&scene.world).arg("probe").args(words.iter().copied()).run(SOON)
}

/// The JSON that was printed, after a look whether it is as documented.
fn report(finished: &Finished, schema: &Value) -> Value {
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let validator = jsonschema::validator_for(schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert_eq!(wrong, [""; 0], "{report:#}");
    report
}

fn schema() -> Value {
    let finished = Agent::new(&CommandContext::new()).args(["probe", "--schema"]).run(SOON);
    serde_json::from_str(&finished.assert_code(0).stdout).unwrap()
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

fn spoil(scene: &Scene, from: &str, to: &str) {
    let text = scene.world.read(CUSTOMIZATIONS);
    assert!(text.contains(from), "nothing to spoil");
    scene.world.write(CUSTOMIZATIONS, text.replace(from, to));
}

#[test]
fn probe_of_a_good_node_exits_0_and_its_json_is_as_documented() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let finished = probe(&scene, &["--output", "json"]);
    let report = report(finished.assert_code(0), &schema());
    assert_ne!(report["verdict"], "failed");
    assert_eq!(check(&report, "postgres.main.role")["outcome"], "good");
    assert_eq!(check(&report, "mongodb.build_state.role")["outcome"], "good");
    let text = probe(&scene, &[]);
    text.assert_code(0).assert_says("Nothing is broken").assert_says("✓ postgres.main ");
}

#[test]
fn wrong_password_is_the_one_cause_with_its_next_step() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    spoil(&scene, "circle-password", "not-the-password");
    let finished = probe(&scene, &["--only", "postgres,mongodb", "--output", "json"]);
    let report = report(finished.assert_code(1), &schema());
    assert_eq!(report["verdict"], "failed");
    let kinds: Vec<_> = report["root_causes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|root| root["is_failure"] == true)
        .map(|root| root["cause"]["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"postgres.password_rejected"), "{kinds:?}");
    let skipped = check(&report, "postgres.main.role");
    assert_eq!(
        (skipped["outcome"].as_str(), skipped["waits_for"].as_str()),
        (Some("skipped"), Some("postgres.main.auth"))
    );
    let text = probe(&scene, &["--only", "postgres"]);
    text.assert_code(1)
        .assert_says("✗ postgres.main.auth")
        .assert_says("– postgres.main.database…role")
        .assert_says("waits for postgres.main.auth")
        .assert_says("next step ")
        .assert_says("One thing is broken");
    text.assert_silent_about("not-the-password");
}

#[test]
fn dead_dns_server_is_one_cause_and_nothing_else_suffers() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    spoil(&scene, "127.0.0.1", "db.example.com");
    scene.world.write("/etc/resolv.conf", format!("nameserver {}\n", dns::nobody()));
    let finished = probe(&scene, &["--output", "json", "--only", "postgres,mongodb,app.status"]);
    let report = report(finished.assert_code(1), &schema());
    let failures: Vec<_> =
        report["root_causes"].as_array().unwrap().iter().filter(|root| root["is_failure"] == true).collect();
    assert_eq!(failures.len(), 1, "{report:#}");
    assert_eq!(failures[0]["cause"]["kind"], "dns.timeout");
    assert_eq!(failures[0]["seen_by"].as_array().unwrap().len(), 6);
    assert_eq!(check(&report, "app.status")["outcome"], "good");
}

#[test]
fn only_and_skip_choose_and_what_a_check_waits_for_is_told_too() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let ids = |words: &[&str]| -> Vec<String> {
        let finished = probe(&scene, &[words, &["--output", "json"]].concat());
        let report = report(&finished, &schema());
        let checks = report["checks"].as_array().unwrap();
        checks.iter().map(|check| check["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--only", "app.status"]), ["app.status"]);
    assert_eq!(
        ids(&["--only", "postgres.main.auth,postgres.main.role"]),
        ["postgres.main.auth", "postgres.main.role"]
    );
    assert!(!ids(&["--skip", "mongodb"]).iter().any(|id| id.starts_with("mongodb")));
    spoil(&scene, "circle-password", "not-the-password");
    assert_eq!(ids(&["--only", "postgres.main.role"]), ["postgres.main.auth", "postgres.main.role"]);
}

#[test]
fn list_names_every_check_and_a_misspelt_one_is_corrected() {
    let world = CommandContext::new();
    let listed = Agent::new(&world).args(["probe", "--list"]).run(SOON);
    listed.assert_code(0).assert_says("postgres.main.auth").assert_says("mongodb.remote_containers.tls");
    let listed =
        Agent::new(&world).args(["probe", "--list", "--output", "json", "--only", "postgres"]).run(SOON);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["checks"].as_array().unwrap().len(), 8 * 8);
    let wrong = Agent::new(&world).args(["probe", "--only", "postgres.mian"]).run(SOON);
    wrong.assert_code(2).assert_says("Did you mean postgres.main?");
}

#[test]
fn strict_fails_on_a_warning() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    // MongoDB 6.0 is newer than the app's documented range, which is a remark and no failure.
    probe(&scene, &["--only", "mongodb.main"]).assert_code(0).assert_says("1 warning");
    probe(&scene, &["--only", "mongodb.main", "--strict"]).assert_code(1);
}

#[test]
fn wait_ends_when_the_fault_is_cured_and_with_3_when_it_is_not() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    spoil(&scene, "circle-password", "not-the-password");
    let given_up = probe(&scene, &["--only", "postgres", "--wait", "1s"]);
    given_up.assert_code(3).assert_says("One thing is broken");
    let mut waiting = Agent::new(&scene.world).args(["probe", "--only", "postgres", "--wait", "60s"]).spawn();
    waiting.wait_for_line("waiting: ", SOON);
    spoil(&scene, "not-the-password", "circle-password");
    waiting.finish(SOON).assert_code(0);
    probe(&scene, &["--wait", "soon"]).assert_code(2).assert_says("is not a duration");
}

#[test]
fn one_uri_is_probed_without_a_bundle_from_standard_input_or_the_command_line() {
    let (_, postgres) = super::scene::databases();
    let world = CommandContext::new();
    Agent::new(&world)
        .args(["probe", "--uri", &postgres.uri()])
        .run(SOON)
        .assert_code(0)
        .assert_says("✓ postgres.given");
    let wrong = postgres.uri().replace("circle-password", "secret-of-the-pipe");
    world.write("/tmp/uri", format!("{wrong}\n"));
    let script = format!("exec \"$0\" \"$@\" <'{}'", world.path("/tmp/uri").display());
    let piped = Agent::new(&world).args(["probe", "--uri", "-"]).under("sh", ["-c", &script]).run(SOON);
    piped.assert_code(1).assert_says("postgres.password_rejected").assert_silent_about("secret-of-the-pipe");
    let malformed =
        Agent::new(&world).args(["probe", "--uri", "postgres://circle:p@ss/word@db/circle"]).run(SOON);
    malformed.assert_code(1).assert_says("✗ postgres.given.uri");
    malformed.assert_silent_about("ss/word");
}

#[test]
fn list_is_live_on_a_terminal_and_what_stays_is_the_report() {
    let world = CommandContext::new().with_imds("http://127.0.0.1:1");
    world.write("/etc/resolv.conf", format!("nameserver {}\n", dns::nobody()));
    let finished = on_a_terminal(Agent::new(&world).arg("probe")).run(SOON);
    // Each heading has a line while it is being asked, with a sign for what was answered.
    let live: Vec<&str> =
        finished.stdout.split('\r').filter(|part| part.contains("This instance   ")).collect();
    assert!(live.iter().any(|part| part.contains('✗')), "{finished}");
    let screen = screen(&finished.stdout);
    let first = screen.iter().find(|line| !line.trim().is_empty()).unwrap();
    assert_eq!(first.trim_end(), "This instance", "{}", screen.join("\n"));
}

#[test]
fn blank_machine_is_told_what_it_is_not() {
    let finished = Agent::new(&CommandContext::new().with_imds("http://127.0.0.1:1")).arg("probe").run(SOON);
    finished.assert_code(1).assert_says("✗ instance.identity").assert_says("✗ docker.engine");
}
