//! A crash, a failure or a power cut in the middle of a boot, and what systemd makes of it.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use boot_agent::unit;
use serde_json::Value;

use super::instance::{BOOTED, INTERPRETER, Instance, SHELL};

const LATE: &str = "0 starting started true 503\n";
const READY: &str = "0 started started false 200\n";
const ORDER: &str = "/var/lib/boot-agent/order.json";

/// How often the power is cut.
const CUTS: u32 = 10;
/// How many of these come before the agent has been told what to boot.
const EARLY: u32 = 2;

/// Waits until the app is waited for, and gives the agent's process id.
fn stands_still(instance: &Instance) -> String {
    instance.wait_for("the wait for the app", BOOTED, || {
        instance.record().is_some_and(|record| {
            let stages = record["stages"].as_array().unwrap();
            stages.iter().any(|stage| stage["name"] == "ready" && stage["waits"].is_array())
        })
    });
    instance.property(unit::NAME, "MainPID")
}

fn wait_for_restart(instance: &Instance, old: &str, times: &str) {
    instance.wait_for("the unit's restart", BOOTED, || {
        let pid = instance.property(unit::NAME, "MainPID");
        pid != old && pid != "0" && instance.property(unit::NAME, "NRestarts") == times
    });
}

#[test]
#[ignore = "slow: 30 s"]
fn a_crash_is_restarted_and_user_data_ends_well() {
    let mut instance = Instance::new(SHELL);
    instance.scene.stand_in("timeline", LATE);
    instance.power_on();

    let mut before = None;
    // A kill, and what a hang comes to.
    for (signal, restarts) in [("KILL", "1"), ("ABRT", "2")] {
        let pid = stands_still(&instance);
        before = instance.began();
        instance.must(&["kill", &format!("-{signal}"), &pid]);
        wait_for_restart(&instance, &pid, restarts);
        instance.wait_for("the next boot", BOOTED, || instance.began() != before);
    }
    stands_still(&instance);
    instance.scene.stand_in("timeline", READY);
    instance.wait_until_in_service(before);
    instance.must(&["cloud-init", "status", "--wait"]);
    instance.assert_in_service();
    assert_eq!(instance.property("cloud-final.service", "Result"), "success");
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    assert_eq!(instance.scene.installer_runs(), 1);
}

#[test]
#[ignore = "slow: 20 s"]
fn a_failure_is_not_restarted_and_a_second_order_is_taken() {
    let mut instance = Instance::new(INTERPRETER);
    instance.scene.put("license.rli", "<html>login</html>");
    instance.power_on();
    instance.wait_for("the failure", BOOTED, || instance.property(unit::NAME, "Result") == "exit-code");
    assert_eq!(instance.property(unit::NAME, "ExecMainStatus"), "1");
    instance.wait_for("the end of user-data", BOOTED, || {
        instance.property("cloud-final.service", "ActiveState") == "failed"
    });
    assert_eq!(instance.property(unit::NAME, "NRestarts"), "0");
    assert_eq!(instance.scene.completions(), ["ABANDON"]);

    // A person has mended the bundle; the group goes its way, and the box is wanted all the same.
    instance.scene.put("license.rli", "a licence as the vendor sent it\n");
    let source = instance.scene.source();
    let said = instance.run(&["agent", "boot", "--deadline", "20s", &source]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("delegated to boot-agent.service") && said.contains("identity   done"), "{said}");
    assert!(instance.scene.world.read(ORDER).contains("\"deadline\": \"20s\""));
}

/// When the power is cut: a share of what a boot took that was left alone, before or after it had its order.
struct Moment {
    after: PathBuf,
    wait: Duration,
}

#[test]
#[ignore = "slow: 200 s"]
fn a_power_cut_at_any_moment_ends_in_service_at_the_next_boot() {
    let (to_order, to_service) = undisturbed();
    println!("an undisturbed boot has its order after {to_order:?}, and is in service {to_service:?} later");
    for cut in 0..CUTS {
        let mut instance = blank();
        let order = instance.scene.world.path(ORDER);
        let moment = if cut < EARLY {
            Moment { after: PathBuf::from("/"), wait: to_order * (cut + 1) / (EARLY + 2) }
        } else {
            // Denser at the beginning, where one stage follows the other in milliseconds.
            let (step, steps) = (cut - EARLY, CUTS - EARLY);
            Moment { after: order, wait: to_service * (step * step) / (steps * steps) }
        };
        instance.power_on();
        instance.wait_for("the moment", BOOTED, || moment.after.exists());
        thread::sleep(moment.wait);
        instance.cut_power();
        instance.assert_nothing_torn();
        let record = instance.record();
        let stages = record.as_ref().and_then(|record| record["stages"].as_array());
        let stood = stages
            .and_then(|stages| stages.last())
            .map(|stage| (stage["name"].clone(), stage["outcome"].clone()));
        println!("cut {cut}, {:?} after {}: stood in {stood:?}", moment.wait, moment.after.display());

        // The boot that was cut off was a good one.
        let cause = record.as_ref().map(|record| &record["cause"]);
        assert!(cause.is_none_or(Value::is_null), "{cause:#?}");

        instance.power_on();
        let before = record.as_ref().and_then(|record| record["started_ms"].as_i64());
        instance.wait_until_in_service(before);
        instance.assert_in_service();
        assert_eq!(instance.scene.completions().last().unwrap(), "CONTINUE");
        assert!((1..=2).contains(&instance.scene.installer_runs()));
        let leftovers = instance.must(&["find", "/etc", "/var/lib", "-name", "*.boot-agent-new"]);
        assert_eq!(leftovers, "");
    }
}

/// An instance whose installer takes long enough to be cut in the middle.
fn blank() -> Instance {
    let instance = Instance::new(INTERPRETER);
    instance.scene.stand_in("mode", "slow 1\n");
    instance
}

/// How long a boot takes to its order, and from there.
fn undisturbed() -> (Duration, Duration) {
    let mut instance = blank();
    let on = Instant::now();
    instance.power_on();
    let order = instance.scene.world.path(ORDER);
    instance.wait_for("the order", BOOTED, || order.exists());
    let to_order = on.elapsed();
    instance.wait_until_in_service(None);
    (to_order, on.elapsed() - to_order)
}
