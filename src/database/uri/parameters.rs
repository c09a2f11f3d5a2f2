//! The parameters of a PostgreSQL URI and their values, as in libpq 17.

use std::collections::BTreeMap;

use super::address::{Product, UriError};
use super::pgjdbc;
use super::scan::{Pair, error, error_at};
use crate::cause::Cause;
use crate::suggest::closest;

/// What a parameter accepts.
#[derive(Debug, Clone, Copy)]
enum Range {
    Any,
    /// One of these words exactly.
    Word(&'static [&'static str]),
    /// One of these words in any case.
    AnyCase(&'static [&'static str]),
    /// A whole number, as libpq's `parse_int_param` takes it.
    Integer,
    ZeroOrOne,
    /// A list of authentication methods, all or none of them negated with `!`.
    Methods,
}

const TLS_VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const PROTOCOL_VERSIONS: &[&str] = &["3.0", "3.2", "latest"];
const METHODS: &[&str] = &["password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"];

/// libpq's keywords; `authtype` and `tty` are accepted and ignored there, and are left out since nobody has them.
const PARAMETERS: &[(&str, Range)] = &[
    ("application_name", Range::Any),
    ("channel_binding", Range::Word(&["disable", "prefer", "require"])),
    ("client_encoding", Range::Any),
    ("connect_timeout", Range::Integer),
    ("dbname", Range::Any),
    ("fallback_application_name", Range::Any),
    ("gssdelegation", Range::ZeroOrOne),
    ("gssencmode", Range::Word(&["disable", "prefer", "require"])),
    ("gsslib", Range::Word(&["gssapi"])),
    ("host", Range::Any),
    ("hostaddr", Range::Any),
    ("keepalives", Range::Integer),
    ("keepalives_count", Range::Integer),
    ("keepalives_idle", Range::Integer),
    ("keepalives_interval", Range::Integer),
    ("krbsrvname", Range::Any),
    ("load_balance_hosts", Range::Word(&["disable", "random"])),
    ("max_protocol_version", Range::Word(PROTOCOL_VERSIONS)),
    ("min_protocol_version", Range::Word(PROTOCOL_VERSIONS)),
    ("oauth_client_id", Range::Any),
    ("oauth_client_secret", Range::Any),
    ("oauth_issuer", Range::Any),
    ("oauth_scope", Range::Any),
    ("options", Range::Any),
    ("passfile", Range::Any),
    ("password", Range::Any),
    ("port", Range::Any),
    ("replication", Range::AnyCase(&["true", "on", "yes", "1", "database", "false", "off", "no", "0"])),
    ("require_auth", Range::Methods),
    ("requirepeer", Range::Any),
    ("scram_client_key", Range::Any),
    ("scram_server_key", Range::Any),
    ("service", Range::Any),
    ("servicefile", Range::Any),
    ("ssl_max_protocol_version", Range::AnyCase(TLS_VERSIONS)),
    ("ssl_min_protocol_version", Range::AnyCase(TLS_VERSIONS)),
    ("sslcert", Range::Any),
    ("sslcertmode", Range::Word(&["disable", "allow", "require"])),
    ("sslcompression", Range::ZeroOrOne),
    ("sslcrl", Range::Any),
    ("sslcrldir", Range::Any),
    ("sslkey", Range::Any),
    ("sslkeylogfile", Range::Any),
    ("sslmode", Range::Word(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])),
    ("sslnegotiation", Range::Word(&["postgres", "direct"])),
    ("sslpassword", Range::Any),
    ("sslrootcert", Range::Any),
    ("sslsni", Range::ZeroOrOne),
    (
        "target_session_attrs",
        Range::Word(&["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]),
    ),
    ("tcp_user_timeout", Range::Integer),
    ("user", Range::Any),
];

/// The checked parameters of one URI; the last of a repeated one counts, as in libpq.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, (String, usize)>,
    /// Those that only the JDBC driver knows.
    jdbc_only: Vec<&'static str>,
    /// Those that were taken and had no value.
    emptied: Vec<String>,
}

impl Parameters {
    pub(super) fn check(pairs: Vec<Pair<'_>>) -> Result<Self, UriError> {
        let mut checked = Parameters::default();
        for pair in pairs.into_iter().map(translated) {
            let Some((name, range)) = PARAMETERS.iter().find(|(name, _)| *name == pair.key) else {
                checked.add_jdbc(&pair)?;
                continue;
            };
            if !pair.value.is_empty() {
                check_range(name, *range, &pair)?;
            }
            checked.values.insert(name, (pair.value, pair.raw_value.at));
        }
        checked.check_together()?;
        Ok(checked)
    }

    /// Applies a JDBC driver parameter, unless libpq's own is set too.
    fn add_jdbc(&mut self, pair: &Pair<'_>) -> Result<(), UriError> {
        let Some(parameter) = pgjdbc::find(&pair.key) else { return Err(unknown(pair)) };
        if !self.jdbc_only.contains(&parameter.name) {
            self.jdbc_only.push(parameter.name);
        }
        if let Some((name, value)) = parameter.for_libpq(&pair.value) {
            self.values.entry(name).or_insert((value, pair.raw_value.at));
        }
        Ok(())
    }

    /// The warning about parameters that only the JDBC driver supports.
    pub(super) fn jdbc_only(&self) -> Option<Cause> {
        (!self.jdbc_only.is_empty()).then(|| pgjdbc::warning(&self.jdbc_only))
    }

