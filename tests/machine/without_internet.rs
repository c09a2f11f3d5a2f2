//! A baked machine whose only routes are the metadata service, S3, Auto Scaling and the databases.

use super::harness::parts;
use super::instance::{INTERPRETER, Instance};
use super::root::Distribution;
use super::scene::STAND_IN;

/// With the settings as they ship, to CONTINUE; nothing is fetched and nothing is pulled.
fn boots(distribution: Distribution) {
    let mut instance = Instance::of(distribution, INTERPRETER);
    let shipped = std::fs::read_to_string(parts::source("packer/agent.toml")).unwrap();
    instance.scene.world.write("/etc/boot-agent/agent.toml", shipped);
    instance.scene.stand_in("port", "80");
    let images = instance.scene.engine.docker(&["images", "--no-trunc", "--format={{.ID}} {{.Digest}}"]);
    // Both scripts, by the bake.
    assert_eq!(instance.vendor().asked().len(), 2);

    instance.power_on();
    instance.wait_until_in_service(None);
    // Its own verdict is about more than the user-data: Ubuntu's finds fault with a machine without a network card.
    instance.run(&["cloud-init", "status", "--wait"]);
    let followed = instance.scene.world.read("/var/log/cloud-init-output.log");
    assert!(followed.contains("in service after"), "{followed}");
    instance.assert_in_service();
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    assert_eq!(instance.scene.installer_runs(), 1);
    let operator = instance.scene.world.read(&format!("{STAND_IN}/operator-runs"));
    assert_eq!(operator.lines().count(), 1, "the operator's script was run: {operator}");
    assert_eq!(instance.vendor().asked().len(), 2, "{:?}", instance.vendor().asked());
    for image in
        instance.scene.engine.docker(&["images", "--no-trunc", "--format={{.ID}} {{.Digest}}"]).lines()
    {
        assert!(images.contains(image), "{image} has come during the boot");
    }
    let verified = instance.run(&["agent", "probe", "--only", "images.lock", "--only", "replicated"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
#[ignore = "slow: 20 s"]
fn a_baked_machine_boots_without_the_internet_on_the_settings_that_ship() {
    boots(Distribution::Debian);
}

#[test]
#[ignore = "slow: 20 s"]
fn a_baked_machine_of_ubuntu_boots_without_the_internet() {
    if Distribution::Ubuntu.is_there() {
        boots(Distribution::Ubuntu);
    }
}
