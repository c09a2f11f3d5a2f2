//! How the app's MongoDB Java driver parses a connection string: `com.mongodb.ConnectionString` of 3.2, which matches
//! CircleCI's documented databases. Each difference from current drivers is a warning, with a form that both support as
//! its next step.
//!
//! It splits at the last `/` (so one in an option counts as the one before the database), decodes like web forms (`+`
//! is a space), separates options at `;` and `&`, supports `ssl` but not `tls`, treats a boolean other than `true`, `1`
//! and `yes` as false, and ignores unknown options, including all options for certificates and their verification,
//! since Java has its own trust store.

use std::collections::BTreeMap;

use super::address::Password;
use super::mongo::{Credentials, MongoUri, Seeds};
use super::options::{TLS_FILES_AND_CHECKS, java_boolean};
use crate::cause::Cause;
use crate::kind::Kind;

const PREFIX: &str = "mongodb://";

/// The mechanisms that the driver supports; case-sensitive.
const MECHANISMS: [&str; 5] = ["SCRAM-SHA-1", "MONGODB-CR", "MONGODB-X509", "GSSAPI", "PLAIN"];

/// What the driver understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DriverView {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) database: Option<String>,
    /// The database that knows the user.
    pub(super) source: String,
    pub(super) tls: bool,
    pub(super) replica_set: Option<String>,
}

/// Why the driver throws instead of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    Scheme,
    /// A `/` after the `?` takes the place of the one before the database.
    SlashInOptions,
    NoSlash,
    Credentials,
    Host,
    Socket,
    Port,
    Option,
    Number,
    Mechanism,
    Encoding,
}

/// How the app's driver parses a string that current drivers accept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldDriver {
    /// It throws.
    pub refuses: bool,
    /// The credentials as it parses them, if different.
    pub credentials: Option<Credentials>,
    /// It connects without TLS, although TLS was meant.
    pub in_plaintext: bool,
}

/// Reads as the driver does.
pub(super) fn read(text: &str) -> Result<DriverView, Rejection> {
    let rest = text.strip_prefix(PREFIX).ok_or(Rejection::Scheme)?;
    let (authority, tail) = match rest.rsplit_once('/') {
        Some(cut) => cut,
        None if rest.contains('?') => return Err(Rejection::NoSlash),
        None => (rest, ""),
    };
    if authority.contains('?') {
        return Err(Rejection::SlashInOptions);
    }
    let (user, password, hosts) = match authority.rfind('@') {
        Some(at) if at > 0 => {
            let userinfo = &authority[..at];
            if userinfo.contains('@') || userinfo.matches(':').count() > 1 {
                return Err(Rejection::Credentials);
            }
            let (user, password) = match userinfo.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            (Some(decode(user)?), password.map(decode).transpose()?, &authority[at + 1..])
        }
        _ => (None, None, authority),
    };
    let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
    let (namespace, query) = tail.split_once('?').unwrap_or((tail, ""));
    let database = match decode(namespace)? {
        empty if empty.is_empty() => None,
        namespace => Some(namespace.split('.').next().unwrap_or_default().to_owned()),
    };
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    for part in query.split(['&', ';']).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or(Rejection::Option)?;
        options.insert(key.to_lowercase(), decode(value)?);
    }
    for name in ["maxpoolsize", "minpoolsize", "maxidletimems", "maxlifetimems", "waitqueuemultiple"]
        .into_iter()
        .chain(["waitqueuetimeoutms", "connecttimeoutms", "sockettimeoutms", "wtimeoutms", "wtimeout"])
    {
        if options.get(name).is_some_and(|value| value.parse::<i32>().is_err()) {
            return Err(Rejection::Number);
        }
    }
    if user.is_some()
        && options.get("authmechanism").is_some_and(|mechanism| !MECHANISMS.contains(&mechanism.as_str()))
    {
        return Err(Rejection::Mechanism);
    }
    let source = match options.get("authmechanism").map(String::as_str) {
        Some("GSSAPI" | "MONGODB-X509") => "$external".to_owned(),
        _ => options.remove("authsource").or(database.clone()).unwrap_or_else(|| "admin".to_owned()),
    };
    Ok(DriverView {
        user,
        password,
        hosts,
        database,
        source,
        tls: options.get("ssl").and_then(|value| java_boolean(value)) == Some(true),
        replica_set: options.remove("replicaset"),
    })
}

fn host(text: &str) -> Result<String, Rejection> {
    let port = match text {
        "" => return Err(Rejection::Host),
        socket if socket.ends_with(".sock") => return Err(Rejection::Socket),
        address if address.starts_with('[') => {
            if !address.contains(']') {
                return Err(Rejection::Host);
            }
            address.split_once("]:").map(|(_, port)| port)
        }
        name if name.matches(':').count() > 1 => return Err(Rejection::Host),
        name => name.split_once(':').map(|(_, port)| port),
    };
    match port {
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => Err(Rejection::Port),
        _ => Ok(text.to_owned()),
    }
}

