//! PostgreSQL URIs, parsed like libpq (`conninfo_uri_parse` in `fe-connect.c`).
//!
//! Stricter in one respect: reserved characters in the credentials are rejected even where libpq accepts them, since
//! the app's other readers of the URI do not.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Host, Password, Product, Server, UriError};
use super::parameters::Parameters;
use super::scan::{self, Parts, error, error_at};
use crate::cause::Cause;
use crate::kind::Kind;

const KIND: Product = Product::Postgres;

/// Where Debian's and Red Hat's libpq look for the socket when no host is named.
pub(super) const DEFAULT_SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// How TLS is wanted, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plaintext first, TLS if the server rejects that.
    Allow,
    /// TLS when the server has it. The default.
    Prefer,
    /// TLS; the certificate is verified against a CA only if the file of `sslrootcert` exists.
    Require,
    /// TLS with a certificate of a known CA.
    VerifyCa,
    /// As `VerifyCa`, and the certificate must carry the server's name.
    VerifyFull,
}

impl SslMode {
    /// The word in the URI.
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

/// What libpq's `sslrootcert` names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RootCert {
    /// `~/.postgresql/root.crt`, if it exists.
    Default,
    /// The system's own store (`sslrootcert=system`).
    System,
    /// A file.
    File(PathBuf),
}

/// Everything a URI says about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslrootcert`.
    pub root_cert: RootCert,
    /// `sslcert`; libpq's default is `~/.postgresql/postgresql.crt`, if it exists.
    pub cert: Option<PathBuf>,
    /// `sslkey`; libpq's default is `~/.postgresql/postgresql.key`.
    pub key: Option<PathBuf>,
    /// `sslpassword`, for the key.
    pub key_password: Option<Password>,
    /// `sslcrl`.
    pub revocation_list: Option<PathBuf>,
    /// Whether the server's name is sent in the handshake (`sslsni`, on by default).
    pub server_name_indication: bool,
    /// `ssl_min_protocol_version`, in capitals as in `TLSV1.2`; libpq's default is TLS 1.2.
    pub min_version: Option<String>,
    /// `ssl_max_protocol_version`, likewise.
    pub max_version: Option<String>,
    /// `sslnegotiation=direct`: the handshake starts without asking (PostgreSQL 17).
    pub direct: bool,
    /// `sslcertmode=disable`: no client certificate is sent even if there is one.
    pub send_no_cert: bool,
}

/// Which servers of a list are acceptable, as libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionTarget {
    /// The first that lets in. The default.
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, otherwise any.
    PreferStandby,
}

/// Whether something must, may or must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Never.
    Disable,
    /// If the server has it.
    Prefer,
    /// Or fail.
    Require,
}

/// A PostgreSQL URI that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUri {
    /// The servers in the order in which to try them; never empty.
    pub servers: Vec<Server>,
    /// The role; libpq defaults to the operating system's user.
    pub user: Option<String>,
    /// The password, if any.
    pub password: Option<Password>,
    /// The database; libpq defaults to the role's name.
    pub database: Option<String>,
    /// TLS.
    pub tls: Tls,
    /// `target_session_attrs`.
    pub target: SessionTarget,
    /// `connect_timeout`; zero and negative ones mean none and are left out.
    pub connect_timeout: Option<Duration>,
    /// `options`: command-line options for the server's process.
    pub options: Option<String>,
    /// `application_name`, or `fallback_application_name`.
    pub application_name: Option<String>,
    /// `channel_binding`.
    pub channel_binding: Wish,
    /// `require_auth`, as written.
    pub require_auth: Option<String>,
    /// Warnings about what works but is probably not intended.
    pub warnings: Vec<Cause>,
    shown: String,
}

impl PostgresUri {
    /// The URI with every secret replaced.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The database that a login with this URI opens: the named one, or the one called like the role.
    pub fn effective_database(&self) -> Option<&str> {
        self.database.as_deref().or(self.user.as_deref())
    }
}

