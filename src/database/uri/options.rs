//! The options of a MongoDB connection string and their values: the drivers' common URI options specification, and
//! names that older drivers used.

use std::collections::BTreeMap;

use super::address::{Product, UriError};
use super::scan::{Pair, error_at};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::suggest::closest;

const KIND: Product = Product::Mongo;

/// What an option accepts.
#[derive(Debug, Clone, Copy)]
enum Range {
    Any,
    NotEmpty,
    Bool,
    /// A whole number within these bounds.
    Integer(i64, i64),
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// `0` upwards, `majority`, or the name of a custom write concern.
    WriteConcern,
    /// A list of compressors; unknown ones are left out by the drivers.
    Compressors,
    /// `-1`, or at least 90.
    Staleness,
    /// At most 128 bytes.
    AppName,
    /// A list of `key:value`.
    KeyValues,
    /// `no`, `bestEffort` or a boolean in an older driver's name for certificate verification.
    Passed,
}

const MILLISECONDS: Range = Range::Integer(0, i32::MAX as i64);
const COUNT: Range = Range::Integer(0, i32::MAX as i64);

/// The supported authentication mechanisms.
pub(super) const MECHANISMS: &[&str] = &[
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "MONGODB-X509",
    "MONGODB-CR",
    "MONGODB-AWS",
    "MONGODB-OIDC",
    "GSSAPI",
    "PLAIN",
];