/// `java.net.URLDecoder`.
fn decode(text: &str) -> Result<String, Rejection> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = text.get(at + 1..at + 3).ok_or(Rejection::Encoding)?;
                decoded.push(u8::from_str_radix(digits, 16).map_err(|_| Rejection::Encoding)?);
                at += 2;
            }
            other => decoded.push(other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

/// Compares the driver's view with `uri`, parsed by current rules, adding a warning for each difference.
pub(super) fn compare(text: &str, uri: &MongoUri, warnings: &mut Vec<Cause>) -> OldDriver {
    if let Some(cause) = ignored_options(uri, text) {
        warnings.push(cause);
    }
    let mut old = OldDriver::default();
    let mut outcome = read(text);
    if outcome == Err(Rejection::SlashInOptions) {
        warnings.push(refused(Rejection::SlashInOptions));
        old.refuses = true;
        // Later 3.x drivers split at the first / and parse the rest the same way.
        if let Some((before, query)) = text.split_once('?') {
            outcome = read(&format!("{before}?{}", query.replace('/', "%2F")));
        }
    }
    let reading = match outcome {
        Ok(reading) => reading,
        Err(refusal) => {
            warnings.push(refused(refusal));
            return OldDriver { refuses: true, ..old };
        }
    };
    if let Some(today) = &uri.credentials {
        let password = today.password.as_ref().map(Password::expose);
        let as_read = [
            ("user name", today.user.as_deref(), reading.user.as_deref()),
            ("password", password, reading.password.as_deref()),
            ("authSource", Some(today.source.as_str()), Some(reading.source.as_str())),
        ];
        let parts: Vec<&str> = as_read
            .into_iter()
            .filter(|(_, today, old)| today.is_some_and(|it| it.contains('+')) && today != old)
            .map(|(part, ..)| part)
            .collect();
        if !parts.is_empty() {
            let parts = parts.join(" and ");
            warnings.push(Cause::config(
                PLUS,
                format!("The {parts} in the MongoDB URI has a +, which the app's Java driver (3.x) decodes as a space."),
                "Write each + as %2B, which every driver decodes as +, or as %20 if a space is meant.",
            ));
            old.credentials = Some(Credentials {
                user: reading.user,
                password: reading.password.map(Password::from),
                source: reading.source,
                ..today.clone()
            });
        }
    }
    if uri.tls.on && !reading.tls {
        warnings.push(Cause::config(
            PLAINTEXT,
            "The MongoDB URI enables TLS with tls=true, which older Java drivers (3.8 and before) ignore: the app connects without TLS.",
            "Write ssl=true, which every driver supports.",
        ));
        old.in_plaintext = true;
    }
    old
}

/// The kind of the warning for credentials that the two parse differently.
pub(in crate::database) const PLUS: Kind = Kind::MongoUriPlus;

/// The kind of the warning for TLS that only current drivers enable.
pub(in crate::database) const PLAINTEXT: Kind = Kind::MongoUriTlsName;

fn refused(refusal: Rejection) -> Cause {
    let (what, next_step) = match refusal {
        Rejection::Scheme => {
            return Cause::config(
                Kind::MongoUriSrv,
                "The MongoDB URI begins with mongodb+srv://, which Java drivers before 3.6 do not support: the app may not start.",
                "List the servers: mongodb://HOST:27017,HOST:27017/DATABASE?replicaSet=NAME&ssl=true.",
            );
        }
        Rejection::SlashInOptions => (
            "it has a / after the ?, and the driver splits it at the last /",
            "Write each / after the ? as %2F, which every driver decodes as /.",
        ),
        Rejection::NoSlash => ("it has options without a / before the ?", "Write a / before the ?."),
        Rejection::Mechanism => (
            "it has an authMechanism that the driver does not support",
            "Remove authMechanism: each driver then chooses the strongest one that both it and the user support.",
        ),
        Rejection::Socket => (
            "the driver does not support Unix sockets",
            "Write host and port: mongodb://user:password@host:27017/database.",
        ),
        Rejection::Number => ("a number in it is too large or malformed", "Correct the number."),
        Rejection::Credentials | Rejection::Encoding => (
            "it cannot decode the credentials",
            "Percent-encode every special character of user and password.",
        ),
        Rejection::Host | Rejection::Port => ("it cannot parse the hosts", "Write each server as host:port."),
        Rejection::Option => ("it has an option without =", "Write every option as name=value."),
    };
    Cause::config(
        Kind::MongoUriOldDriver,
        format!("The app's Java driver (3.2) rejects the MongoDB URI: {what}."),
        next_step,
    )
}

/// The TLS options that other current drivers support but no Java driver of that era does.
fn ignored_options(uri: &MongoUri, text: &str) -> Option<Cause> {
    if !uri.tls.on {
        return None;
    }
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let written: Vec<&str> = TLS_FILES_AND_CHECKS
        .into_iter()
        .filter(|name| {
            query
                .split(['&', ';'])
                .filter_map(|pair| pair.split_once('='))
                .any(|(key, _)| key.eq_ignore_ascii_case(name))
        })
        .collect();
    if written.is_empty() {
        return None;
    }
    let next_step = match (&uri.tls.ca_file, &uri.tls.certificate_key_file) {
        (_, Some(_)) => "Add the CA and the client certificate to the app's Java trust and key stores.",
        (Some(_), None) => "Add the CA to the app's Java trust store; boot-agent verifies with the file.",
        (None, None) => "Use a certificate that Java trusts and that is issued for the server's name.",
    };
    Some(Cause::config(
        Kind::MongoUriTlsOption,
        format!(
            "The app's Java driver ignores {} in the MongoDB URI: it uses the Java trust and key stores.",
            written.join(", ")
        ),
        next_step,
    ))
}

/// Several servers are a replica set, or mongos.
pub(super) fn without_set(uri: &MongoUri) -> Option<Cause> {
    let Seeds::Servers(servers) = &uri.seeds else { return None };
    if servers.len() < 2 || uri.replica_set.is_some() || uri.load_balanced {
        return None;
    }
    Some(Cause::config(
        Kind::MongoUriNoReplicaSet,
        format!(
            "The MongoDB URI lists {} servers and no replicaSet: drivers cannot detect members of another set.",
            servers.len()
        ),
        "Add replicaSet=NAME; rs.conf()._id is the name. Only a list of mongos routers needs none.",
    ))
}