/// Reads a PostgreSQL URI.
///
/// # Errors
/// What is wrong with it and where.
pub fn parse(text: &str) -> Result<PostgresUri, UriError> {
    let parts = scan::cut(KIND, text)?;
    let pairs = match parts.query {
        Some(query) => scan::pairs(KIND, query)?,
        None => Vec::new(),
    };
    let shown = scan::shown(text, &parts, &pairs);
    let mut parameters = Parameters::check(pairs)?;
    let mut warnings = Vec::new();

    let user = named(&mut parameters, "user", parts.user)?;
    let password = named(&mut parameters, "password", parts.password)?.map(Password::from);
    let database = named(&mut parameters, "dbname", parts.path)?;
    warnings.extend(emptied(&parameters, &parts));
    let servers = servers(&mut parameters, &parts)?;
    warnings.extend(local_only(&servers));
    warnings.extend(parameters.jdbc_only());
    warnings.extend(elsewhere(&parameters));
    if parameters.is_emptied("user") {
        return Err(error(
            KIND,
            "has an empty user= parameter, which overrides the user before the @",
            "Remove user= from the parameters, or write the user there.",
        ));
    }
    if user.is_none() {
        warnings.push(Cause::config(
            Kind::PostgresUriNoUser,
            "The PostgreSQL URI has no user, so the client would use the name of the operating system's user.",
            "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
        ));
    }
    let tls = tls(&mut parameters);
    Ok(PostgresUri {
        servers,
        user,
        password,
        database,
        tls,
        target: target(parameters.take("target_session_attrs").as_deref()),
        connect_timeout: connect_timeout(parameters.take("connect_timeout").as_deref()),
        options: parameters.take("options"),
        application_name: parameters
            .take("application_name")
            .or_else(|| parameters.take("fallback_application_name")),
        channel_binding: wish(parameters.take("channel_binding").as_deref()),
        require_auth: parameters.take("require_auth"),
        warnings,
        shown,
    })
}

/// A part of the URI that a parameter may override.
fn named(
    parameters: &mut Parameters,
    name: &str,
    part: Option<scan::Span<'_>>,
) -> Result<Option<String>, UriError> {
    let decoded = part.map(|piece| scan::decode(KIND, piece)).transpose()?;
    let overriding = parameters.take_given(name).map(|(value, _)| value);
    Ok(overriding.or(decoded).filter(|value| !value.is_empty()))
}

/// Parameters that refer to files in the app's container, which are not read here.
fn elsewhere(parameters: &Parameters) -> Option<Cause> {
    let named: Vec<&str> = ["service", "servicefile", "passfile"]
        .into_iter()
        .filter(|name| parameters.get(name).is_some())
        .collect();
    (!named.is_empty()).then(|| {
        Cause::config(
            Kind::PostgresUriFile,
            format!(
                "The PostgreSQL URI takes values from a file with {}, which neither boot-agent nor the JDBC driver supports.",
                named.join(" and ")
            ),
            "Write host, user, password and database in the URI itself.",
        )
    })
}

/// A parameter without a value takes away what stands in front of the `?`.
fn emptied(parameters: &Parameters, parts: &Parts<'_>) -> Option<Cause> {
    let has = |piece: Option<scan::Span<'_>>| piece.is_some_and(|piece| !piece.text.is_empty());
    let has_port = parts.hosts.text.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let names: Vec<&str> = [
        ("password", has(parts.password)),
        ("dbname", has(parts.path)),
        ("host", has(Some(parts.hosts))),
        ("port", has_port),
    ]
    .into_iter()
    .filter(|(name, is_there)| *is_there && parameters.is_emptied(name))
    .map(|(name, _)| name)
    .collect();
    (!names.is_empty()).then(|| {
        let written = names.iter().map(|name| format!("{name}=")).collect::<Vec<_>>().join(" and ");
        Cause::config(
            Kind::PostgresUriEmptied,
            format!("{written} in the PostgreSQL URI has no value and overrides what is before the ? with nothing."),
            format!("Remove {written}."),
        )
    })
}

