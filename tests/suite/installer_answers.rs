//! What the installer asks, what it remembers of earlier runs, and the file that it opens to the world.

use nix::sys::signal::Signal;

use super::aftermath::{assert_abandoned, evidence, warnings};
use super::scene::{ADDRESS, SOON, Scene};
use super::terminal::on_a_terminal;

const CONF: &str = "/etc/replicated.conf";
const ANSWERS: &str = "/etc/default/replicated";

fn answers(address: &str, rest: &str) -> String {
    format!(
        "RELEASE_CHANNEL=stable\nPRIVATE_ADDRESS={address}\nSKIP_OPERATOR_INSTALL=0\nREPLICATED_OPTS=\" -e DAEMON_TOKEN=of-the-other {rest}\"\n"
    )
}

#[test]
fn question_on_a_terminal_gets_no_answer_and_stops_nothing() {
    let scene = Scene::new();
    scene.stand_in("mode", "firewalld\n");
    scene.write_settings("[install]\ndeadline = \"15s\"\nwait = \"1s\"");
    let finished = on_a_terminal(scene.boot()).run(SOON);
    finished.assert_code(0);
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn answers_of_another_box_are_forgotten() {
    // The second has this box's address by chance, and nothing says that it is of this box.
    for address in ["10.9.9.9", ADDRESS] {
        let scene = Scene::new();
        scene.world.write(ANSWERS, answers(address, "-e RELEASE_SEQUENCE=13 -e NODENAME=another-box"));
        scene.world.write(
            "/etc/default/replicated-operator",
            format!("PRIVATE_ADDRESS={address}\nDAEMON_TOKEN=of-the-other\n"),
        );
        scene.boots().assert_code(0);
        for file in [ANSWERS, "/etc/default/replicated-operator"] {
            let found = scene.world.read(file);
            assert!(!found.contains("of-the-other") && !found.contains("another-box"), "{found}");
            assert!(!found.contains("RELEASE_SEQUENCE=13"), "{found}");
            assert!(found.contains(&format!("PRIVATE_ADDRESS={ADDRESS}\n")), "{found}");
        }
    }
}

#[test]
fn answers_of_this_box_that_contradict_the_arguments_are_named_with_their_place() {
    let scene = Scene::new();
    let with = |more: &str| {
        scene.write_settings(&format!(
            "[install]\narguments = [\"no-proxy\", \"no-docker\", \"no-public-address\", \"skip-preflights\"{more}]"
        ));
    };
    with(", \"release-sequence=5\"");
    scene.boots().assert_code(0);
    assert!(!warnings(&scene).contains(&"installer.old_answer".to_owned()), "{:?}", warnings(&scene));
    let token =
        |text: &str| text.split("DAEMON_TOKEN=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let before = token(&scene.world.read(ANSWERS));

    with(", \"release-sequence=6\"");
    scene.boot().arg("--force").run(SOON).assert_code(0).assert_says("installer.old_answer");
    let record = scene.record();
    let warning = record["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|warning| warning["kind"] == "installer.old_answer");
    let warning = format!("{:#}", warning.unwrap());
    assert!(warning.contains("RELEASE_SEQUENCE=5") && warning.contains("release-sequence=6"), "{warning}");
    assert!(warning.contains(&format!("{}:4", scene.world.path(ANSWERS).display())), "{warning}");
    assert_eq!(token(&scene.world.read(ANSWERS)), before, "the answers of this box stay");

    let kept = scene.world.read(ANSWERS).replace("SKIP_OPERATOR_INSTALL=0", "SKIP_OPERATOR_INSTALL=1");
    scene.world.write(ANSWERS, kept);
    let finished = scene.boot().arg("--force").run(SOON);
    finished.assert_code(1).assert_says("[installer.old_answer, config").assert_says("SKIP_OPERATOR_INSTALL");
    assert!(evidence(&scene).contains("replicated:3"), "{}", evidence(&scene));
}

#[test]
fn replicated_conf_is_closed_when_the_boot_is_stopped_in_mid_install() {
    let scene = Scene::new();
    scene.stand_in("mode", "slow-open 60\n");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("replicated.conf is open to everybody", SOON);
    boot.signal(Signal::SIGTERM);
    boot.finish(SOON);
    assert_eq!(scene.world.mode(CONF), 0o640);
    assert_eq!(scene.record()["outcome"], "interrupted");
}

#[test]
fn replicated_conf_is_not_left_open_while_the_installer_runs() {
    let scene = Scene::new();
    scene.stand_in("mode", "slow-open 120\n");
    scene.write_settings("[install]\ndeadline = \"20s\"\nwait = \"1s\"");
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("replicated.conf is open to everybody", SOON);
    while scene.world.mode(CONF) != 0o640 {
        assert_eq!(scene.stage("install"), "running", "it was open until the installer's end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let finished = boot.finish(SOON);
    assert_abandoned(&scene, &finished, 3, "installer.deadline", "host");
    assert_eq!(scene.world.mode(CONF), 0o640);
}
