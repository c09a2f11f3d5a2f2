//! A real PgBouncer in front of a PostgreSQL.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::certificates::give;
use super::process::{Server, bound_as};
use super::{parts, shell};

/// One pooler. Its own log is in what a failed start says.
pub(crate) struct PgBouncer {
    _directory: TempDir,
    _server: Server,
    port: u16,
}

impl PgBouncer {
    /// The user of its admin console, with the password of the same name.
    pub(crate) const ADMIN: &'static str = "pooladmin";

    /// With these lines in `[databases]` and these more in `[pgbouncer]`, and these users with their passwords.
    pub(crate) fn start(databases: &str, settings: &str, users: &[(&str, &str)]) -> Self {
        let directory = parts::directory("pgbouncer");
        shell::must(Command::new("chown").arg("postgres").arg(directory.path()));
        let port = parts::free_port();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let list: Vec<String> = users
            .iter()
            .chain([&(Self::ADMIN, Self::ADMIN)])
            .map(|(user, password)| format!("{} {}\n", quoted(user), quoted(password)))
            .collect();
        let (users, configuration) =
            (directory.path().join("users.txt"), directory.path().join("pgbouncer.ini"));
        fs::write(&users, list.concat()).unwrap();
        let text = format!(
            "[databases]\n{databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\nadmin_users = {}\npool_mode = transaction\n{settings}\n",
            users.display(),
            Self::ADMIN,
        );
        fs::write(&configuration, text).unwrap();
        give(&users, "postgres");
        give(&configuration, "postgres");
        let mut command = bound_as("postgres", "/usr/sbin/pgbouncer", Signal::SIGTERM);
        command.arg(configuration);
        let mut server = Server::start("pgbouncer", command, Signal::SIGTERM, directory.path());
        server.wait_until(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { _directory: directory, _server: server, port }
    }

    /// Port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Gives a command to the admin console.
    pub(crate) fn command(&self, command: &str) {
        let console = format!("postgres://{0}:{0}@127.0.0.1:{1}/pgbouncer", Self::ADMIN, self.port);
        shell::must(Command::new("psql").args(["--no-psqlrc", "--quiet", &console, "--command", command]));
    }
}
