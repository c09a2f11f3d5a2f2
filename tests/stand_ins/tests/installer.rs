//! The installer's stand-in, against a real Docker Engine of its own: run as root, with `dockerd`, `docker` and
//! `busybox-static` installed.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");
const READY: Duration = Duration::from_secs(90);
const FLAGS: [&str; 5] =
    ["no-docker", "skip_pull", "local-address=10.0.1.23", "no-public-address", "skip-preflights"];

/// An engine without a network of its own, and a root for the installer.
struct Services {
    directory: tempfile::TempDir,
    engine: Child,
}

impl Services {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let engine = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false"])
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("docker.sock").display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let made = Self { directory, engine };
        let end = Instant::now() + READY;
        while !made.docker(&["version"]).status.success() {
            assert!(Instant::now() < end, "{}", std::fs::read_to_string(made.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(100));
        }
        let images = made
            .command(format!("{CRATE}/images.sh"))
            .args(["--binary", env!("CARGO_BIN_EXE_stand-ins")])
            .output();
        assert!(images.unwrap().status.success());
        std::fs::create_dir_all(made.path("root/etc")).unwrap();
        std::fs::create_dir_all(made.script("")).unwrap();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn script(&self, name: &str) -> PathBuf {
        self.path("root/var/lib/replicated/stand-in").join(name)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("DOCKER_HOST", format!("unix://{}", self.path("docker.sock").display()));
        command.env("STAND_IN_ROOT", self.path("root")).stdin(Stdio::null());
        command
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        self.command("docker").args(arguments).output().unwrap()
    }

    /// Runs it with a curl that answers with the operator's script, since nothing here reaches the vendor.
    fn install(&self, flags: &[&str]) -> Output {
        let bin = self.path("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("curl"), format!("#!/bin/sh\nexec cat '{CRATE}/replicated-operator.sh'\n"))
            .unwrap();
        std::fs::set_permissions(bin.join("curl"), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = self.command("bash");
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        command.arg(format!("{CRATE}/replicated-install.sh")).args(flags).output().unwrap()
    }

    fn running(&self) -> Vec<String> {
        let listed = self.docker(&["ps", "--format", "{{.Names}}"]);
        let mut names: Vec<_> =
            String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn clear(&self) {
        self.docker(&["rm", "-f", "replicated", "replicated-ui", "replicated-operator", "frontend"]);
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.clear();
        // A polite end, so that the engine ends its containerd and unmounts what it mounted.
        let _ = Command::new("kill").arg(self.engine.id().to_string()).status();
        let _ = self.engine.wait();
        // The engine leaves this mount behind, and the directory could not be removed.
        let _ = Command::new("umount").arg(self.path("exec/netns/default")).status();
    }
}

fn health(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /health-check HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or("closed").to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_installs_declines_fails_and_leaks_as_the_real_one() {
    let services = Services::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(services.script("port"), port.to_string()).unwrap();
    std::fs::write(services.script("timeline"), "0 starting started true 503\n").unwrap();
    let conf = services.path("root/etc/replicated.conf");
    std::fs::write(
        &conf,
        "{\n \"DaemonAuthenticationPassword\": \"p@ss/w:rd\",\n \"DaemonToken\": \"tok-1\"\n}\n",
    )
    .unwrap();
    std::fs::set_permissions(&conf, PermissionsExt::from_mode(0o640)).unwrap();
    let four = ["frontend", "replicated", "replicated-operator", "replicated-ui"];

    assert_eq!(services.install(&["bogus=1"]).status.code(), Some(1), "an unknown flag");
    let declined = services.install(&["local-address=10.0.1.23"]);
    assert_eq!(declined.status.code(), Some(0), "Docker is newer than the pin");
    assert!(services.running().is_empty(), "and yet nothing is installed");

    let installed = services.install(&[&FLAGS[..], &["release-sequence=5"]].concat());
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    assert_eq!(services.running(), four);
    assert_eq!(std::fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o644);
    let status = services.docker(&["exec", "replicated", "replicatedctl", "app", "status"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status[0]["State"], &status[0]["IsTransitioning"]), (&"starting".into(), &true.into()));
    assert_eq!(health(port), "503");
    std::fs::write(services.script("timeline"), "0 started started false 200\n").unwrap();
    assert_eq!(health(port), "200", "the timeline may change while the app runs");

    services.docker(&["rm", "-f", "replicated"]);
    services.docker(&["create", "--name", "replicated", "circleci/frontend:2.18.3"]);
    let again = services.install(&[
        "no-docker",
        "skip-pull",
        "private_address=10.0.1.99",
        "no-public-address",
        "release-sequence=6",
    ]);
    assert!(again.status.success(), "over the leftovers of a killed run: {}", text(&again.stderr));
    let defaults = std::fs::read_to_string(services.path("root/etc/default/replicated")).unwrap();
    assert!(defaults.contains("PRIVATE_ADDRESS=10.0.1.99\n"), "{defaults}");
    assert!(defaults.contains("-e RELEASE_SEQUENCE=5 "), "the old one stays: {defaults}");
    services.clear();

    let mode = |mode: &str| {
        std::fs::write(services.script("mode"), mode).unwrap();
        services.clear();
        services.install(&FLAGS)
    };
    assert_eq!(mode("exit-1").status.code(), Some(1));
    assert_eq!(mode("nothing").status.code(), Some(0));
    assert!(services.running().is_empty());
    assert_eq!(mode("noise").stdout.len() / 50_000_000, 1);
    assert_eq!(services.running(), four);
    let leaked = text(&mode("leak").stdout);
    for form in [
        "Using DaemonAuthenticationPassword p@ss/w:rd\n",
        "admin:p%40ss%2Fw%3Ard@",
        "{\"DaemonToken\": \"tok-1\"}",
        "xp@ss/w:rdx",
    ] {
        assert!(leaked.contains(form), "{form}");
    }
    assert_eq!(mode("missing-one").status.code(), Some(0));
    assert_eq!(services.running(), ["frontend", "replicated", "replicated-ui"]);
    assert!(mode("old-release\n").status.success());
    let status = services.docker(&["exec", "replicated", "replicated", "apps"]);
    assert!(text(&status.stdout).contains("started"));
    assert!(!services.docker(&["exec", "replicated", "replicatedctl", "version"]).status.success());
}

/// Reads what a run without an end prints until it is `at_least` so much, and ends its whole group.
fn endless(mut command: Command, at_least: usize, polite_first: bool) -> usize {
    let mut child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (said, enough) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut buffer) = (0, vec![0; 64 * 1024]);
        loop {
            match stdout.read(&mut buffer).unwrap() {
                0 => return bytes,
                count => bytes += count,
            }
            if bytes >= at_least {
                let _ = said.send(());
            }
        }
    });
    enough.recv_timeout(READY).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it has no end of its own");
    let group = format!("-{}", child.id());
    let signal = |name: &str| Command::new("kill").args([name, "--", &group]).status().unwrap();
    if polite_first {
        signal("-TERM");
        std::thread::sleep(Duration::from_millis(500));
        assert!(!reader.is_finished(), "a child that ignores TERM still holds the pipe");
    }
    signal("-KILL");
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn it_loops_without_an_address_and_when_told() {
    let root = tempfile::tempdir().unwrap();
    let script = root.path().join("var/lib/replicated/stand-in");
    std::fs::create_dir_all(&script).unwrap();
    let run = |flags: &[&str]| {
        let mut command = Command::new("bash");
        command.arg(format!("{CRATE}/replicated-install.sh")).args(flags);
        command.env("STAND_IN_ROOT", root.path()).stdin(Stdio::null());
        command
    };
    std::fs::write(script.join("mode"), "loop\n").unwrap();
    assert!(endless(run(&FLAGS), 1, true) > 0);
    std::fs::remove_file(script.join("mode")).unwrap();

    // `no-docker` wants a `dockerd` among the processes: a name is enough.
    let mut named = Command::new("sleep");
    let mut named =
        std::os::unix::process::CommandExt::arg0(&mut named, "dockerd-named").arg("600").spawn().unwrap();
    let printed = endless(run(&["no-docker", "local-address="]), 200_000, false);
    named.kill().unwrap();
    named.wait().unwrap();
    assert!(printed >= 200_000);
}
