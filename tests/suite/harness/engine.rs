//! Real Docker engines, private to the test program: own data, own socket, no bridge, no firewall rules.
//!
//! An engine is leased to one test at a time and cleaned before each lease. Starting one takes less than a second, and a
//! lease of a running one a few calls of the client, so there are only as many as tests ask for at once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{self, Server, bound};
use super::{parts, shell};

/// More at once would only wait for each other on a small machine.
const MOST: usize = 4;
/// A test that holds an engine for longer is stuck.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Pool {
    idle: Vec<Engine>,
    started: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), started: 0 });
static RETURNED: Condvar = Condvar::new();

/// One `dockerd` with its `containerd`.
struct Engine {
    directory: TempDir,
    server: Option<Server>,
    /// `name:tag id` of the images that every lease begins with.
    base_images: Vec<String>,
}

/// An engine that belongs to one test until the value is dropped.
pub(crate) struct EngineLease {
    engine: Option<Engine>,
}

/// An engine without containers and with the stand-in images alone; waits for one when all are taken.
pub(crate) fn lease() -> EngineLease {
    let mut pool = POOL.lock().unwrap();
    let idle = loop {
        if let Some(engine) = pool.idle.pop() {
            break Some(engine);
        }
        if pool.started < MOST {
            pool.started += 1;
            break None;
        }
        let (again, timeout) = RETURNED.wait_timeout(pool, LONGEST_WAIT).unwrap();
        assert!(!timeout.timed_out(), "no engine came free in {LONGEST_WAIT:?}");
        pool = again;
    };
    drop(pool);
    // From here on a panic must give the place in the pool back, which the lease's end does.
    let mut lease = EngineLease { engine: idle };
    if let Some(engine) = &mut lease.engine {
        engine.clean();
    } else {
        lease.engine = Some(Engine::new());
    }
    lease
}

impl Drop for EngineLease {
    fn drop(&mut self) {
        let Ok(mut pool) = POOL.lock() else { return };
        match self.engine.take() {
            // A test that failed half-way may have left anything: the next one begins on fresh ground.
            Some(engine) if !std::thread::panicking() => pool.idle.push(engine),
            broken => {
                pool.started -= 1;
                drop(pool);
                drop(broken);
            }
        }
        RETURNED.notify_one();
    }
}

impl EngineLease {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("a lease holds an engine until its end")
    }

    fn engine_mut(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("a lease holds an engine until its end")
    }

    /// The address as `DOCKER_HOST` wants it.
    pub(crate) fn docker_host(&self) -> String {
        self.engine().docker_host()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.engine().socket()
    }

    /// `docker ARGUMENTS…` on this engine; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        shell::must(&mut self.engine().client(arguments))
    }

    /// `docker ARGUMENTS…` on this engine, where failure is an answer too.
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        shell::run(&mut self.engine().client(arguments))
    }

    /// Stops the engine as `systemctl stop docker` does: its containers end, its socket goes.
    pub(crate) fn stop(&mut self) {
        self.engine_mut().stop();
    }

    /// Starts it again, with the images and containers it had, and returns when it answers.
    pub(crate) fn start(&mut self) {
        self.engine_mut().start();
    }

    /// The socket stays and accepts, and nobody answers.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let server = self.engine().server.as_ref();
        server.expect("the engine runs").signal(signal);
    }
}

impl Engine {
    fn new() -> Self {
        let mut engine =
            Self { directory: parts::directory("engine"), server: None, base_images: Vec::new() };
        engine.start();
        engine.load_base_images();
        engine.base_images = engine.images();
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        // Debian's own, which is of the engine's release, whatever else is on the PATH.
        let mut command = Command::new("/usr/bin/docker");
        command
            .args(arguments)
            .env("DOCKER_HOST", self.docker_host())
            .env("DOCKER_CONFIG", self.path("client"))
            .env_remove("DOCKER_CONTEXT");
        command
    }

