//! An instance: a machine, its metadata service and its group, switched on and off.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use stand_ins::imds::{self, Fault};

use super::harness::process::{Server, bound};
use super::harness::shell;
use super::harness::vendor::Vendor;
use super::root::{Disk, Distribution, ENGINE};
use super::scene::{ADDRESS, INSTANCE, PLACED, Scene};

/// Where every instance finds its metadata service.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// How long a machine may take from power to in service: a few seconds, on a machine that does nothing else.
pub(super) const BOOTED: Duration = Duration::from_secs(120);

/// User-data, both forms.
pub(super) const INTERPRETER: &str = "#!/usr/bin/env -S agent boot SOURCE\n";
pub(super) const SHELL: &str = "#!/bin/sh\nexec agent boot SOURCE\n";

/// One machine and all around it, powered off at first.
pub(super) struct Instance {
    power: Option<Power>,
    disk: Disk,
    pub(super) scene: Scene,
    // Given up last.
    _only: MutexGuard<'static, ()>,
}

struct Power {
    container: Server,
    /// systemd of the machine, as seen from outside.
    init: u32,
}

impl Power {
    /// Ends every process at one moment, as a power cut does: each is stopped first, so that none lives to see another
    /// one's end. With the machine's first process the kernel ends all of them.
    fn kill(&self) {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let its = namespace(self.init);
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.filter(|pid| its.is_some() && namespace(*pid) == its) {
            send(pid, Signal::SIGSTOP);
        }
        send(self.init, Signal::SIGKILL);
        self.container.signal(Signal::SIGKILL);
    }
}

