//! What every database URI consists of, and why one cannot be used.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret;

/// Which database an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// `postgres://` or `postgresql://`.
    Postgres,
    /// `mongodb://` or `mongodb+srv://`.
    Mongo,
    /// HashiCorp's Vault, which has no URI: see [`super::VaultUri`].
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

    pub(super) fn schemes(self) -> &'static [&'static str] {
        match self {
            Product::Postgres => &["postgres://", "postgresql://"],
            Product::Mongo => &["mongodb://", "mongodb+srv://"],
            Product::Vault => &[],
        }
    }

    pub(super) fn expected_schemes(self) -> String {
        self.schemes().join(" or ")
    }
}

/// Why a URI is invalid. Contains nothing of the URI except option names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriError {
    /// The database whose rules were applied.
    pub database: Product,
    /// The byte position within the URI, from 1; `None` if something is missing or contradictory.
    pub column: Option<usize>,
    /// The sentence, with the column.
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
    /// The password itself, for the server only.
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
