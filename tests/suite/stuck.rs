//! Whoever does not read what the program says does not stop it.

use std::fs;
use std::io::{PipeReader, Write, pipe};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::harness::parts;
use super::harness::process::{bound, spawn, wait};
use super::scene::{SOON, Scene, customizations};

/// A boot that waits for a database which does not answer, its output in a pipe that is full and that nobody reads.
fn unread(scene: &Scene, arguments: &[&str]) -> (Child, PipeReader) {
    let closed = format!("mongodb://circle:secret-of-the-test@127.0.0.1:{}", parts::free_port());
    let text = customizations(|database| format!("{closed}/{database}"), &super::scene::databases().1.uri());
    scene.put("circle-installation-customizations", text);
    let (reader, mut writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let mut command: Command = bound(env!("CARGO_BIN_EXE_agent"), Signal::SIGKILL);
    command
        .arg("--root")
        .arg(scene.world.root())
        .args(["boot", &scene.source()])
        .args(arguments)
        .env_clear()
        .envs(scene.world.environment())
        .env("PATH", std::env::var("PATH").unwrap())
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    (spawn(command), reader)
}

#[test]
fn a_pipe_that_nobody_reads_does_not_keep_a_boot_from_its_deadline() {
    let scene = Scene::new();
    let (mut boot, _reader) = unread(&scene, &["--verbose", "--deadline", "8s"]);
    let status = wait(&mut boot, SOON).expect("the boot hangs");
    assert_eq!(status.code(), Some(3));
    assert_eq!(scene.completions(), ["ABANDON"]);
    let record = scene.record();
    assert_eq!(
        (&record["outcome"], &record["cause"]["kind"]),
        (&"abandoned".into(), &"boot.deadline".into())
    );
}

#[test]
fn nor_from_a_signal() {
    let scene = Scene::new();
    let (mut boot, _reader) = unread(&scene, &["--verbose"]);
    let record = scene.world.path("/var/lib/boot-agent/boot.json");
    while !fs::read_to_string(&record).is_ok_and(|text| text.contains("tcp.refused")) {
        assert!(boot.try_wait().unwrap().is_none(), "the boot ended");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    signal::kill(Pid::from_raw(boot.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait(&mut boot, SOON).expect("the boot hangs");
    assert_eq!(scene.record()["outcome"], "interrupted");
    assert_eq!(scene.completions(), Vec::<String>::new());
}
