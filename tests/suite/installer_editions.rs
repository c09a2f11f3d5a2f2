//! Older editions of the Replicated installer, from the bake to CONTINUE.

use std::fs;

use super::harness::agent::Agent;
use super::harness::parts;
use super::harness::vendor::{VERSION, Vendor};
use super::scene::{INSTALLER, LOCK, OPERATOR, SOON, STAND_IN, Scene};

/// A scene that is not baked yet, and the server from which it is: its installer is the edition of `year`, which lacks what
/// came later.
fn unbaked(year: u32) -> (Scene, Vendor) {
    let (scene, vendor) = (Scene::new(), Vendor::start());
    for baked in [LOCK, INSTALLER, OPERATOR] {
        fs::remove_file(scene.world.path(baked)).unwrap();
    }
    let stand_in = fs::read_to_string(parts::source("tests/stand_ins/replicated-install.sh")).unwrap();
    let came_later = |line: &&str| {
        line.rsplit_once("# since ").is_some_and(|(_, since)| since.parse::<u32>().unwrap() > year)
    };
    let lines: Vec<&str> = stand_in.lines().filter(|line| !came_later(line)).collect();
    assert!(lines.len() < stand_in.lines().count());
    let (shebang, rest) = (lines[0], lines[1..].join("\n"));
    let (root, docker) = (scene.world.root().display(), scene.engine.docker_host());
    let rest = rest.replace("\"https://get.replicated.com\"", &format!("\"{}\"", vendor.origin()));
    vendor.serve(format!("{shebang}\nexport STAND_IN_ROOT='{root}' DOCKER_HOST='{docker}'\n{rest}\n"));
    let mut images = format!("[replicated]\nurl = \"{}\"\nreplicated_tag = \"{VERSION}\"\n", vendor.url());
    for name in ["replicated", "replicated-ui", "replicated-operator"] {
        let image = format!("quay.io/replicated/{name}:stable-{VERSION}");
        images.push_str(&format!("[[image]]\nreference = \"{image}\"\npull = false\n"));
    }
    scene.world.write("/etc/boot-agent/images.toml", images);
    (scene, vendor)
}

/// The default arguments are refused at the bake, by name; without those the box is baked and boots.
fn boots(year: u32, unknown: &[&str], known: &str) {
    let (scene, _vendor) = unbaked(year);
    let bake = || Agent::new(&scene.world).arg("bake").run(SOON);
    let refused = bake();
    refused.assert_code(1).assert_says("installer.unknown_argument");
    for argument in unknown {
        refused.assert_says(argument);
    }
    assert!(!scene.world.exists(LOCK) && !scene.world.exists(INSTALLER), "{refused}");

    scene.write_settings(&format!("[install]\narguments = [{known}]\n"));
    // What directs the stand-ins lies where a used box would have something, which is the one thing to find fault with.
    bake().assert_says("3 images locked, the installer pinned, the unit enabled");
    let lock = scene.world.read(LOCK);
    assert!(
        lock.contains(&format!("version = \"{VERSION}\"")) && !lock.contains("skip-preflights"),
        "{lock}"
    );
    scene.boots().assert_code(0);
    assert_eq!((scene.installer_runs(), scene.completions()), (1, vec!["CONTINUE".to_owned()]));
    let run = scene.world.read(&format!("{STAND_IN}/runs"));
    assert!(run.contains(" skip-pull") && unknown.iter().all(|argument| !run.contains(argument)), "{run}");
}

#[test]
fn edition_of_2018_is_baked_and_boots_without_the_arguments_that_it_does_not_know() {
    boots(2018, &["no-public-address", "skip-preflights"], "\"no-proxy\", \"no-docker\"");
}

#[test]
fn edition_of_2019_is_baked_and_boots_without_the_arguments_that_it_does_not_know() {
    boots(2019, &["skip-preflights"], "\"no-proxy\", \"no-docker\", \"no-public-address\"");
}
