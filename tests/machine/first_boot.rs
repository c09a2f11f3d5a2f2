//! From power to in service by user-data alone, and again after a reboot.

use boot_agent::unit;
use serde_json::Value;

use super::instance::{INTERPRETER, Instance, SHELL};
use super::scene::{INSTANCE, STAGES};

#[test]
#[ignore = "slow: 40 s"]
fn a_blank_instance_boots_by_its_user_data_and_again_after_a_reboot() {
    let mut instance = Instance::new(INTERPRETER);
    instance.power_on();
    instance.wait_until_in_service(None);
    instance.must(&["cloud-init", "status", "--wait"]);
    instance.assert_in_service();
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    assert_eq!(instance.scene.installer_runs(), 1);
    journal_knows_the_stages(&instance);
    let status =
        String::from_utf8_lossy(&instance.run(&["systemctl", "status", "boot-agent"]).stdout).into_owned();
    assert!(status.contains("Status: \"in service after"), "{status}");
    // cloud-init's script has followed the unit, and ended with its result.
    assert_eq!(instance.property("cloud-final.service", "Result"), "success");
    let said = instance.scene.world.read("/var/log/cloud-init-output.log");
    assert!(said.contains("report     done") && said.contains("in service after"), "{said}");

    let before = instance.began();
    instance.reboot();
    instance.wait_until_in_service(before);
    instance.assert_in_service();
    assert_eq!(instance.scene.stage("install"), "skipped");
    assert_eq!(instance.scene.installer_runs(), 1);
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    instance.must(&["cloud-init", "status", "--wait"]);
}

#[test]
#[ignore = "slow: 20 s"]
fn a_blank_instance_boots_by_a_shell_script() {
    let mut instance = Instance::new(SHELL);
    instance.power_on();
    instance.wait_until_in_service(None);
    instance.must(&["cloud-init", "status", "--wait"]);
    instance.assert_in_service();
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    assert_eq!(instance.scene.installer_runs(), 1);

    let verified = instance.run(&["systemd-analyze", "verify", unit::PATH]);
    // The units of Replicated, which are the vendor's, draw warnings of their own.
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let of_the_agent = said.lines().any(|line| {
        !line.starts_with("/etc/systemd/system/replicated")
            && !line.starts_with("/etc/systemd/system/frontend")
    });
    assert!(verified.status.success() && !of_the_agent, "{said}");
    let security = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit::PATH];
    let score = instance.must(&security).lines().last().unwrap().to_owned();
    println!("{score}");
    // What keeps it from less is said in the unit.
    let exposure = score.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(exposure.is_some_and(|exposure| exposure <= 5.0), "{score}");
}

fn journal_knows_the_stages(instance: &Instance) {
    for stage in STAGES {
        let entries =
            instance.must(&["journalctl", "--boot", "--output=json", &format!("BOOT_STAGE={stage}")]);
        let entries: Vec<Value> = entries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = entries.iter().find(|entry| entry["MESSAGE"].as_str().unwrap().contains(" after "));
        let done = done.unwrap_or_else(|| panic!("{stage}: {entries:#?}"));
        assert_eq!(done["_SYSTEMD_UNIT"], "boot-agent.service", "{stage}");
        assert_eq!(done["INSTANCE_ID"], INSTANCE, "{stage}");
    }
}
