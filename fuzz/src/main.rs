//! One program for all targets of `boot_agent::fuzz`: the environment's `FUZZ_TARGET` names the one to run.
#![no_main]

use std::sync::LazyLock;

use boot_agent::fuzz::TARGETS;

static READ: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == wanted);
    found.expect("FUZZ_TARGET names no target").read
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (*READ)(bytes));
