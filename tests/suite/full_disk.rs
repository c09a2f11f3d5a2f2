//! A disk on which nothing can be written: the group is told all the same, and why.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use super::harness::agent::{Agent, Finished};
use super::harness::shell;
use super::scene::{SOON, Scene};

/// A small file system at a directory of the scene, with no byte left.
struct Full(PathBuf);

impl Full {
    fn at(scene: &Scene, directory: &str) -> Self {
        let path = scene.world.path(directory);
        shell::must(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&path));
        let full = Full(path);
        full.fill();
        full
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("filling")).unwrap();
        let mut block = vec![b'x'; 4096];
        while !block.is_empty() {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => block.truncate(block.len() / 2),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filling")).unwrap();
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        shell::run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn boot_of(scene: &Scene) -> Finished {
    scene.world.write("/dev/console", "");
    Agent::new(&scene.world).args(["boot", &scene.source()]).run(SOON)
}

#[test]
fn full_var_at_the_first_boot_is_told_to_the_group() {
    let scene = Scene::new();
    let _full = Full::at(&scene, "/var");
    let finished = boot_of(&scene);
    finished.assert_code(1).assert_says("record.unwritable").assert_says("No space left on device");
    finished.assert_says("df -h").assert_says("ABANDON acknowledged");
    assert_eq!(scene.completions(), ["ABANDON"]);
    assert!(scene.world.read("/dev/console").contains("record.unwritable"));
    assert!(scene.nothing_is_placed());
    // Once for the record as such, and not for each state of it.
    let said = format!("{finished}");
    assert!(said.matches("Cannot write").count() <= 6, "{said}");
}

#[test]
fn lock_that_cannot_be_had_does_not_keep_the_cause_from_the_group() {
    let scene = Scene::new();
    let (_run, _var) = (Full::at(&scene, "/run"), Full::at(&scene, "/var"));
    let finished = boot_of(&scene);
    finished.assert_code(1).assert_says("record.unwritable");
    assert_eq!(scene.completions(), ["ABANDON"]);
    // A file takes no block of its own on every file system: a directory in the way is refused on each.
    let scene = Scene::new();
    fs::create_dir_all(scene.world.path("/run/boot-agent.lock")).unwrap();
    boot_of(&scene).assert_code(0).assert_says("booting without the lock");
    assert_eq!(scene.completions(), ["CONTINUE"]);
}

#[test]
fn full_var_does_not_end_the_service_of_an_installed_box() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let record = scene.world.read("/var/lib/boot-agent/boot.json");
    let full = Full::at(&scene, "/var/lib/boot-agent");
    full.empty();
    scene.world.write("/var/lib/boot-agent/boot.json", record);
    full.fill();
    scene.boots().assert_code(0).assert_says("No space left on device");
    assert_eq!(scene.completions(), ["CONTINUE"]);
    assert_eq!(scene.installer_runs(), 1);
}