/// To a process that may have ended by now.
fn send(pid: u32, signal: Signal) {
    let _ = signal::kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

impl Instance {
    /// Everything is good; SOURCE and ENDPOINT in the user-data become the scene's.
    pub(super) fn new(user_data: &str) -> Self {
        Self::of(Distribution::Debian, user_data)
    }

    /// The same on a machine of this distribution.
    pub(super) fn of(distribution: Distribution, user_data: &str) -> Self {
        static ONLY: Mutex<()> = Mutex::new(());
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        enter_network();
        let mut scene = Scene::new();
        let user_data = user_data.replace("SOURCE", &scene.source()).replace("ENDPOINT", &scene.s3.url());
        scene.imds = metadata(INSTANCE, ADDRESS, &user_data);
        let disk = Disk::of(&scene, distribution);
        Instance { power: None, disk, scene, _only: only }
    }

    /// Switches it on, and returns while it boots.
    pub(super) fn power_on(&mut self) {
        assert!(self.power.is_none(), "the machine is on");
        let root = self.scene.world.root();
        let mut command = bound("systemd-nspawn", Signal::SIGTERM);
        command
            .args([
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                "--console=pipe",
                "--kill-signal=SIGRTMIN+3",
            ])
            .arg(format!("--directory={}", root.display()))
            .arg(format!("--bind={}:{ENGINE}", self.scene.engine.socket().parent().unwrap().display()))
            .arg("--bind-ro=/usr/bin/docker");
        // The container's console and this process's words about it.
        let mut container = Server::start("machine", command, Signal::SIGTERM, self.disk.beside());
        let nspawn = container.pid().as_raw();
        let mut found = None;
        container.wait_until(BOOTED, || {
            found = init(nspawn);
            found.is_some()
        });
        self.power = Some(Power { container, init: found.unwrap() });
    }

    /// The server from which the scripts were fetched that are pinned on the disk.
    pub(super) fn vendor(&self) -> &Vendor {
        &self.disk.vendor
    }

    /// Takes the plug out. The engine's containers end as well: they would have run on it.
    pub(super) fn cut_power(&mut self) {
        let power = self.power.take().expect("the machine is on");
        power.kill();
        wait_for("the end of the machine", BOOTED, || !runs(power.init));
        drop(power);
        self.kill_containers();
    }

    /// Shuts it down in order.
    pub(super) fn power_off(&mut self) {
        drop(self.power.take().expect("the machine is on"));
        self.kill_containers();
    }

    /// `systemctl reboot`, as a person types it: returns when the machine boots anew.
    pub(super) fn reboot(&mut self) {
        let init = self.init();
        // The command may lose its own machine while it runs.
        self.run(&["systemctl", "reboot"]);
        self.wait_for("the machine's shutdown", BOOTED, || !runs(init));
        // A container that keeps its unit leaves it to that to start it again.
        self.power = None;
        self.power_on();
    }

    fn init(&self) -> u32 {
        self.power.as_ref().expect("the machine is on").init
    }

    fn kill_containers(&self) {
        let running = self.scene.engine.docker(&["ps", "--quiet"]);
        let running: Vec<&str> = running.split_whitespace().collect();
        if !running.is_empty() {
            // One may have ended meanwhile.
            self.scene.engine.try_docker(&[&["kill"], &running[..]].concat());
        }
    }

    /// Runs a command inside.
    ///
    /// # Panics
    /// When it fails.
    pub(super) fn must(&self, words: &[&str]) -> String {
        shell::must(&mut self.command(words))
    }

    /// The same, where failure is an answer.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        shell::run(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let init = self.init();
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.to_string(), "--mount", "--uts", "--ipc", "--pid", "--root", "--wd"]);
        command.arg("--").args(words).env("LC_ALL", "C.UTF-8").env("SYSTEMD_PAGER", "");
        command
    }

    /// A property of a unit; nothing while the machine's systemd does not answer yet.
    pub(super) fn property(&self, unit: &str, name: &str) -> String {
        let output = self.run(&["systemctl", "show", "--value", &format!("--property={name}"), unit]);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// `boot.json`, if there is one; it must be whole.
    pub(super) fn record(&self) -> Option<Value> {
        let path = "/var/lib/boot-agent/boot.json";
        self.scene.world.exists(path).then(|| serde_json::from_str(&self.scene.world.read(path)).unwrap())
    }

    /// When the last boot of the agent began, in milliseconds since 1970: the next may begin within the same second.
    pub(super) fn began(&self) -> Option<i64> {
        self.record()?["started_ms"].as_i64()
    }

    /// Waits until a boot of the agent other than the one that began at `before` has ended in service.
    pub(super) fn wait_until_in_service(&self, before: Option<i64>) {
        let is_new = || self.began() != before;
        self.wait_for("the box in service", BOOTED, || {
            is_new() && self.record().is_some_and(|record| record["outcome"] == "in_service")
        });
    }

    /// Waits, and shows what the machine says when it was in vain.
    pub(super) fn wait_for(&self, what: &str, within: Duration, question: impl Fn() -> bool) {
        let deadline = Instant::now() + within;
        while !question() {
            if Instant::now() >= deadline {
                panic!("{what} has not come in {within:?}\n{}", self.words());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a person would look at first.
    pub(super) fn words(&self) -> String {
        let said = |output: Output| String::from_utf8_lossy(&output.stdout).into_owned();
        let read = |path: &str| {
            if self.scene.world.exists(path) { self.scene.world.read(path) } else { String::new() }
        };
        format!(
            "{}\n{}\n{}\n{}\n{}",
            said(self.run(&["systemctl", "status", "--no-pager", "--full", "boot-agent", "cloud-final"])),
            said(self.run(&["systemctl", "list-jobs", "--no-pager"])),
            said(self.run(&["journalctl", "--boot", "--no-pager", "--lines=200"])),
            read("/var/log/cloud-init-output.log"),
            read("/var/lib/boot-agent/boot.json"),
        )
    }

    /// Each of the four is absent or wholly what the source holds, and each file of the agent can be read.
    pub(super) fn assert_nothing_torn(&self) {
        for path in PLACED.iter().filter(|path| self.scene.world.exists(path)) {
            assert_eq!(self.scene.world.read(path), self.at_the_source(path), "{path}");
        }
        self.record();
        let order = "/var/lib/boot-agent/order.json";
        if self.scene.world.exists(order) {
            serde_json::from_str::<Value>(&self.scene.world.read(order)).unwrap();
        }
    }

    /// All of it is as after a good boot.
    pub(super) fn assert_in_service(&self) {
        for path in PLACED {
            assert_eq!(self.scene.world.read(path), self.at_the_source(path), "{path}");
            assert_eq!(self.scene.world.mode(path), 0o640, "{path}");
        }
        assert_eq!(self.scene.state(), "InService");
        assert_eq!(self.scene.record()["outcome"], "in_service");
        self.wait_for("the unit's end", BOOTED, || {
            self.property("boot-agent.service", "ActiveState") == "inactive"
        });
        assert_eq!(self.property("boot-agent.service", "Result"), "success");
        let status =
            self.must(&["systemctl", "--no-pager", "show", "--value", "--property=StatusText", "boot-agent"]);
        assert!(status.starts_with("in service after"), "{status}");
    }

    fn at_the_source(&self, path: &str) -> String {
        let name = path.trim_start_matches("/etc/");
        format!("{}\n", self.scene.s3.get(&self.scene.bucket, &format!("services-box/{name}")))
    }

    /// It becomes another instance, made of an image of this one's disk.
    pub(super) fn become_another(
        &mut self,
        instance_id: &str,
        address: &str,
        group: stand_ins::autoscaling::Handle,
        user_data: &str,
    ) {
        assert!(self.power.is_none(), "the machine is on");
        let user_data = user_data.replace("SOURCE", &self.scene.source());
        // The address must be free before it is taken again.
        self.scene.imds = imds::start(imds::Config::default()).unwrap();
        self.scene.imds = metadata(instance_id, address, &user_data);
        self.scene.auto_scaling = group;
        let url = self.scene.auto_scaling.url();
        let drop_in = "/etc/systemd/system/boot-agent.service.d/group.conf";
        self.scene
            .world
            .write(drop_in, format!("[Service]\nEnvironment=AWS_ENDPOINT_URL_AUTO_SCALING={url}\n"));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(power) = self.power.take() {
            power.kill();
        }
        if !thread::panicking() {
            self.kill_containers();
        }
    }
}

fn metadata(instance_id: &str, address: &str, user_data: &str) -> imds::Handle {
    let instance = imds::Instance {
        id: instance_id.to_owned(),
        local_ipv4: address.to_owned(),
        user_data: Some(user_data.as_bytes().to_vec()),
        ..imds::Instance::default()
    };
    // The cloud-init of a container does not see that this is AWS, where it would ask for a token.
    let faults = vec![Fault::TokensOptional];
    let listen = (METADATA, 80).into();
    imds::start(imds::Config { listen, instance, faults, ..imds::Config::default() }).unwrap()
}

pub(super) fn wait_for(what: &str, within: Duration, question: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !question() {
        assert!(Instant::now() < deadline, "{what} has not come in {within:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The machine's own first process, once it is systemd.
fn init(nspawn: i32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).unwrap_or_default();
    let mut children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    children.find(|child| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "systemd")
    })
}

/// Puts this thread, and all that it starts, into the one network namespace of this program's machines. Its loopback
/// has the metadata service's address.
fn enter_network() {
    static NETWORK: OnceLock<fs::File> = OnceLock::new();
    let network = NETWORK.get_or_init(|| {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect(
                "a machine needs a network namespace of its own: run this as root, with CAP_SYS_ADMIN",
            );
            let address = format!("{METADATA}/32");
            for words in [["link", "set", "lo", "up"].as_slice(), &["address", "add", &address, "dev", "lo"]]
            {
                shell::must(Command::new("ip").args(words));
            }
            fs::File::open("/proc/thread-self/ns/net").unwrap()
        });
        made.join().unwrap()
    });
    setns(network, CloneFlags::CLONE_NEWNET).unwrap();
}
