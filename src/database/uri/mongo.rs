//! MongoDB connection strings, by the drivers' common specification.
//!
//! What drivers ignore is a warning: an unknown option, an invalid boolean, a number out of range. What the app's Java
//! driver rejects is an error, even where the specification wants a warning.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Host, Password, Product, Server, UriError};
use super::conflicts;
use super::java::{self, OldDriver};
use super::options::{MECHANISMS, Options};
use super::scan::{self, Parts, error, error_at};
use crate::cause::Cause;
use crate::kind::Kind;

const KIND: Product = Product::Mongo;

/// Where the seeds come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seeds {
    /// Written out; never empty.
    Servers(Vec<Server>),
    /// `mongodb+srv`: the `SRV` records of `_SERVICE._tcp.NAME`, and options from the `TXT` record of `NAME`.
    Srv {
        /// The name in the URI.
        name: String,
        /// `srvServiceName`, by default `mongodb`.
        service: String,
        /// `srvMaxHosts`; zero means all.
        at_most: usize,
    },
}

/// Everything a connection string says about TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// `tls` or `ssl`; on by default for `mongodb+srv` alone.
    pub on: bool,
    /// `tlsCAFile`; without it the system's store counts.
    pub ca_file: Option<PathBuf>,
    /// `tlsCertificateKeyFile`: certificate and key in one PEM file.
    pub certificate_key_file: Option<PathBuf>,
    /// `tlsCertificateKeyFilePassword`.
    pub key_password: Option<Password>,
    /// `tlsAllowInvalidCertificates`, or implied by `tlsInsecure`.
    pub allow_invalid_certificates: bool,
    /// `tlsAllowInvalidHostnames`, or implied by `tlsInsecure` or `tlsAllowInvalidCertificates`.
    pub allow_invalid_hostnames: bool,
}

/// How to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; optional with X.509, which uses the certificate's subject.
    pub user: Option<String>,
    /// The password, which SCRAM and PLAIN need.
    pub password: Option<Password>,
    /// `authMechanism` in canonical spelling; without it, SCRAM is negotiated with the server.
    pub mechanism: Option<&'static str>,
    /// The database that knows the user: `authSource`, else the database of the URI, else `admin`; `$external` for
    /// users that live outside.
    pub source: String,
    /// Whether `authSource` was written, rather than inferred.
    pub source_written: bool,
}

/// A MongoDB connection string that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoUri {
    /// The seeds.
    pub seeds: Seeds,
    /// How to log in; `None` if the URI has neither user nor mechanism.
    pub credentials: Option<Credentials>,
    /// The database after the `/`, which the app uses.
    pub database: Option<String>,
    /// `replicaSet`.
    pub replica_set: Option<String>,
    /// TLS.
    pub tls: Tls,
    /// `directConnection`.
    pub direct_connection: bool,
    /// `loadBalanced`.
    pub load_balanced: bool,
    /// `readPreference` in its canonical spelling, if given.
    pub read_preference: Option<String>,
    /// `connectTimeoutMS`; zero means none and is left out.
    pub connect_timeout: Option<Duration>,
    /// `appName`.
    pub app_name: Option<String>,
    /// How the app's own, older driver reads it.
    pub old_driver: OldDriver,
    /// Warnings about what works but is probably not intended.
    pub warnings: Vec<Cause>,
    shown: String,
}

impl MongoUri {
    /// The URI with every secret replaced.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether `other` uses the same login; only the database may differ.
    pub fn shares_login(&self, other: &MongoUri) -> bool {
        let alike = |uri: &MongoUri| MongoUri {
            database: None,
            read_preference: None,
            connect_timeout: None,
            app_name: None,
            warnings: Vec::new(),
            shown: String::new(),
            ..uri.clone()
        };
        alike(self) == alike(other)
    }

    /// Whether a single server may be part of a replica set: without `replicaSet`, a driver talks to that server only
    /// and does not follow a failover. Only the server knows whether it matters.
    pub fn is_single_seed(&self) -> bool {
        matches!(&self.seeds, Seeds::Servers(servers) if servers.len() == 1)
            && self.replica_set.is_none()
            && !self.load_balanced
    }

