//! The addresses of what the app keeps its data in, wherever in the bundle they are set.

use super::customizations::{VARIABLES, database_name};
use crate::database::ladder::Request;
use crate::database::uri::{Parsed, Product, UriError};

/// The PostgreSQL databases of the 2.x services, all on the server of `circleconfig/shared/postgresql`.
pub const SERVICE_DATABASES: [&str; 7] = [
    "conductor_production",
    "contexts_service_production",
    "cron_service_production",
    "domain",
    "federations",
    "permissions",
    "vms",
];

/// The name of Vault's address.
pub(super) const VAULT: &str = "vault.main";

/// The address of one of the app's databases, or of its Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUri {
    /// The name under which it is probed, e.g. `postgres.main`. No two addresses of a bundle share one.
    pub name: String,
    /// The variable or file that sets it.
    pub setting: String,
    /// Which product it must be.
    pub kind: Product,
    /// The address itself.
    pub address: Address,
}

/// What is known of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Exactly what the app will use. Boxed for its size.
    Known(Box<Parsed>),
    /// The value is known, and no app could use it.
    Malformed(UriError),
    /// Only the shell can tell; the line and the construct say why.
    Unknown {
        /// The line of the construct, counted from 1.
        line: usize,
        /// The construct, in words that follow "because of".
        what: String,
    },
}

/// The names that an address can have in any bundle, in the order in which they are shown. A bundle may have others:
/// every `CIRCLE_SECRETS_(MONGODB|POSTGRES)_…_URI` is an address.
pub fn stable_names() -> impl Iterator<Item = String> {
    let variables = VARIABLES.iter().map(|(variable, ..)| database_name(variable));
    let services = SERVICE_DATABASES.iter().map(|database| service_name(database));
    variables.chain(services).chain([VAULT.to_owned()])
}

/// The name of the address of a 2.x service's database.
pub(super) fn service_name(database: &str) -> String {
    format!("postgres.{database}")
}

/// Whether only bundles of 2.x have an address of this name.
pub(crate) fn is_of_services(name: &str) -> bool {
    name == VAULT
        || name.strip_prefix("postgres.").is_some_and(|database| SERVICE_DATABASES.contains(&database))
}

/// Adds addresses, except those whose name is taken: what the customizations set for one database is more specific
/// than what `circleconfig/` sets for all.
pub(super) fn merge(addresses: &mut Vec<DatabaseUri>, more: Vec<DatabaseUri>) {
    for address in more {
        if !addresses.iter().any(|known| known.name == address.name) {
            addresses.push(address);
        }
    }
}

/// What can be asked of the databases before the app's shell has read the files: each address that is known, malformed
/// ones included.
pub fn requests(databases: &[DatabaseUri]) -> Vec<Request> {
    let known = databases.iter().filter_map(|database| {
        let uri = match &database.address {
            Address::Known(uri) => Ok(uri.as_ref().clone()),
            Address::Malformed(error) => Err(error.clone()),
            Address::Unknown { .. } => return None,
        };
        Some(Request { name: database.name.clone(), kind: database.kind, uri })
    });
    known.collect()
}