/// The option names that every current driver supports. `ssl` is a permanent alias.
const OPTIONS: &[(&str, Range)] = &[
    ("appName", Range::AppName),
    ("authMechanism", Range::Word(MECHANISMS)),
    ("authMechanismProperties", Range::KeyValues),
    ("authSource", Range::NotEmpty),
    ("compressors", Range::Compressors),
    ("connectTimeoutMS", MILLISECONDS),
    ("directConnection", Range::Bool),
    ("heartbeatFrequencyMS", Range::Integer(500, i32::MAX as i64)),
    ("journal", Range::Bool),
    ("loadBalanced", Range::Bool),
    ("localThresholdMS", MILLISECONDS),
    ("maxConnecting", Range::Integer(1, i32::MAX as i64)),
    ("maxIdleTimeMS", MILLISECONDS),
    ("maxPoolSize", COUNT),
    ("maxStalenessSeconds", Range::Staleness),
    ("minPoolSize", COUNT),
    ("proxyHost", Range::NotEmpty),
    ("proxyPassword", Range::Any),
    ("proxyPort", Range::Integer(1, 65535)),
    ("proxyUsername", Range::Any),
    ("readConcernLevel", Range::Word(&["local", "majority", "linearizable", "available", "snapshot"])),
    (
        "readPreference",
        Range::Word(&["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]),
    ),
    ("readPreferenceTags", Range::KeyValues),
    ("replicaSet", Range::NotEmpty),
    ("retryReads", Range::Bool),
    ("retryWrites", Range::Bool),
    ("serverMonitoringMode", Range::Word(&["auto", "stream", "poll"])),
    ("serverSelectionTimeoutMS", MILLISECONDS),
    ("serverSelectionTryOnce", Range::Bool),
    ("socketTimeoutMS", MILLISECONDS),
    ("srvMaxHosts", COUNT),
    ("srvServiceName", Range::NotEmpty),
    ("ssl", Range::Bool),
    ("timeoutMS", MILLISECONDS),
    ("tls", Range::Bool),
    ("tlsAllowInvalidCertificates", Range::Bool),
    ("tlsAllowInvalidHostnames", Range::Bool),
    ("tlsCAFile", Range::NotEmpty),
    ("tlsCertificateKeyFile", Range::NotEmpty),
    ("tlsCertificateKeyFilePassword", Range::Any),
    ("tlsDisableCertificateRevocationCheck", Range::Bool),
    ("tlsDisableOCSPEndpointCheck", Range::Bool),
    ("tlsInsecure", Range::Bool),
    (
        "uuidRepresentation",
        Range::Word(&["standard", "csharpLegacy", "javaLegacy", "pythonLegacy", "unspecified"]),
    ),
    ("w", Range::WriteConcern),
    ("waitQueueMultiple", Range::Integer(1, i32::MAX as i64)),
    ("waitQueueTimeoutMS", Range::Integer(1, i32::MAX as i64)),
    ("wTimeoutMS", MILLISECONDS),
    ("zlibCompressionLevel", Range::Integer(-1, 9)),
];

/// Old option names: the old name, and the current one with the same meaning, if any.
const OLD_NAMES: &[(&str, Option<&str>, Range)] = &[
    ("auth", None, Range::Any),
    ("fsync", None, Range::Bool),
    ("gssapiServiceName", None, Range::Any),
    ("j", Some("journal"), Range::Bool),
    ("maxLifeTimeMS", None, MILLISECONDS),
    ("safe", None, Range::Bool),
    ("slaveOk", None, Range::Bool),
    ("ssl_ca_certs", Some("tlsCAFile"), Range::NotEmpty),
    ("ssl_cert_reqs", None, Range::Passed),
    ("ssl_certfile", Some("tlsCertificateKeyFile"), Range::NotEmpty),
    ("ssl_crlfile", None, Range::NotEmpty),
    ("ssl_keyfile", None, Range::NotEmpty),
    ("ssl_match_hostname", None, Range::Bool),
    ("ssl_pem_passphrase", Some("tlsCertificateKeyFilePassword"), Range::Any),
    ("sslAllowInvalidCertificates", Some("tlsAllowInvalidCertificates"), Range::Bool),
    ("sslAllowInvalidHostnames", Some("tlsAllowInvalidHostnames"), Range::Bool),
    ("sslCA", Some("tlsCAFile"), Range::NotEmpty),
    ("sslCAFile", Some("tlsCAFile"), Range::NotEmpty),
    ("sslCert", Some("tlsCertificateKeyFile"), Range::NotEmpty),
    ("sslCertificateAuthorityFile", Some("tlsCAFile"), Range::NotEmpty),
    ("sslClientCertificateKeyFile", Some("tlsCertificateKeyFile"), Range::NotEmpty),
    ("sslClientCertificateKeyPassword", Some("tlsCertificateKeyFilePassword"), Range::Any),
    ("sslInsecure", Some("tlsInsecure"), Range::Bool),
    ("sslInvalidHostNameAllowed", Some("tlsAllowInvalidHostnames"), Range::Bool),
    ("sslKey", None, Range::NotEmpty),
    ("sslPass", Some("tlsCertificateKeyFilePassword"), Range::Any),
    ("sslPEMKeyFile", Some("tlsCertificateKeyFile"), Range::NotEmpty),
    ("sslPEMKeyPassword", Some("tlsCertificateKeyFilePassword"), Range::Any),
    ("sslValidate", None, Range::Bool),
    ("sslVerifyCertificate", None, Range::Passed),
    ("wtimeout", Some("wTimeoutMS"), MILLISECONDS),
];

/// The options about certificates, which Java drivers leave to Java's own stores.
pub(super) const TLS_FILES_AND_CHECKS: [&str; 4] =
    ["tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword", "tlsAllowInvalidHostnames"];

/// Options whose repetition means something.
const REPEATABLE: &[&str] = &["readPreferenceTags", "tls", "ssl"];

/// The checked options of one connection string, by their current names.
#[derive(Debug, Default)]
pub(super) struct Options {
    values: BTreeMap<&'static str, Vec<(String, usize)>>,
}

impl Options {
    /// Checks names and ranges; what drivers accept and ignore becomes a warning.
    pub(super) fn check(pairs: Vec<Pair<'_>>, warnings: &mut Vec<Cause>) -> Result<Self, UriError> {
        let mut checked = Options::default();
        for pair in pairs {
            let known = OPTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&pair.key));
            if let Some((name, range)) = known {
                check_range(name, *range, &pair, warnings)?;
                checked.add(name, pair, warnings);
                continue;
            }
            let old = OLD_NAMES.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(&pair.key));
            if let Some((name, current, range)) = old {
                check_range(name, *range, &pair, warnings)?;
                warnings.push(old_name(name, *current, pair.at));
                if let Some(current) = current {
                    checked.add(current, pair, warnings);
                }
                continue;
            }
            warnings.push(unknown(&pair));
        }
        Ok(checked)
    }

    fn add(&mut self, name: &'static str, pair: Pair<'_>, warnings: &mut Vec<Cause>) {
        let values = self.values.entry(name).or_default();
        if !values.is_empty() && !REPEATABLE.contains(&name) {
            warnings.push(
                Cause::config(
                    Kind::MongoUriRepeatedOption,
                    format!("The MongoDB URI sets the option {name} more than once."),
                    "Keep only one: drivers differ in which one they use.",
                )
                .with("column", pair.at + 1),
            );
        }
        values.push((pair.value, pair.raw_value.at));
    }

    /// The last value of an option.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(|(value, _)| value.as_str())
    }

    /// All values of an option, in order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.get(name).into_iter().flatten().map(|(value, _)| value.as_str())
    }

    /// An option that is a boolean.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.text(name).and_then(java_boolean)
    }

    /// An option that is a number, if it is within its range.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let number = self.text(name)?.parse().ok()?;
        let (_, range) = OPTIONS.iter().find(|(known, _)| *known == name)?;
        range.has(number).then_some(number)
    }

    /// The offset of an option's last value.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.values.get(name)?.last().map(|(_, at)| *at)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

