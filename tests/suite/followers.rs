//! Two boots at once are one: the second follows the first, ends like it, and takes over when the first is killed.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::interruption::{AT_ONCE, LATE, READY, assert_in_service, without_postgres};
use super::scene::{SOON, Scene};

#[test]
fn a_second_boot_follows_the_first_and_ends_like_it() {
    let scene = Scene::new();
    scene.stand_in("timeline", LATE);
    let mut first = scene.boot().args(["--output", "json"]).spawn();
    first.wait_for_line("ready      waiting", SOON);
    let mut second = scene.boot().args(["--output", "json"]).spawn();
    second.wait_for_line("another boot is already running", SOON);
    second.wait_for_line("fetch      done", SOON);
    second.wait_for_line("ready      waiting", SOON);
    scene.stand_in("timeline", READY);
    let (first, second) = (first.finish(SOON), second.finish(SOON));
    first.assert_code(0);
    second.assert_code(0);
    let records = [&first, &second].map(|it| serde_json::from_str::<Value>(&it.stdout).unwrap());
    assert_eq!(records[0], records[1]);
    assert_eq!(records[0]["outcome"], "in_service");
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.installer_runs(), 1);
}

#[test]
fn a_follower_fails_as_the_first_does() {
    let scene = Scene::new();
    scene.write_settings("deadline = \"8s\"");
    without_postgres(&scene);
    let mut first = scene.boot().args(["--output", "json"]).spawn();
    first.wait_for_line("databases  waiting", SOON);
    let mut second = scene.boot().args(["--output", "json"]).spawn();
    second.wait_for_line("another boot is already running", SOON);
    let (first, second) = (first.finish(SOON), second.finish(SOON));
    first.assert_code(3);
    second.assert_code(3);
    let records = [&first, &second].map(|it| serde_json::from_str::<Value>(&it.stdout).unwrap());
    assert_eq!(records[0], records[1]);
    assert_eq!(scene.completions(), ["ABANDON"]);
}

#[test]
fn a_follower_that_is_stopped_leaves_the_first_alone() {
    let scene = Scene::new();
    scene.stand_in("timeline", LATE);
    let mut first = scene.boot().spawn();
    first.wait_for_line("ready      waiting", SOON);
    let mut second = scene.boot().spawn();
    second.wait_for_line("another boot is already running", SOON);
    second.signal(Signal::SIGTERM);
    second.finish(AT_ONCE).assert_code(1).assert_says("the boot itself continues");
    scene.stand_in("timeline", READY);
    first.finish(SOON).assert_code(0);
    assert_in_service(&scene);
}

#[test]
fn a_follower_takes_over_when_the_first_is_killed() {
    let scene = Scene::new();
    scene.stand_in("mode", "slow 120\n");
    let mut first = scene.boot().spawn();
    first.wait_for_line("Unpacking", SOON);
    let mut second = scene.boot().spawn();
    second.wait_for_line("another boot is already running", SOON);
    scene.stand_in("mode", "");
    first.kill();
    second.wait_for_line("taking over", SOON);
    second.finish(SOON).assert_code(0);
    assert_in_service(&scene);
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.installer_runs(), 2);
}
