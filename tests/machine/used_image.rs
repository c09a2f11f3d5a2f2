//! An image that was made of a used instance, and user-data that comes early.

use stand_ins::autoscaling;

use super::instance::{INTERPRETER, Instance};
use super::scene::INSTANCE;

const OTHER: &str = "i-0feedbeef12345678";
const OTHER_ADDRESS: &str = "10.0.9.99";

#[test]
#[ignore = "slow: 40 s"]
fn an_image_of_a_used_instance_starts_clean() {
    let mut instance = Instance::new(INTERPRETER);
    instance.power_on();
    instance.wait_until_in_service(None);
    instance.must(&["cloud-init", "status", "--wait"]);
    assert!(instance.scene.world.read("/var/lib/boot-agent/order.json").contains(INSTANCE));
    instance.power_off();

    let before = instance.began();
    let config = autoscaling::Config { instance: OTHER.to_owned(), ..autoscaling::Config::default() };
    let group = autoscaling::start(config).unwrap();
    instance.become_another(OTHER, OTHER_ADDRESS, group, INTERPRETER);
    instance.power_on();
    instance.wait_until_in_service(before);
    instance.must(&["cloud-init", "status", "--wait"]);
    let said = instance.must(&["journalctl", "--boot", "--unit=boot-agent"]);
    assert!(said.contains("order.another_box") && said.contains(INSTANCE), "{said}");
    // Once, and by its own user-data.
    assert_eq!(said.matches("lifecycle started").count(), 1, "{said}");
    let record = instance.record().unwrap();
    assert_eq!(record["instance"]["id"], OTHER);
    assert_eq!(instance.scene.auto_scaling.state(OTHER).as_deref(), Some("InService"));
    assert_eq!(instance.scene.completions(), ["CONTINUE"]);
    // Replicated runs on the image already, under the address of the other box.
    assert_eq!(instance.scene.installer_runs(), 2);
    assert!(instance.scene.world.read("/etc/default/replicated").contains(OTHER_ADDRESS));
}

#[test]
#[ignore = "slow: 20 s"]
fn user_data_that_runs_before_the_network_does_not_wait_for_it() {
    let mut instance = Instance::new("#cloud-boothook\n#!/bin/sh\nexec agent boot SOURCE\n");
    instance.power_on();
    instance.wait_until_in_service(None);
    instance.must(&["cloud-init", "status", "--wait"]);
    instance.assert_in_service();
    assert_eq!(instance.scene.installer_runs(), 1);
}
