//! Whole machines: real systemd, real cloud-init and its user-data, the unit, reboots and power cuts.
//!
//! A machine is a Debian root (`tests/setup/machine.sh`) under `systemd-nspawn --boot`. One runs at a time, since there is
//! one metadata service at 169.254.169.254; it has a network namespace of its own with every other part in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A machine uses a part of what the suite uses.
#![allow(dead_code)]

mod first_boot;
mod instance;
mod interrupted;
mod old_way;
mod root;
mod used_image;
mod without_internet;

#[path = "../suite/harness/mod.rs"]
mod harness;
#[path = "../suite/scene.rs"]
mod scene;