fn servers(parameters: &mut Parameters, parts: &Parts<'_>) -> Result<Vec<Server>, UriError> {
    let entries = scan::entries(KIND, parts.hosts)?;
    // A comma is a separator for libpq also where it was percent-encoded.
    let mut hosts: Vec<(String, bool, usize)> = entries
        .iter()
        .flat_map(|entry| entry.host.split(',').map(|host| (host.to_owned(), entry.in_brackets, entry.at)))
        .collect();
    let mut ports = entries
        .iter()
        .map(|entry| match entry.port {
            Some(port) => Ok((scan::decode(KIND, port)?, port.at)),
            None => Ok((String::new(), entry.at)),
        })
        .collect::<Result<Vec<(String, usize)>, UriError>>()?;
    if let Some((value, at)) = parameters.take_given("host") {
        hosts = value.split(',').map(|host| (host.to_owned(), false, at)).collect();
    }
    if let Some((value, at)) = parameters.take_given("port") {
        ports = value.split(',').map(|port| (port.to_owned(), at)).collect();
    }
    let addresses = match parameters.take_placed("hostaddr") {
        Some((value, at)) => value.split(',').map(|text| address(text, at)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    // With hostaddr alone there are as many servers as addresses.
    let nothing_named = hosts.iter().all(|(host, _, _)| host.is_empty());
    if nothing_named && !addresses.is_empty() {
        hosts = vec![(String::new(), false, parts.hosts.at); addresses.len()];
    }
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err(error(
            KIND,
            format!("has {} hosts and {} hostaddr values", hosts.len(), addresses.len()),
            "Give one hostaddr for each host, or none.",
        ));
    }
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(error(
            KIND,
            format!("has {} ports and {} hosts", ports.len(), hosts.len()),
            "Give one port for all hosts, or one for each.",
        ));
    }
    let one_for_all = ports.len() == 1;
    hosts
        .into_iter()
        .enumerate()
        .map(|(index, (host, in_brackets, at))| {
            let (port, port_at) = &ports[if one_for_all { 0 } else { index }];
            let port = scan::port(KIND, port, *port_at)?;
            let address = addresses.get(index).copied().flatten();
            let host = match (host.as_str(), address) {
                ("", Some(address)) => Host::Address(address),
                ("", None) => Host::Socket(PathBuf::from(DEFAULT_SOCKET_DIRECTORY)),
                (socket, _) if socket.starts_with(['/', '@']) => Host::Socket(PathBuf::from(socket)),
                (name, _) => scan::network_host(KIND, name, in_brackets, at)?,
            };
            Ok(Server { host, address, port })
        })
        .collect()
}

fn address(text: &str, at: usize) -> Result<Option<IpAddr>, UriError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        error_at(
            KIND,
            at,
            "has a hostaddr that is not an IP address",
            "Write a numeric address in hostaddr, or the name in host.",
        )
    })
}

fn local_only(servers: &[Server]) -> Option<Cause> {
    let default = Host::Socket(PathBuf::from(DEFAULT_SOCKET_DIRECTORY));
    let first = servers.first().filter(|_| servers.iter().all(|server| server.host == default))?;
    let socket = first.socket_path(KIND)?;
    Some(
        Cause::config(
            Kind::PostgresUriNoHost,
            "The PostgreSQL URI has no host, so the client would connect to this machine.",
            "Write the database's host name after the @.",
        )
        .with("socket", socket.display()),
    )
}

fn tls(parameters: &mut Parameters) -> Tls {
    let root_cert = match parameters.take("sslrootcert") {
        Some(system) if system == "system" => RootCert::System,
        Some(file) => RootCert::File(file.into()),
        None => RootCert::Default,
    };
    let mode = match parameters.take("sslmode").as_deref() {
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        None if root_cert == RootCert::System => SslMode::VerifyFull,
        _ => SslMode::Prefer,
    };
    Tls {
        mode,
        root_cert,
        cert: parameters.take("sslcert").map(PathBuf::from),
        key: parameters.take("sslkey").map(PathBuf::from),
        key_password: parameters.take("sslpassword").map(Password::from),
        revocation_list: parameters.take("sslcrl").map(PathBuf::from),
        server_name_indication: parameters.take("sslsni").as_deref() != Some("0"),
        min_version: parameters.take("ssl_min_protocol_version").map(|version| version.to_ascii_uppercase()),
        max_version: parameters.take("ssl_max_protocol_version").map(|version| version.to_ascii_uppercase()),
        direct: parameters.take("sslnegotiation").as_deref() == Some("direct"),
        send_no_cert: parameters.take("sslcertmode").as_deref() == Some("disable"),
    }
}

fn target(word: Option<&str>) -> SessionTarget {
    match word {
        Some("read-write") => SessionTarget::ReadWrite,
        Some("read-only") => SessionTarget::ReadOnly,
        Some("primary") => SessionTarget::Primary,
        Some("standby") => SessionTarget::Standby,
        Some("prefer-standby") => SessionTarget::PreferStandby,
        _ => SessionTarget::Any,
    }
}

fn wish(word: Option<&str>) -> Wish {
    match word {
        Some("disable") => Wish::Disable,
        Some("require") => Wish::Require,
        _ => Wish::Prefer,
    }
}

fn connect_timeout(value: Option<&str>) -> Option<Duration> {
    let seconds = value?.trim().parse::<u64>().ok().filter(|seconds| *seconds > 0)?;
    // libpq rounds one second up to two, since it counts whole seconds.
    Some(Duration::from_secs(seconds.max(2)))
}
