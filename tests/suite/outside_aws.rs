//! On a machine that is no EC2 instance, and on one that has no network.

use std::time::Duration;

use serde_json::Value;

use super::harness::agent::{Agent, CommandContext};

const LIMIT: Duration = Duration::from_secs(30);

fn machine(vendor: &str) -> CommandContext {
    let world = CommandContext::new();
    world.write("/sys/class/dmi/id/sys_vendor", format!("{vendor}\n"));
    world
}

fn probed(world: &CommandContext) -> Value {
    let printed = Agent::new(world).args(["probe", "--output", "json"]).run(LIMIT);
    serde_json::from_str(&printed.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {report}"))
}

#[test]
fn a_laptop_is_told_that_it_lacks_credentials_and_not_that_it_lacks_a_metadata_service() {
    let laptop = machine("LENOVO");
    let printed = Agent::new(&laptop).args(["check", "s3://bucket/prefix"]).run(LIMIT);
    printed
        .assert_code(1)
        .assert_says("aws.no_credentials (config)")
        .assert_says("No AWS credentials: none in the environment or the profile files (~/.aws)")
        .assert_says("this is not an EC2 instance")
        .assert_says("AWS_PROFILE");
    assert!(!printed.says("curl -X PUT"), "{printed}");

    let report = probed(&laptop);
    for id in ["instance.identity", "instance.lifecycle_state", "aws.credentials", "lifecycle.hook"] {
        let check = check(&report, id);
        assert_eq!(check["outcome"], "skipped", "{check}");
        assert!(check["reason"].as_str().unwrap().contains("not an EC2 instance"), "{check}");
    }
    // With credentials of its own it is asked for none of an instance.
    let own = Agent::new(&laptop)
        .env("AWS_REGION", "us-east-1")
        .args(["probe", "--output", "json", "--only", "aws.credentials"])
        .run(LIMIT);
    own.assert_says("aws.no_credentials");
    let own = Agent::new(&laptop)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-this-laptop")
        .args(["probe", "--only", "aws.credentials"])
        .run(LIMIT);
    own.assert_code(0);
}

#[test]
fn an_instance_whose_metadata_service_is_silent_is_told_so() {
    let printed = Agent::new(&machine("Amazon EC2")).args(["check", "s3://bucket/prefix"]).run(LIMIT);
    printed.assert_code(1).assert_says("imds.unreachable").assert_says("On an EC2 instance:");
}

#[test]
fn without_a_network_that_is_the_one_thing_to_mend() {
    let route = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                 eth0 0001000A 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
    let address = "Main:\n  |-- 10.0.1.17\n     /32 host LOCAL\n";
    let link = [("/sys/class/net/eth0/operstate", "up\n")];
    let down = [("/sys/class/net/eth0/operstate", "down\n")];
    for (files, kind, next_step) in [
        (vec![("/sys/class/net/lo/operstate", "unknown\n")], "host.no_interface", "attached"),
        (down.to_vec(), "host.no_link", "ip link set eth0 up"),
        (link.to_vec(), "host.no_address", "DHCP"),
        (
            [link[0], ("/proc/net/fib_trie", address), ("/proc/net/route", route)].to_vec(),
            "host.no_route",
            "ip route",
        ),
    ] {
        let world = machine("Amazon EC2");
        world.write("/etc/resolv.conf", "nameserver 10.0.0.2\noptions timeout:1 attempts:1\n");
        for (path, content) in files {
            world.write(path, content);
        }
        let report = probed(&world);
        let roots = report["root_causes"].as_array().unwrap();
        let first = &roots[0];
        assert_eq!(
            (first["cause"]["kind"].as_str(), first["cause"]["class"].as_str()),
            (Some(kind), Some("host"))
        );
        assert!(first["cause"]["next_step"].as_str().unwrap().contains(next_step), "{first}");
        let evidence = first["cause"]["evidence"].to_string();
        assert!(evidence.contains("10.0.0.2: Network is unreachable"), "{first}");
        assert!(evidence.contains("169.254.169.254: Network is unreachable"), "{first}");
        let explains = first["explains"].to_string();
        for id in ["host.dns", "instance.identity", "aws.credentials"] {
            assert!(explains.contains(id), "{id}: {first}");
        }
        for other in &roots[1..] {
            let other = other["cause"]["kind"].as_str().unwrap();
            assert!(!["dns.timeout", "imds.unreachable"].contains(&other), "{report}");
        }
    }
}