    fn docker(&self, arguments: &[&str]) -> String {
        shell::must(&mut self.client(arguments))
    }

    fn start(&mut self) {
        if self.server.is_some() {
            return;
        }
        let mut command = bound("/usr/sbin/dockerd", Signal::SIGTERM);
        command
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("docker.pid"))
            .arg("--host")
            .arg(self.docker_host())
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            // So that the sweep knows the groups that an engine leaves behind, and whose they were.
            .args(["--cgroup-parent", &format!("/boot-agent-tests-{}", process::run_id())])
            .args(["--storage-driver", storage_driver(self.directory.path())])
            // Retries of a push or pull that a test makes fail would only make it slow.
            .args(["--max-download-attempts", "1"]);
        let mut server = Server::start("dockerd", command, Signal::SIGTERM, self.directory.path());
        server.wait_until(Duration::from_secs(60), || {
            self.socket().exists() && shell::run(&mut self.client(&["version"])).status.success()
        });
        self.server = Some(server);
    }

    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        server.signal(Signal::SIGCONT);
        // The engine gives a container ten seconds to end by itself, and a `sleep` that is process 1 never does.
        let running = shell::run(&mut self.client(&["ps", "--quiet"]));
        let running = String::from_utf8_lossy(&running.stdout).into_owned();
        let running: Vec<&str> = running.split_whitespace().collect();
        if !running.is_empty() {
            shell::run(&mut self.client(&[&["kill"], &running[..]].concat()));
        }
        server.stop();
    }

    /// Back to the base images and no container.
    fn clean(&mut self) {
        match &self.server {
            Some(server) => server.signal(Signal::SIGCONT),
            None => self.start(),
        }
        let containers = self.docker(&["ps", "--all", "--quiet"]);
        let containers: Vec<&str> = containers.split_whitespace().collect();
        if !containers.is_empty() {
            self.docker(&[&["rm", "--force", "--volumes"], &containers[..]].concat());
        }
        let there = self.images();
        if there == self.base_images {
            return;
        }
        for image in there {
            if !self.base_images.contains(&image) {
                let (name, id) = image.split_once(' ').expect("name and id");
                let target = if name.contains("<none>") { id } else { name };
                // An image without a name may have gone with the one before it.
                shell::run(&mut self.client(&["rmi", "--force", target]));
            }
        }
        if self.images() != self.base_images {
            self.load_base_images();
            self.base_images = self.images();
        }
    }

    fn images(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let listed = self.docker(&["image", "ls", "--no-trunc", "--format", format]);
        let mut images: Vec<String> = listed.lines().map(str::to_owned).collect();
        images.sort_unstable();
        images
    }

    /// Makes those that are missing: `busybox`, and what the installer's stand-in starts.
    fn load_base_images(&self) {
        let stand_ins = parts::stand_ins();
        let stand_ins = stand_ins.to_str().expect("a path in UTF-8");
        self.make_images("tests/suite/harness/busybox_image.sh", &[]);
        self.make_images("tests/stand_ins/images.sh", &["--binary", stand_ins]);
    }

    fn make_images(&self, script: &str, arguments: &[&str]) {
        let mut command = Command::new(parts::source(script));
        command.args(arguments);
        command.env("DOCKER_HOST", self.docker_host()).env("DOCKER_CONFIG", self.path("client"));
        shell::must(&mut command);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `overlay2` where the kernel lets it lie on this file system, else `vfs`, which works everywhere and copies.
fn storage_driver(directory: &Path) -> &'static str {
    let path = |name: &str| directory.join(name).display().to_string();
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    let options = format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
    let merged = path("merged");
    let mount = ["-t", "overlay", "overlay", "-o", &options, &merged];
    let works = shell::run(Command::new("mount").args(mount)).status.success();
    if works {
        shell::must(Command::new("umount").arg(&merged));
    }
    if works { "overlay2" } else { "vfs" }
}
