//! Real PostgreSQL 15 servers: own data, own port, own `pg_hba.conf`.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::certificates::{Certificate, give};
use super::process::{Server, bound_as};
use super::{parts, shell};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The system's user that owns the servers; PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// Passwords over TCP, and the superuser without one through the socket that no agent knows.
const HBA: &str = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// One server. It has the database `circle` of the role `circle`, whose password is [`Postgres::PASSWORD`].
pub(crate) struct Postgres {
    directory: TempDir,
    server: Option<Server>,
    port: u16,
}

impl Postgres {
    /// Of the role `circle`.
    pub(crate) const PASSWORD: &'static str = "circle-password";

    /// A server that lets `circle` in by password over TCP, without TLS.
    pub(crate) fn start() -> Self {
        let mut postgres = Self::stopped();
        postgres.resume();
        postgres.sql("postgres", &format!("create role circle login password '{}'", Self::PASSWORD));
        postgres.sql("postgres", "create database circle owner circle");
        postgres
    }

    /// The same with TLS on offer, under `certificate`.
    pub(crate) fn with_tls(certificate: &Certificate) -> Self {
        let mut postgres = Self::start();
        postgres.use_certificate(certificate);
        postgres
    }

    /// A server's files without the server, and without `circle`: a place to write settings before [`Self::resume`].
    pub(crate) fn stopped() -> Self {
        let directory = parts::directory("postgres");
        let postgres = Self { port: parts::free_port(), server: None, directory };
        shell::must(Command::new("cp").arg("-a").arg(parts::part("postgres-cluster")).arg(postgres.data()));
        shell::must(Command::new("chown").arg(USER).arg(postgres.directory.path()));
        postgres.set(&format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_buffers = '16MB'\nmax_connections = 20\nlog_connections = on",
            postgres.port,
            postgres.directory.path().display()
        ));
        postgres.write_hba(HBA);
        postgres
    }

    /// Port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address as the app would have it.
    pub(crate) fn uri(&self) -> String {
        format!("postgres://circle:{}@127.0.0.1:{}/circle", Self::PASSWORD, self.port)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Where the server's own socket `.s.PGSQL.PORT` lies.
    pub(crate) fn socket_directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Adds lines to `postgresql.conf`; the last one of a name counts. For [`Self::reload`] or the next start.
    pub(crate) fn set(&self, lines: &str) {
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{lines}\n")).unwrap();
    }

    /// Replaces `pg_hba.conf`. Keep a line that lets the local superuser in, or [`Self::sql`] cannot.
    pub(crate) fn write_hba(&self, lines: &str) {
        fs::write(self.data().join("pg_hba.conf"), lines).unwrap();
    }

    /// Puts `certificate` in place and reloads.
    pub(crate) fn use_certificate(&mut self, certificate: &Certificate) {
        for (from, name) in [(&certificate.certificate, "server.pem"), (&certificate.key, "server.key")] {
            let to = self.data().join(name);
            fs::copy(from, &to).unwrap();
            give(&to, USER);
        }
        self.set("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'");
        self.reload();
    }

    /// Makes changed settings count, as far as they do without a restart, and waits until they do.
    pub(crate) fn reload(&self) {
        let loaded = || self.sql("postgres", "select pg_conf_load_time()");
        let before = loaded();
        self.sql("postgres", "select pg_reload_conf()");
        for _ in 0..100 {
            if loaded() != before {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server has not read its settings again in five seconds");
    }

    /// Runs one statement as superuser through the server's own socket.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        shell::must(&mut self.psql(database, statement))
    }

    /// The same, where failure is an answer.
    pub(crate) fn try_sql(&self, database: &str, statement: &str) -> Output {
        shell::run(&mut self.psql(database, statement))
    }

    fn psql(&self, database: &str, statement: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--username=postgres", "--dbname", database, "--command", statement])
            .arg(format!("--port={}", self.port))
            .arg(format!("--host={}", self.directory.path().display()));
        command
    }

    /// Ends the server at once; connections to it are refused from now on.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it, or again, with the data it had, and returns when it lets the superuser in.
    pub(crate) fn resume(&mut self) {
        let mut server = self.launch();
        server.wait_until(Duration::from_secs(60), || self.try_sql("postgres", "select 1").status.success());
        self.server = Some(server);
    }

    /// Starts it and returns when it listens, ready or not: for a server that is meant to stay starting up.
    pub(crate) fn resume_unready(&mut self) {
        let mut server = self.launch();
        server.wait_until(Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.server = Some(server);
    }

    fn launch(&self) -> Server {
        // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        let mut command = bound_as(USER, format!("{PROGRAMS}/postgres"), Signal::SIGINT);
        command.arg("-D").arg(self.data());
        Server::start("postgres", command, Signal::SIGINT, self.directory.path())
    }

    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Server::log_tail).unwrap_or_default()
    }
}