    /// A parameter's value, unless empty: libpq then uses its default.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.take_placed(name).map(|(value, _)| value)
    }

    /// As [`Parameters::take`], with the value's offset.
    pub(super) fn take_placed(&mut self, name: &str) -> Option<(String, usize)> {
        self.take_given(name).filter(|(value, _)| !value.is_empty())
    }

    /// Like [`Parameters::take_placed`], but also if empty: it then overrides with nothing.
    pub(super) fn take_given(&mut self, name: &str) -> Option<(String, usize)> {
        let given = self.values.remove(name)?;
        if given.0.is_empty() {
            self.emptied.push(name.to_owned());
        }
        Some(given)
    }

    /// Whether a parameter is given and empty.
    pub(super) fn is_emptied(&self, name: &str) -> bool {
        self.emptied.iter().any(|emptied| emptied == name)
            || self.values.get(name).is_some_and(|(value, _)| value.is_empty())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn check_together(&self) -> Result<(), UriError> {
        let mode = self.get("sslmode");
        if self.get("sslrootcert") == Some("system") && mode.is_some_and(|mode| mode != "verify-full") {
            return Err(error(
                Product::Postgres,
                "combines sslrootcert=system with an sslmode weaker than verify-full",
                "Write sslmode=verify-full, or name a certificate file in sslrootcert.",
            ));
        }
        let weak = matches!(mode, None | Some("disable" | "allow" | "prefer"));
        if self.get("sslnegotiation") == Some("direct") && weak && self.get("sslrootcert") != Some("system") {
            return Err(error(
                Product::Postgres,
                "combines sslnegotiation=direct with an sslmode that does not require TLS",
                "Write sslmode=require or stronger, or remove sslnegotiation.",
            ));
        }
        if self.get("gssencmode") == Some("require") {
            return Err(error(
                Product::Postgres,
                "requires Kerberos encryption (gssencmode=require), but the app has no Kerberos credentials",
                "Remove gssencmode, and write sslmode=require for TLS.",
            ));
        }
        let version = |name| self.get(name).map(str::to_ascii_lowercase);
        if let (Some(least), Some(most)) =
            (version("ssl_min_protocol_version"), version("ssl_max_protocol_version"))
            && least > most
        {
            return Err(error(
                Product::Postgres,
                "has an ssl_min_protocol_version above its ssl_max_protocol_version",
                "Correct one of the two.",
            ));
        }
        Ok(())
    }
}

/// What libpq takes for another parameter of its own.
fn translated(mut pair: Pair<'_>) -> Pair<'_> {
    let (key, value) = match (pair.key.as_str(), pair.value.as_str()) {
        // JDBC's spelling.
        ("ssl", "true") => ("sslmode", "require"),
        // What preceded sslmode; only the first character counts.
        ("requiressl", value) => ("sslmode", if value.starts_with('1') { "require" } else { "prefer" }),
        _ => return pair,
    };
    pair.value = value.to_owned();
    pair.key = key.to_owned();
    pair
}

fn unknown(pair: &Pair<'_>) -> UriError {
    let (offset, kind) = (pair.at, Product::Postgres);
    let named = !pair.key.is_empty()
        && pair.key.len() <= 40
        && pair.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let what = if named {
        format!("has the parameter {}, which libpq rejects as unknown", pair.key)
    } else {
        "has a parameter that libpq rejects as unknown".to_owned()
    };
    let known = PARAMETERS.iter().map(|(name, _)| *name).chain(pgjdbc::names());
    let next_step = match named.then(|| closest(&pair.key, known)).flatten() {
        Some(name) => format!("Did you mean {name}?"),
        None => "Remove the parameter.".to_owned(),
    };
    error_at(kind, offset, what, next_step)
}

fn check_range(name: &str, range: Range, pair: &Pair<'_>) -> Result<(), UriError> {
    let value = pair.value.as_str();
    let (good, expected) = match range {
        Range::Any => (true, String::new()),
        Range::Word(words) => (words.contains(&value), words.join(", ")),
        Range::AnyCase(words) => {
            (words.iter().any(|word| word.eq_ignore_ascii_case(value)), words.join(", "))
        }
        Range::Integer => (value.trim().parse::<i32>().is_ok(), "a whole number".to_owned()),
        Range::ZeroOrOne => (matches!(value, "0" | "1"), "0 or 1".to_owned()),
        Range::Methods => (
            methods_are_good(value),
            format!("a list of {}, either all or none of them with a leading !", METHODS.join(", ")),
        ),
    };
    if good {
        return Ok(());
    }
    let next_step = match range {
        Range::Word(words) | Range::AnyCase(words) if value.len() <= 40 => {
            match closest(value, words.iter().copied()) {
                Some(word) => format!("Did you mean {name}={word}? It takes one of: {expected}."),
                None => format!("{name} takes one of: {expected}."),
            }
        }
        _ => format!("{name} takes {expected}."),
    };
    Err(error_at(Product::Postgres, pair.raw_value.at, format!("has an invalid value for {name}"), next_step))
}

fn methods_are_good(value: &str) -> bool {
    let methods: Vec<&str> = value.split(',').collect();
    let negated = methods.iter().filter(|method| method.starts_with('!')).count();
    (negated == 0 || negated == methods.len())
        && methods.iter().enumerate().all(|(at, method)| {
            METHODS.contains(&method.trim_start_matches('!')) && !methods[..at].contains(method)
        })
}
