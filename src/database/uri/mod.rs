//! Database URIs: PostgreSQL's as libpq reads them, and MongoDB connection strings as the drivers do.
//!
//! Reading one makes its password known to the scrubber before anything else happens, also when the URI turns out to be
//! malformed. No error, warning or `Debug` form carries a password or anything that could be a piece of one.

mod common_mistakes;
mod conflicts;
pub(super) mod java;
pub mod mongo;
mod options;
mod parameters;
mod pgjdbc;
pub mod postgres;
mod scan;
pub mod vault;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret;

pub(crate) use common_mistakes::secrets_in;
pub use mongo::MongoUri;
pub use postgres::PostgresUri;
pub use vault::VaultUri;

/// Which database an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// `postgres://` or `postgresql://`.
    Postgres,
    /// `mongodb://` or `mongodb+srv://`.
    Mongo,
    /// HashiCorp's Vault, which has no URI: see [`VaultUri`].
    Vault,
}

impl Product {
    /// The product's own spelling, for sentences.
    pub fn name(self) -> &'static str {
        match self {
            Product::Postgres => "PostgreSQL",
            Product::Mongo => "MongoDB",
            Product::Vault => "Vault",
        }
    }

    /// The port a URI means when it names none.
    pub fn default_port(self) -> u16 {
        match self {
            Product::Postgres => 5432,
            Product::Mongo => 27017,
            Product::Vault => 8200,
        }
    }

    fn schemes(self) -> &'static [&'static str] {
        match self {
            Product::Postgres => &["postgres://", "postgresql://"],
            Product::Mongo => &["mongodb://", "mongodb+srv://"],
            Product::Vault => &[],
        }
    }

    fn expected_schemes(self) -> String {
        self.schemes().join(" or ")
    }
}

/// A URI that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// A PostgreSQL address.
    Postgres(PostgresUri),
    /// A MongoDB connection string.
    Mongo(MongoUri),
    /// Vault's address.
    Vault(VaultUri),
}

impl Parsed {
    /// Which database this is the address of.
    pub fn kind(&self) -> Product {
        match self {
            Parsed::Postgres(_) => Product::Postgres,
            Parsed::Mongo(_) => Product::Mongo,
            Parsed::Vault(_) => Product::Vault,
        }
    }

    /// The URI with every secret replaced, fit to be shown.
    pub fn shown(&self) -> &str {
        match self {
            Parsed::Postgres(uri) => uri.shown(),
            Parsed::Mongo(uri) => uri.shown(),
            Parsed::Vault(uri) => uri.shown(),
        }
    }

    /// What works and is yet likely not what was meant; each has class `config` and a kind of its own.
    pub fn warnings(&self) -> &[Cause] {
        match self {
            Parsed::Postgres(uri) => &uri.warnings,
            Parsed::Mongo(uri) => &uri.warnings,
            Parsed::Vault(uri) => &uri.warnings,
        }
    }
}

/// Reads a URI of either kind, as its scheme says.
///
/// # Errors
/// What is wrong with it and where. Without a known scheme this cannot say which database was meant.
pub fn parse(text: &str) -> Result<Parsed, UriError> {
    let kind = if text.starts_with("mongodb") { Product::Mongo } else { Product::Postgres };
    let other = text.starts_with("postgres");
    match parse_as(kind, text) {
        Err(error) if kind == Product::Postgres && !other && error.column == Some(1) => Err(UriError {
            sentence: error
                .sentence
                .replace(
                    &Product::Postgres.expected_schemes(),
                    &format!(
                        "{}, {}",
                        Product::Postgres.expected_schemes(),
                        Product::Mongo.expected_schemes()
                    ),
                )
                .replace("The PostgreSQL URI", "The URI"),
            ..error
        }),
        outcome => outcome,
    }
}

/// Reads a URI that must be of one kind, e.g. because of the variable it stands in.
///
/// # Errors
/// What is wrong with it and where.
pub fn parse_as(kind: Product, text: &str) -> Result<Parsed, UriError> {
    match kind {
        Product::Postgres => postgres::parse(text).map(Parsed::Postgres),
        Product::Mongo => mongo::parse(text).map(Parsed::Mongo),
        Product::Vault => Err(UriError {
            database: Product::Vault,
            column: None,
            sentence: "Vault is not addressed by a URI.".to_owned(),
            next_step: "Set VAULT__SCHEME, VAULT__HOST, VAULT__PORT and VAULT__CLIENT_TOKEN.".to_owned(),
        }),
    }
}

/// Why a URI cannot be used. Holds nothing of the URI itself except names of options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriError {
    /// The database whose rules were applied.
    pub database: Product,
    /// Where, as a byte position within the URI counted from 1; `None` when something is missing or contradictory.
    pub column: Option<usize>,
    /// What, in one sentence with a full stop; it names the column.
    pub sentence: String,
    /// What to write instead.
    pub next_step: String,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for UriError {}

impl From<UriError> for Cause {
    fn from(error: UriError) -> Self {
        let kind = match error.database {
            Product::Postgres => Kind::PostgresUri,
            Product::Mongo => Kind::MongoUri,
            Product::Vault => Kind::VaultUri,
        };
        let cause = Cause::config(kind, &error.sentence, &error.next_step);
        match error.column {
            Some(column) => cause.with("column", column),
            None => cause,
        }
    }
}

/// A password or passphrase out of a URI, decoded. `Debug` does not show it, and its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// The password itself, to be handed to the server and to nobody else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Password(password.into())
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(secret::REDACTED)
    }
}

/// Where a server is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name for DNS.
    Name(String),
    /// An address written out.
    Address(IpAddr),
    /// PostgreSQL: the directory of a Unix socket (`@…` for an abstract one). MongoDB: the socket itself.
    Socket(PathBuf),
}

/// One server that a URI names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its name, which a certificate must carry where names are verified.
    pub host: Host,
    /// PostgreSQL's `hostaddr`: the address to connect to instead of resolving the name.
    pub address: Option<IpAddr>,
    /// TCP port; for PostgreSQL also the number in the socket's file name.
    pub port: u16,
}

impl Server {
    /// The file of a Unix socket; `None` for a server on the network.
    pub fn socket_path(&self, kind: Product) -> Option<PathBuf> {
        match (&self.host, kind) {
            (Host::Socket(directory), Product::Postgres) => {
                Some(directory.join(format!(".s.PGSQL.{}", self.port)))
            }
            (Host::Socket(file), Product::Mongo) => Some(file.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(address) => write!(f, "{address}:{}", self.port),
            Host::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The candidate that was most likely meant by `word`, if any is near enough to say so.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod libpq_cases;
#[cfg(test)]
mod mongo_cases;
#[cfg(test)]
mod tests;
