//! The old way beside the agent: the user-data that boxes were booted with before, on the same machine.

use std::fs;
use std::time::{Duration, Instant};

use boot_agent::unit;

use super::instance::{BOOTED, INTERPRETER, Instance};
use super::scene::{PLACED, STAND_IN};

/// How often each way boots a blank instance, in turns, so that whatever else the computer does meets both.
const RUNS: usize = 3;

/// How often that is done again when the ratio is not reached, which then counts over all boots: one that was disturbed
/// weighs less among more.
const ROUNDS: usize = 3;

/// How many times sooner the agent must be. Both are measured in one run, and the second is a floor for a debug build on a
/// busy computer: benches/old-way measures the program as it is shipped.
const FILES: f64 = 4.0;
const INSTALLER: f64 = 3.0;

/// What boxes were booted with, in its best case: awscli is on the image already, and so is the installer.
const OLD_WAY: &str = "#!/bin/bash
export AWS_DEFAULT_REGION=us-east-1
startup() {
  aws --endpoint-url ENDPOINT s3 cp SOURCE/settings.conf /etc/settings.conf
  aws --endpoint-url ENDPOINT s3 cp SOURCE/replicated.conf /etc/replicated.conf
  aws --endpoint-url ENDPOINT s3 cp SOURCE/license.rli /etc/license.rli
  aws --endpoint-url ENDPOINT s3 cp SOURCE/circle-installation-customizations /etc/circle-installation-customizations
  bash /usr/local/lib/boot-agent/replicated-install.sh local_address=$(curl http://169.254.169.254/latest/meta-data/local-ipv4) no_proxy=1 no-docker no-public-address skip-preflights
}
time startup
";

/// From power on: until the four files are in place, and until the installer runs.
struct Took {
    files: Duration,
    installer: Duration,
}

fn boot(user_data: &str) -> Took {
    let mut instance = Instance::new(user_data);
    let world = &instance.scene.world;
    if user_data == OLD_WAY {
        // Boxes of that time had no agent that works beside cloud-init.
        fs::remove_file(world.path(&format!("/etc/systemd/system/multi-user.target.wants/{}", unit::NAME)))
            .unwrap();
    }
    let placed: Vec<_> = PLACED.iter().map(|path| world.path(path)).collect();
    let runs = world.path(&format!("{STAND_IN}/runs"));
    let on = Instant::now();
    instance.power_on();
    instance.wait_for("the files", BOOTED, || placed.iter().all(|path| path.exists()));
    let files = on.elapsed();
    instance.wait_for("the installer", BOOTED, || runs.exists());
    Took { files, installer: on.elapsed() }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Old over new, as medians, after saying both.
fn ratio(what: &str, old: &[Took], new: &[Took], time: fn(&Took) -> Duration) -> f64 {
    let (old, new) = (median(old.iter().map(time).collect()), median(new.iter().map(time).collect()));
    println!("power on to {what}: old way {old:.2} s, agent {new:.2} s, old / agent {:.2}", old / new);
    old / new
}

#[test]
#[ignore = "slow: 60 s"]
fn the_agent_is_faster_than_the_old_way_from_power_to_installer() {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for round in 1.. {
        for _ in 0..RUNS {
            old.push(boot(OLD_WAY));
            new.push(boot(INTERPRETER));
        }
        let files = ratio("files in place", &old, &new, |took| took.files);
        let installer = ratio("installer start", &old, &new, |took| took.installer);
        if files >= FILES && installer >= INSTALLER {
            break;
        }
        assert!(round < ROUNDS, "files in place {files:.2} times sooner, the installer {installer:.2} times");
    }
}