    /// Applies the options of a `mongodb+srv` name's `TXT` record (`authSource=…&replicaSet=…&loadBalanced=…`); what
    /// the URI itself says wins. Anything else in the record is an error by the specification.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn apply_txt(&mut self, record: &str) -> Result<(), UriError> {
        let pairs = scan::pairs(KIND, scan::Span { text: record, at: 0 })?;
        for pair in pairs {
            match pair.key.as_str() {
                "authSource" => {
                    if let Some(credentials) = &mut self.credentials
                        && !credentials.source_written
                    {
                        credentials.source = pair.value;
                        credentials.source_written = true;
                    }
                }
                "replicaSet" => {
                    self.replica_set.get_or_insert(pair.value);
                }
                "loadBalanced" => self.load_balanced |= pair.value.eq_ignore_ascii_case("true"),
                _ => {
                    return Err(error(
                        KIND,
                        "has a TXT record with an option other than authSource, replicaSet and loadBalanced",
                        "Correct the TXT record of the name in the URI.",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Reads a MongoDB connection string.
///
/// # Errors
/// What is wrong with it and where.
pub fn parse(text: &str) -> Result<MongoUri, UriError> {
    let parts = scan::cut(KIND, text)?;
    if parts.path.is_none()
        && let Some(query) = parts.query
    {
        return Err(error_at(
            KIND,
            query.at - 1,
            "has options without a / before the ?, which older drivers reject",
            "Write a / between the hosts and the ?.",
        ));
    }
    let mut warnings = Vec::new();
    let mut pairs = Vec::new();
    for piece in parts.query.iter().flat_map(|query| query.split(';')) {
        // Java drivers end options there as well.
        if piece.at > parts.query.map_or(0, |query| query.at) && warnings.is_empty() {
            warnings.push(
                Cause::config(
                    Kind::MongoUriSemicolon,
                    "The MongoDB URI has a ; in its options: Java drivers treat it as a separator, others as part of a value.",
                    "Write & between options, and %3B for a ; within a value.",
                )
                .with("column", piece.at),
            );
        }
        pairs.extend(scan::pairs(KIND, piece)?);
    }
    let shown = scan::shown(text, &parts, &pairs);
    let options = Options::check(pairs, &mut warnings)?;
    let is_srv = parts.scheme == "mongodb+srv://";
    let seeds = if is_srv { srv(&parts, &options)? } else { Seeds::Servers(servers(&parts)?) };
    conflicts::topology(&seeds, &options)?;
    conflicts::together(&options)?;
    let database = database(&parts)?;
    let credentials = credentials(&parts, &options, database.as_deref(), &mut warnings)?;
    let tls = tls(&options, is_srv, &mut warnings)?;
    let mut uri = MongoUri {
        seeds,
        credentials,
        database,
        replica_set: options.text("replicaSet").map(str::to_owned),
        tls,
        direct_connection: options.truth("directConnection") == Some(true),
        load_balanced: options.truth("loadBalanced") == Some(true),
        read_preference: options.text("readPreference").map(str::to_owned),
        connect_timeout: options
            .number("connectTimeoutMS")
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| *number > 0)
            .map(Duration::from_millis),
        app_name: options.text("appName").map(str::to_owned),
        old_driver: OldDriver::default(),
        warnings: Vec::new(),
        shown,
    };
    warnings.extend(java::without_set(&uri));
    uri.old_driver = java::compare(text, &uri, &mut warnings);
    uri.warnings = warnings;
    Ok(uri)
}

fn no_host(at: usize) -> UriError {
    error_at(
        KIND,
        at,
        "has no host",
        "Write the host after the @: mongodb://user:password@host:27017/database.",
    )
}

fn servers(parts: &Parts<'_>) -> Result<Vec<Server>, UriError> {
    if parts.hosts.text.is_empty() {
        if parts.path.is_some_and(|path| path.text.contains(".sock")) {
            return Err(error_at(
                KIND,
                parts.hosts.at,
                "has a Unix socket whose slashes are not percent-encoded",
                "Write each / of the socket path as %2F.",
            ));
        }
        return Err(no_host(parts.hosts.at));
    }
    let entries = scan::entries(KIND, parts.hosts)?;
    let servers = entries.into_iter().map(|entry| {
        if entry.host.is_empty() {
            return Err(no_host(entry.at));
        }
        if entry.host.ends_with(".sock") && entry.host.contains('/') {
            if let Some(port) = entry.port {
                return Err(error_at(
                    KIND,
                    port.at,
                    "has a port after a Unix socket",
                    "Remove the : and the port after the socket's path.",
                ));
            }
            let host = Host::Socket(PathBuf::from(entry.host));
            return Ok(Server { host, address: None, port: KIND.default_port() });
        }
        let host = scan::network_host(KIND, &entry.host, entry.in_brackets, entry.at)?;
        let port = match entry.port {
            Some(port) if port.text.is_empty() => {
                return Err(error_at(
                    KIND,
                    port.at,
                    "has a : without a port after it",
                    "Write the port, 27017 by default, or remove the colon.",
                ));
            }
            Some(port) => scan::port(KIND, port.text, port.at)?,
            None => KIND.default_port(),
        };
        Ok(Server { host, address: None, port })
    });
    servers.collect()
}

fn srv(parts: &Parts<'_>, options: &Options) -> Result<Seeds, UriError> {
    let wrong = |offset, what| {
        Err(error_at(
            KIND,
            offset,
            what,
            "With mongodb+srv://, write one DNS name and no port; the SRV records list the servers.",
        ))
    };
    if parts.hosts.text.is_empty() {
        return Err(no_host(parts.hosts.at));
    }
    if let Some(comma) = parts.hosts.text.find(',') {
        return wrong(parts.hosts.at + comma, "has the scheme mongodb+srv and more than one host");
    }
    let entries = scan::entries(KIND, parts.hosts)?;
    let Some(entry) = entries.into_iter().next() else {
        return Err(no_host(parts.hosts.at));
    };
    if let Some(port) = entry.port {
        return wrong(port.at, "has the scheme mongodb+srv and a port");
    }
    match scan::network_host(KIND, &entry.host, entry.in_brackets, entry.at)? {
        Host::Name(name) => Ok(Seeds::Srv {
            name,
            service: options.text("srvServiceName").unwrap_or("mongodb").to_owned(),
            at_most: options.number("srvMaxHosts").and_then(|number| number.try_into().ok()).unwrap_or(0),
        }),
        _ => wrong(entry.at, "has the scheme mongodb+srv and an IP address instead of a name"),
    }
}

fn database(parts: &Parts<'_>) -> Result<Option<String>, UriError> {
    let Some(path) = parts.path.filter(|path| !path.text.is_empty()) else {
        return Ok(None);
    };
    let decoded = scan::decode(KIND, path)?;
    // Old drivers treat what follows the first dot as a collection.
    let name = decoded.split('.').next().unwrap_or_default();
    if name.is_empty()
        || name.len() > 63
        || name.contains(['/', '\\', ' ', '"', '$', '*', '<', '>', ':', '|', '?'])
    {
        return Err(error_at(
            KIND,
            path.at,
            "has an invalid database name",
            "Correct the name after the /: at most 63 bytes, without / \\ . \" $ * < > : | ? and spaces.",
        ));
    }
    Ok(Some(name.to_owned()))
}

fn credentials(
    parts: &Parts<'_>,
    options: &Options,
    database: Option<&str>,
    warnings: &mut Vec<Cause>,
) -> Result<Option<Credentials>, UriError> {
    let user = parts.user.map(|user| scan::decode(KIND, user)).transpose()?;
    let password = parts.password.map(|password| scan::decode(KIND, password)).transpose()?;
    let mechanism = options
        .text("authMechanism")
        .and_then(|word| MECHANISMS.iter().find(|name| name.eq_ignore_ascii_case(word)).copied());
    if let (Some(piece), Some("")) = (parts.user, user.as_deref()) {
        return Err(error_at(
            KIND,
            piece.at,
            "has an @ without a user name before it",
            "Write user:password@host, or remove the @.",
        ));
    }
    let external = matches!(mechanism, Some("MONGODB-X509" | "GSSAPI" | "MONGODB-AWS" | "MONGODB-OIDC"));
    if user.is_none() && mechanism.is_none_or(|mechanism| !external || mechanism == "GSSAPI") {
        return match mechanism {
            Some(mechanism) => Err(error(
                KIND,
                format!("has the mechanism {mechanism} and no user"),
                "Write user:password@ before the host, or remove authMechanism.",
            )),
            None => {
                if options.has("authSource") {
                    warnings.push(Cause::config(
                        Kind::MongoUriNoUser,
                        "The MongoDB URI has authSource and no user, so there is no login.",
                        "Write user:password@ before the host.",
                    ));
                }
                Ok(None)
            }
        };
    }
    let empty_password = password.as_deref().is_none_or(str::is_empty);
    if !external && empty_password {
        let at = parts.user.map_or(0, |user| user.at + user.text.len());
        return Err(error_at(
            KIND,
            at,
            "has a user and no password",
            "Write user:password@ before the host; a : in the user name is written %3A.",
        ));
    }
    if mechanism == Some("MONGODB-X509") && !empty_password {
        let at = parts.password.map_or(0, |password| password.at);
        return Err(error_at(
            KIND,
            at,
            "has a password with the mechanism MONGODB-X509, which takes none",
            "Remove the password, or the authMechanism.",
        ));
    }
    if mechanism == Some("MONGODB-CR") {
        warnings.push(Cause::config(
            Kind::MongoUriOldMechanism,
            "The MongoDB URI has the mechanism MONGODB-CR, which MongoDB 4.0 removed.",
            "Remove authMechanism: drivers then negotiate the mechanism with the server.",
        ));
    }
    let written = options.text("authSource");
    if external && written.is_some_and(|source| source != "$external") {
        return Err(error_at(
            KIND,
            options.place("authSource").unwrap_or(0),
            "has an authSource other than $external, although its mechanism uses external users",
            "Write authSource=$external, or remove it.",
        ));
    }
    let source = match (written, mechanism) {
        (Some(source), _) => source.to_owned(),
        _ if external => "$external".to_owned(),
        (None, Some("PLAIN")) => database.unwrap_or("$external").to_owned(),
        _ => database.unwrap_or("admin").to_owned(),
    };
    Ok(Some(Credentials {
        user,
        password: password.filter(|password| !password.is_empty()).map(Password::from),
        mechanism,
        source,
        source_written: written.is_some(),
    }))
}

fn tls(options: &Options, is_srv: bool, warnings: &mut Vec<Cause>) -> Result<Tls, UriError> {
    let mut said = options.all("tls").chain(options.all("ssl")).filter_map(super::options::java_boolean);
    let first = said.next();
    if said.any(|value| Some(value) != first) {
        return Err(error_at(
            KIND,
            options.place("ssl").or(options.place("tls")).unwrap_or(0),
            "has contradictory values for tls and ssl",
            "Keep only one of tls and ssl.",
        ));
    }
    let truth = |name| options.truth(name) == Some(true);
    let insecure = truth("tlsInsecure");
    let any_certificate = insecure || truth("tlsAllowInvalidCertificates");
    let tls = Tls {
        on: first.unwrap_or(is_srv),
        ca_file: options.text("tlsCAFile").map(PathBuf::from),
        certificate_key_file: options.text("tlsCertificateKeyFile").map(PathBuf::from),
        key_password: options.text("tlsCertificateKeyFilePassword").map(str::to_owned).map(Password::from),
        allow_invalid_certificates: any_certificate,
        allow_invalid_hostnames: any_certificate || truth("tlsAllowInvalidHostnames"),
    };
    let configured = tls.ca_file.is_some() || tls.certificate_key_file.is_some() || any_certificate;
    if configured && first.is_none() && !tls.on {
        warnings.push(Cause::config(
            Kind::MongoUriTlsUnused,
            "The MongoDB URI has TLS options but does not enable TLS: older drivers connect without it.",
            "Add ssl=true to the URI.",
        ));
    }
    if tls.on && tls.allow_invalid_certificates {
        warnings.push(Cause::config(
            Kind::MongoUriTlsUnverified,
            "The MongoDB URI disables verification of the server's certificate; the app's Java driver ignores that and verifies.",
            "Use a certificate that Java trusts; tlsCAFile sets the CA for boot-agent.",
        ));
    }
    Ok(tls)
}
