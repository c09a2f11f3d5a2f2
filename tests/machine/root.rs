//! The disk of a machine: the Debian root of the set-up, with what an AMI has more, writable in a layer of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use boot_agent::unit;
use tempfile::TempDir;

use super::harness::agent::Agent;
use super::harness::vendor::Vendor;
use super::harness::{parts, shell};
use super::scene::{INSTALLER, LOCK, OPERATOR, SOON, Scene};

/// Where the machine sees the directory with the engine's socket.
pub(super) const ENGINE: &str = "/mnt/engine";

/// What a machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distribution {
    Debian,
    Ubuntu,
}

impl Distribution {
    /// Its root; `None` with a word about it where the set-up could make none, because no mirror has it.
    fn root(self) -> Option<PathBuf> {
        match self {
            Distribution::Debian => Some(parts::part("machine-root")),
            Distribution::Ubuntu => {
                let root = parts::part("machine-root-ubuntu");
                let why = fs::read_to_string(root.join("SKIPPED")).ok();
                if let Some(why) = &why {
                    eprintln!("SKIPPED: no machine of Ubuntu could be made: {why}");
                }
                why.is_none().then_some(root)
            }
        }
    }

    /// Whether there is a machine of it.
    pub(super) fn is_there(self) -> bool {
        self.root().is_some()
    }
}

/// The scene's root as a machine's, as long as the value lives.
pub(super) struct Disk {
    root: PathBuf,
    layers: TempDir,
    /// Where the scripts were fetched that are pinned.
    pub(super) vendor: Vendor,
}

impl Disk {
    /// Mounts the distribution's root over the scene's, with all that the scene has written in it, and bakes it.
    pub(super) fn of(scene: &Scene, distribution: Distribution) -> Self {
        let vendor = Vendor::start();
        let disk = Disk { root: scene.world.root().to_owned(), layers: parts::directory("layers"), vendor };
        disk.mount(&distribution.root().expect("a machine of this distribution"));
        prepare(scene);
        bake(scene, &disk.vendor);
        disk
    }

    fn mount(&self, lower: &Path) {
        let (upper, work) = (self.layers.path().join("upper"), self.layers.path().join("work"));
        fs::create_dir(&work).unwrap();
        shell::must(Command::new("cp").arg("-a").arg(&self.root).arg(&upper));
        // A Debian has users and groups of its own.
        for file in ["etc/group", "etc/passwd"] {
            fs::remove_file(upper.join(file)).unwrap();
        }
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let overlay = ["-t", "overlay", "overlay", "-o", &options];
        if shell::run(Command::new("mount").args(overlay).arg(&self.root)).status.success() {
            return;
        }
        // No overlay on this file system: a copy costs some seconds and does as well.
        for from in [lower, &upper] {
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

/// What a services box is before it is baked.
fn prepare(scene: &Scene) {
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
    // A bench sets the program as it is shipped.
    let agent = std::env::var("AGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_agent").to_owned());
    fs::copy(agent, world.path("/usr/local/bin/agent")).unwrap();
    let environment: String = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_AUTO_SCALING"]
        .map(|name| format!("Environment={name}={}\n", world.environment()[name]))
        .concat();
    world.write(&format!("{}.d/endpoints.conf", unit::PATH), format!("[Service]\n{environment}"));
    let root = world.root().display();
    shell::must(Command::new("systemctl").arg(format!("--root={root}")).args(["enable", "docker.socket"]));
}

/// `agent bake`, with the scripts of a server on the loopback and the images that the engine has from the start.
fn bake(scene: &Scene, vendor: &Vendor) {
    let world = &scene.world;
    for made_up in [LOCK, INSTALLER, OPERATOR] {
        fs::remove_file(world.path(made_up)).unwrap();
    }
    let script = fs::read_to_string(parts::source("tests/stand_ins/replicated-install.sh")).unwrap();
    let (shebang, rest) = script.split_once('\n').unwrap();
    let rest = rest.replace("\"https://get.replicated.com\"", &format!("\"{}\"", vendor.origin()));
    vendor.serve(format!("{shebang}\nexport STAND_IN_OUTSIDE='{}'\n{rest}", world.root().display()));
    let mut wanted = format!("[replicated]\nurl = \"{}\"\nreplicated_tag = \"2.38.6\"\n", vendor.url());
    for name in ["replicated", "replicated-ui", "replicated-operator"] {
        wanted.push_str(&format!(
            "[[image]]\nreference = \"quay.io/replicated/{name}:stable-2.38.6\"\npull = false\n"
        ));
    }
    wanted.push_str("[[image]]\nreference = \"circleci/frontend:2.18.3\"\npull = false\nalias = true\n");
    world.write("/etc/boot-agent/images.toml", wanted);
    let baked = Agent::new(world).arg("bake").run(SOON);
    // What directs the stand-ins lies where a used box would have something, which is the one thing to find fault with.
    baked.assert_says("4 images locked, the installer pinned, the unit enabled");
    assert!(world.exists(LOCK) && world.exists(OPERATOR), "{baked}");
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
