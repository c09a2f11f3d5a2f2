//! A real registry (Debian's `docker-registry`) on the loopback, where Docker speaks plain HTTP without being told to.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::engine::EngineLease;
use super::parts;
use super::process::{Server, bound};

/// The one user of a [`Registry::with_login`].
pub(crate) const USER: &str = "registry-user";
/// That user's password.
pub(crate) const PASSWORD: &str = "registry-password";
/// bcrypt of [`PASSWORD`].
const PASSWORD_HASH: &str = "$2b$05$abcdefghijklmnopqrstuux7DVfxfgfXTmp/9Tsk6HzX2QQGjxePG";

pub(crate) struct Registry {
    server: Server,
    directory: TempDir,
    port: u16,
}

impl Registry {
    /// One that gives and takes without a question.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// One that answers 401 to whoever has not logged in.
    pub(crate) fn with_login() -> Self {
        Self::start_with("auth:\n  htpasswd:\n    realm: test\n    path: DIRECTORY/htpasswd\n")
    }

    fn start_with(auth: &str) -> Self {
        let directory = parts::directory("registry");
        let port = parts::free_port();
        let at = directory.path().display().to_string();
        let settings = format!(
            "version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: DIRECTORY/data\n  \
             delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}"
        );
        fs::write(directory.path().join("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
        fs::write(directory.path().join("registry.yml"), settings.replace("DIRECTORY", &at)).unwrap();
        let server = Self::serve(&directory, port);
        Self { server, directory, port }
    }

    fn serve(directory: &TempDir, port: u16) -> Server {
        let mut command = bound("docker-registry", Signal::SIGTERM);
        command.arg("serve").arg(directory.path().join("registry.yml"));
        let mut server = Server::start("registry", command, Signal::SIGTERM, directory.path());
        server.wait_until(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// `127.0.0.1:PORT`, the first part of a reference to an image here.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts `image`, which `engine` has, here as `name` (`library/thing:1.0`) and takes that name off the engine again.
    /// Returns the reference by digest, `127.0.0.1:PORT/library/thing@sha256:…`.
    pub(crate) fn push(&self, engine: &EngineLease, image: &str, name: &str) -> String {
        let reference = format!("{}/{name}", self.address());
        engine.docker(&["tag", image, &reference]);
        let said = engine.docker(&["push", &reference]);
        engine.docker(&["rmi", &reference]);
        let digest = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"))
            .unwrap_or_else(|| panic!("docker push named no digest:\n{said}"));
        let repository = reference.rsplit_once(':').map_or(&*reference, |(repository, _)| repository);
        format!("{repository}@{digest}")
    }

    /// Logs `engine`'s own client in, so that a test can push to a registry that wants a login.
    pub(crate) fn login(&self, engine: &EngineLease) {
        engine.docker(&["login", "--username", USER, "--password", PASSWORD, &self.address()]);
    }

    /// What it has been asked, one line per request; a test looks here for what was really fetched.
    pub(crate) fn requests(&self) -> String {
        fs::read_to_string(self.directory.path().join("registry.log")).unwrap_or_default()
    }

    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again on the same port, with what it had.
    pub(crate) fn resume(&mut self) {
        self.server = Self::serve(&self.directory, self.port);
    }
}
