//! `agent status --plot`: the boot as a picture.

use std::fs;
use std::process::Command;

use super::harness::agent::Agent;
use super::harness::postgres::Postgres;
use super::harness::{parts, shell};
use super::scene::{self, SOON, Scene};

#[test]
fn plot_shows_stages_what_they_waited_for_and_heartbeats() {
    let scene = Scene::new();
    let mut postgres = Postgres::start();
    let mongo = &scene::databases().0;
    let addresses = scene::customizations(|name| mongo.uri(name), &postgres.uri());
    scene.put("circle-installation-customizations", addresses);
    postgres.stop();
    let mut boot = scene.boot().spawn();
    boot.wait_for_line("tcp.refused", SOON);
    postgres.resume();
    boot.finish(SOON).assert_code(0);

    let directory = parts::directory("plot");
    let file = directory.path().join("boot.svg");
    Agent::new(&scene.world).args(["status", "--plot"]).arg(file.display()).run(SOON).assert_code(0);
    let picture = fs::read_to_string(&file).unwrap();
    let parse = "import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])";
    shell::must(Command::new("python3").args(["-c", parse]).arg(&file));
    for words in ["identity", "databases", "tcp.refused", "CONTINUE acknowledged", "class=\"heartbeat\""] {
        assert!(picture.contains(words), "{words} is not in\n{picture}");
    }
    let bars = |class: &str| picture.matches(&format!("class=\"{class}\"")).count();
    let stages = scene.record()["stages"].as_array().unwrap().len();
    assert_eq!(bars("done") + bars("skipped"), stages);

    let nowhere = directory.path().join("no/such/directory/boot.svg");
    let status = Agent::new(&scene.world).args(["status", "--plot"]).arg(nowhere.display()).run(SOON);
    status.assert_code(2).assert_says("does not exist").assert_says("mkdir -p ");
    assert!(!directory.path().join("no").exists());
    let printed = Agent::new(&scene.world).args(["status", "--plot", "-"]).run(SOON);
    assert!(printed.assert_code(0).stdout.starts_with("<svg "), "{printed}");
}