/// What Java drivers of all versions accept as a boolean; anything else is ignored with a warning, and is false for the
/// oldest.
pub(super) fn java_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn printable(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn unknown(pair: &Pair<'_>) -> Cause {
    let sentence = if printable(&pair.key) {
        format!("The MongoDB URI has an unknown option, {}, which drivers ignore.", pair.key)
    } else {
        "The MongoDB URI has an unknown option, which drivers ignore.".to_owned()
    };
    let names = OPTIONS.iter().map(|(name, _)| *name).filter(|name| name.len() > 2);
    let next_step = match closest(&pair.key, names) {
        Some(name) => format!("Did you mean {name}?"),
        None => "Remove the option.".to_owned(),
    };
    Cause::config(Kind::MongoUriUnknownOption, sentence, next_step).with("column", pair.at + 1)
}

fn old_name(name: &str, current: Option<&str>, at: usize) -> Cause {
    let next_step = match current {
        Some(current) => format!("Write {current} instead."),
        None => format!("Remove {name}: current drivers have no such option."),
    };
    Cause::config(
        Kind::MongoUriOldOption,
        format!(
            "The MongoDB URI uses the old option {name}, which only some drivers support; others ignore it."
        ),
        next_step,
    )
    .with("column", at + 1)
}

fn check_range(name: &str, range: Range, pair: &Pair<'_>, warnings: &mut Vec<Cause>) -> Result<(), UriError> {
    let value = pair.value.as_str();
    let good = match range {
        Range::Any | Range::Passed => true,
        Range::NotEmpty => !value.is_empty(),
        Range::Bool => {
            if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") {
                let read_as = match java_boolean(value) {
                    Some(_) => "only some drivers accept as a boolean",
                    None => "is not a boolean: drivers ignore it",
                };
                warnings.push(
                    Cause::config(
                        Kind::MongoUriBoolean,
                        format!("The MongoDB URI sets {name} to a value that {read_as}."),
                        format!("Write {name}=true or {name}=false."),
                    )
                    .with("column", pair.raw_value.at + 1),
                );
            }
            true
        }
        Range::Integer(..) | Range::Staleness => match value.parse::<i32>() {
            Ok(number) => {
                if !range.has(number.into()) {
                    warnings.push(
                        Cause::config(
                            Kind::MongoUriNumber,
                            format!("The MongoDB URI sets {name} to a number out of range: drivers ignore it, or fail later."),
                            format!("{name} takes {}.", range.expected()),
                        )
                        .with("column", pair.raw_value.at + 1),
                    );
                }
                true
            }
            Err(_) => false,
        },
        Range::Word(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
        Range::WriteConcern => match value.parse::<i64>() {
            Ok(number) => (0..=50).contains(&number),
            Err(_) => !value.is_empty(),
        },
        Range::Compressors => {
            for compressor in value.split(',').filter(|word| !["snappy", "zlib", "zstd"].contains(word)) {
                let known = if printable(compressor) { compressor } else { "one of them" };
                warnings.push(
                    Cause::config(
                        Kind::MongoUriCompressor,
                        format!("The MongoDB URI has an unknown compressor: {known}."),
                        "Use snappy, zlib or zstd, or remove compressors.",
                    )
                    .with("column", pair.raw_value.at + 1),
                );
            }
            true
        }
        Range::AppName => value.len() <= 128,
        Range::KeyValues => {
            value.is_empty()
                || value.split(',').all(|item| item.split_once(':').is_some_and(|(key, _)| !key.is_empty()))
        }
    };
    if good { Ok(()) } else { Err(bad_value(name, range, pair)) }
}

impl Range {
    /// Whether a number is within the range, where it is one of numbers.
    fn has(self, number: i64) -> bool {
        match self {
            Range::Integer(least, most) => (least..=most).contains(&number),
            Range::Staleness => number == -1 || number >= 90,
            _ => true,
        }
    }

    /// The values that it takes.
    fn expected(self) -> String {
        match self {
            Range::NotEmpty | Range::Any | Range::Passed => "a non-empty value".to_owned(),
            Range::Bool => "true or false".to_owned(),
            Range::Integer(least, most) if most == i64::from(i32::MAX) => {
                format!("a whole number of at least {least}")
            }
            Range::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Range::Word(words) => format!("one of {}", words.join(", ")),
            Range::WriteConcern => {
                "a number from 0 to 50, majority, or the name of a write concern".to_owned()
            }
            Range::Compressors => "a list of snappy, zlib, zstd".to_owned(),
            Range::Staleness => "-1, or a whole number of at least 90".to_owned(),
            Range::AppName => "at most 128 bytes".to_owned(),
            Range::KeyValues => "a comma-separated list of key:value".to_owned(),
        }
    }
}

fn bad_value(name: &str, range: Range, pair: &Pair<'_>) -> UriError {
    let expected = match range {
        Range::Word(words) => match closest(&pair.value, words.iter().copied()) {
            Some(word) => format!("one of {}; did you mean {word}?", words.join(", ")),
            None => range.expected(),
        },
        _ => range.expected(),
    };
    let stop = if expected.ends_with('?') { "" } else { "." };
    error_at(
        KIND,
        pair.raw_value.at,
        format!("has an invalid value for {name}"),
        format!("{name} takes {expected}{stop}"),
    )
}
