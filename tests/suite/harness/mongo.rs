//! Real MongoDB servers, 6.0 and 4.4. The latter still takes commands by `OP_QUERY`, as 3.2 does.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{Server, bound};
use super::{parts, shell};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V6_0,
    V4_4,
}

impl Version {
    fn home(self) -> PathBuf {
        parts::part(match self {
            Self::V6_0 => "mongod-6.0",
            Self::V4_4 => "mongod-4.4",
        })
    }
}

/// A server that is about to be started.
pub(crate) struct Options {
    version: Version,
    arguments: Vec<String>,
    authorization: bool,
    /// What a client must add to its URI to get in, `tls=true&tlsCAFile=…`.
    client_options: String,
}

/// One running server.
pub(crate) struct Mongo {
    options: Options,
    directory: TempDir,
    server: Option<Server>,
    port: u16,
}

/// The four databases of the app, on which the user `circle` has readWrite.
pub(crate) const DATABASES: [&str; 4] =
    ["circle_ghe", "build_state_dev_ghe", "containers_dev_ghe", "remote_containers_dev_ghe"];
/// Password of the user `circle` on `admin`.
pub(crate) const PASSWORD: &str = "circle-password";
/// Password of the user `root` on `admin`.
const ROOT_PASSWORD: &str = "root-password";

impl Options {
    /// A server on its own that demands a login.
    pub(crate) fn new(version: Version) -> Self {
        Self { version, arguments: Vec::new(), authorization: true, client_options: String::new() }
    }

    /// Lets everybody in.
    pub(crate) fn without_login(mut self) -> Self {
        self.authorization = false;
        self
    }

    /// More arguments of `mongod`: `--replSet`, `--tlsMode`, `--setParameter` and their like.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// What this harness's own client needs in its URI to reach such a server.
    pub(crate) fn client_options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.client_options);
        self
    }

    /// Starts it and, where a login is demanded, makes the users `root` and `circle` through the localhost exception. A
    /// member of a replica set has to be initiated first: see [`Self::start_without_users`].
    pub(crate) fn start(self) -> Mongo {
        let mongo = self.start_without_users();
        if mongo.options.authorization {
            mongo.create_users();
        }
        mongo
    }

    /// Starts it, empty.
    pub(crate) fn start_without_users(self) -> Mongo {
        let mut mongo = Mongo {
            options: self,
            directory: parts::directory("mongo"),
            server: None,
            port: parts::free_port(),
        };
        std::fs::create_dir(mongo.directory.path().join("data")).unwrap();
        mongo.resume();
        mongo
    }
}

impl Mongo {
    /// Port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of `database` as the app would have it.
    pub(crate) fn uri(&self, database: &str) -> String {
        let login = format!("circle:{PASSWORD}@");
        self.uri_of(&login, database, "authSource=admin")
    }

    /// What a client must add to its URI to get in.
    pub(crate) fn client_options(&self) -> &str {
        &self.options.client_options
    }

    fn uri_of(&self, login: &str, database: &str, option: &str) -> String {
        let options = [option, &self.options.client_options];
        let options = options.into_iter().filter(|option| !option.is_empty());
        let options: Vec<&str> = options.collect();
        format!("mongodb://{login}127.0.0.1:{}/{database}?{}", self.port, options.join("&"))
    }

    /// `root`, for what `circle` may not do.
    pub(crate) fn root_uri(&self) -> String {
        let login = format!("root:{ROOT_PASSWORD}@");
        let login = if self.options.authorization { &login } else { "" };
        self.uri_of(login, "", "directConnection=true")
    }

    /// Without a login, for what the localhost exception allows.
    pub(crate) fn nobody_uri(&self) -> String {
        self.uri_of("", "", "directConnection=true")
    }

    /// Makes the users `root` and `circle`.
    pub(crate) fn create_users(&self) {
        let nobody = self.nobody_uri();
        let root = format!(r#"{{"createUser": "root", "pwd": "{ROOT_PASSWORD}", "roles": ["root"]}}"#);
        shell::must(&mut client(&nobody, "admin", &[&root]));
        let roles = Self::roles();
        let circle = format!(r#"{{"createUser": "circle", "pwd": "{PASSWORD}", "roles": {roles}}}"#);
        self.command("admin", &[&circle]);
    }

    /// The roles of `circle`, in JSON.
    pub(crate) fn roles() -> String {
        let roles = DATABASES.map(|database| format!(r#"{{"role": "readWrite", "db": "{database}"}}"#));
        format!("[{}]", roles.join(", "))
    }

    /// Runs commands (extended JSON) as `root`; the answer to the last one.
    pub(crate) fn command(&self, database: &str, commands: &[&str]) -> String {
        shell::must(&mut client(&self.root_uri(), database, commands))
    }

    /// Runs commands as whoever `uri` says, where failure is an answer.
    pub(crate) fn try_command(uri: &str, database: &str, commands: &[&str]) -> Output {
        shell::run(&mut client(uri, database, commands))
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Ends it as a power cut does. A member of a replica set takes many seconds to stop in order.
    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal(Signal::SIGKILL);
        }
    }

    /// Stands still: its port accepts, and nobody answers.
    pub(crate) fn signal(&self, signal: Signal) {
        self.server.as_ref().expect("the server runs").signal(signal);
    }

    /// Starts it again with the data it had, and returns when it listens.
    pub(crate) fn resume(&mut self) {
        let home = self.options.version.home();
        let mut command = bound(home.join("bin/mongod"), Signal::SIGTERM);
        command
            .args(["--bind_ip", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dbpath")
            .arg(self.directory.path().join("data"))
            // Its default is half of the machine's memory, and there are several at once.
            .args(["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"])
            // Its journal would be two files of 100 MB, written in advance.
            .args(["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=8MB)"])
            .args(self.options.authorization.then_some("--auth"))
            .args(&self.options.arguments)
            .env("LD_LIBRARY_PATH", home.join("lib"));
        let mut server = Server::start("mongod", command, Signal::SIGTERM, self.directory.path());
        server.wait_until(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.server = Some(server);
    }

    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Server::log_tail).unwrap_or_default()
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if std::thread::panicking() && self.server.is_some() {
            eprintln!("mongod on port {} said last:\n{}", self.port, self.log());
        }
    }
}

fn client(uri: &str, database: &str, commands: &[&str]) -> Command {
    let mut command = Command::new(parts::part("venv/bin/python"));
    command.arg(parts::source("tests/suite/harness/mongo_command.py")).args([uri, database]).args(commands);
    command
}
