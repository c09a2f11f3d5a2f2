//! Sets the scene of a boot and runs a script on it: `cargo test --test stage -- COMMAND…`.
//!
//! COMMAND is a path, which no filter of tests is: those are meant for the programs beside this one. It sees the world in
//! its environment: `AGENT` (the program; what the caller set there stays), `ROOT`, `SOURCE`, `BUCKET`, `INSTANCE`,
//! `INSTALLER`, `STAND_IN` (the files that direct the installer's stand-in), `AUTO_SCALING`, and what the agent itself
//! reads. With `WITHOUT_GROUP` set, the instance is in no Auto Scaling group. Everything ends with it. Used by `tests/demo`
//! and `benches/run`; without a COMMAND, as when all tests are run, it does nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A stage uses a part of what the tests use.
#![allow(dead_code)]

#[path = "suite/harness/mod.rs"]
mod harness;
#[path = "suite/scene.rs"]
mod scene;

use std::process::{Command, ExitCode};

use stand_ins::autoscaling;

use scene::{INSTALLER, INSTANCE, Scene};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(program) = words.first().filter(|word| word.contains('/')) else { return ExitCode::SUCCESS };
    // A boot that is measured again and again must not be abandoned by its group.
    let group = std::env::var_os("WITHOUT_GROUP")
        .is_none_or(|value| value.is_empty())
        .then(|| "services-box".to_owned());
    let scene = Scene::with_group(autoscaling::Config { group, ..autoscaling::Config::default() });
    let agent = std::env::var("AGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_agent").to_owned());
    let status = Command::new(program)
        .args(&words[1..])
        .envs(scene.world.environment())
        .env("AGENT", agent)
        .env("ROOT", scene.world.root())
        .env("SOURCE", scene.source())
        .env("BUCKET", &scene.bucket)
        .env("INSTANCE", INSTANCE)
        .env("INSTALLER", scene.world.path(INSTALLER))
        .env("STAND_IN", scene.world.path(scene::STAND_IN))
        .env("AUTO_SCALING", scene.auto_scaling.url())
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
