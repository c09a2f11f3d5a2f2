//! Database URIs: PostgreSQL's, parsed like libpq, and MongoDB connection strings, parsed like the drivers.
//!
//! Parsing registers the password as a secret first, even if the URI is malformed. No error, warning or `Debug` output
//! contains a password or a piece of one.

mod address;
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

use crate::cause::Cause;

pub use address::{Host, Password, Product, Server, UriError};
pub use mongo::MongoUri;
pub use postgres::PostgresUri;
pub use vault::VaultUri;

/// Whatever in the text may be a password, as written, whether or not the text is a URI at all; and what an old driver
/// takes for the password.
pub(crate) fn secrets_in(text: &str) -> Vec<String> {
    let end = (0..=common_mistakes::LONGEST.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    let text = &text[..end];
    let mut found: Vec<String> = common_mistakes::written_in(text).into_iter().map(str::to_owned).collect();
    if text.starts_with("mongodb")
        && let Ok(uri) = mongo::parse(text)
        && let Some(password) = uri.old_driver.credentials.and_then(|credentials| credentials.password)
    {
        found.push(password.expose().to_owned());
    }
    found
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

    /// The URI with secrets redacted, for display.
    pub fn shown(&self) -> &str {
        match self {
            Parsed::Postgres(uri) => uri.shown(),
            Parsed::Mongo(uri) => uri.shown(),
            Parsed::Vault(uri) => uri.shown(),
        }
    }

    /// Warnings about what works but is probably not intended; each has class `config` and its own kind.
    pub fn warnings(&self) -> &[Cause] {
        match self {
            Parsed::Postgres(uri) => &uri.warnings,
            Parsed::Mongo(uri) => &uri.warnings,
            Parsed::Vault(uri) => &uri.warnings,
        }
    }
}

/// Parses a URI by its scheme.
///
/// # Errors
/// What is wrong and where. Without a known scheme, the intended product is unknown.
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

/// Parses a URI of a given product, e.g. because of its variable.
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
            sentence: "Vault has no URI.".to_owned(),
            next_step: "Set VAULT__SCHEME, VAULT__HOST, VAULT__PORT and VAULT__CLIENT_TOKEN.".to_owned(),
        }),
    }
}

#[cfg(test)]
mod libpq_cases;
#[cfg(test)]
mod mongo_cases;
#[cfg(test)]
mod tests;
