//! The disk of a machine: the Debian root of the set-up, with what an AMI has more, writable in a layer of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use boot_agent::unit;
use tempfile::TempDir;

use super::harness::{parts, shell};
use super::scene::{INSTALLER, Scene};

/// Where the machine sees the directory with the engine's socket.
pub(super) const ENGINE: &str = "/mnt/engine";

/// The scene's root as a machine's, as long as the value lives.
pub(super) struct Disk {
    root: PathBuf,
    layers: TempDir,
}

impl Disk {
    /// Mounts the Debian root over the scene's, with all that the scene has written in it.
    pub(super) fn of(scene: &Scene) -> Self {
        let disk = Disk { root: scene.world.root().to_owned(), layers: parts::directory("layers") };
        disk.mount();
        bake(scene);
        disk
    }

    fn mount(&self) {
        let (upper, work) = (self.layers.path().join("upper"), self.layers.path().join("work"));
        fs::create_dir(&work).unwrap();
        shell::must(Command::new("cp").arg("-a").arg(&self.root).arg(&upper));
        // A Debian has users and groups of its own.
        for file in ["etc/group", "etc/passwd"] {
            fs::remove_file(upper.join(file)).unwrap();
        }
        let lower = parts::part("machine-root");
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let overlay = ["-t", "overlay", "overlay", "-o", &options];
        if shell::run(Command::new("mount").args(overlay).arg(&self.root)).status.success() {
            return;
        }
        // No overlay on this file system: a copy costs some seconds and does as well.
        for from in [lower, upper] {
            shell::must(Command::new("cp").arg("-a").arg(from.join(".")).arg(&self.root));
        }
    }

    /// Beside the root, for what is about the machine and not in it.
    pub(super) fn beside(&self) -> &Path {
        self.layers.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing to unmount where it is a copy.
        shell::run(Command::new("umount").arg("--lazy").arg(&self.root));
    }
}

/// What Packer would have put on it.
fn bake(scene: &Scene) {
    let world = &scene.world;
    let group = world.read("/etc/group");
    if !group.contains("\ndocker:") {
        world.write("/etc/group", format!("{group}docker:x:997:\n"));
    }
    world.write("/etc/machine-id", "");
    world.write("/etc/cloud/cloud.cfg.d/99-machine.cfg", CLOUD);
    fs::create_dir_all(world.path("/var/log/journal")).unwrap();
    fs::create_dir_all(world.path(ENGINE)).unwrap();
    world.write("/etc/systemd/system/docker.socket", DOCKER_SOCKET);
    world.write("/etc/systemd/system/docker.service", DOCKER_SERVICE);
    fs::copy(env!("CARGO_BIN_EXE_agent"), world.path("/usr/local/bin/agent")).unwrap();
    world.write(unit::PATH, unit::text());
    let environment: String = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_AUTO_SCALING"]
        .map(|name| format!("Environment={name}={}\n", world.environment()[name]))
        .concat();
    world.write(&format!("{}.d/endpoints.conf", unit::PATH), format!("[Service]\n{environment}"));
    for name in [unit::NAME, "docker.socket"] {
        let root = world.root().display();
        shell::must(Command::new("systemctl").arg(format!("--root={root}")).args(["enable", name]));
    }
    let script = fs::read_to_string(parts::source("tests/stand_ins/replicated-install.sh")).unwrap();
    let (shebang, rest) = script.split_once('\n').unwrap();
    let outside = world.root().display();
    world.write(INSTALLER, format!("{shebang}\nexport STAND_IN_OUTSIDE='{outside}'\n{rest}"));
    fs::set_permissions(world.path(INSTALLER), fs::Permissions::from_mode(0o755)).unwrap();
    lock_images(scene);
}

/// `images.lock`: the pinned scripts, the images of Replicated, and one of the app that the engine has from the start.
fn lock_images(scene: &Scene) {
    let name = "circleci/frontend:2.18.3";
    let id = scene.engine.docker(&["image", "inspect", "--format={{.Id}}", name]);
    scene.lock(&format!("[[image]]\nreference = \"{name}\"\nid = \"{id}\"\nalias = \"{name}\"\n"));
}

const CLOUD: &str = "\
# A container has no DMI, by which cloud-init knows AWS.
datasource_list: [Ec2]
datasource: {Ec2: {strict_id: false, max_wait: 30, timeout: 5}}
network: {config: disabled}
ssh_genkeytypes: []
locale: C.UTF-8
";

const DOCKER_SOCKET: &str = "\
[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketGroup=docker
[Install]
WantedBy=sockets.target
";

/// The engine lies outside of the machine; in it, this is all of `dockerd` that the installer looks for.
const DOCKER_SERVICE: &str = "\
[Unit]
Description=Docker Application Container Engine
Requires=docker.socket
After=network-online.target docker.socket
[Service]
Type=exec
ExecStart=@/lib/systemd/systemd-socket-proxyd dockerd /mnt/engine/docker.sock
";
