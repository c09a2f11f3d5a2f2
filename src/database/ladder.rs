//! The ladder to each of the app's databases, each rung with its own cause: uri → dns → tcp → tls, then what the product
//! has above these (see [`Product::rungs`]).
//!
//! A climb is one attempt: names are resolved anew, every wait is bounded, nothing is written to the database, and
//! dropping it only closes its connections. To wait for a database, climb repeatedly.

use std::time::Duration;

use futures_util::future::join_all;

use super::rung::Progress;
pub use super::rung::{LadderProbe, LadderResult, Outcome, Rung, Step};
use super::uri::{MongoUri, Parsed, PostgresUri, Product, UriError, VaultUri};
use super::{connect, mongo, postgres, vault};

/// How long one climb may take from the first connection to the last answer; resolving the names before it may take
/// [`dns::LIMIT`](crate::names::LIMIT) besides.
pub const CLIMB_LIMIT: Duration = Duration::from_secs(10);

/// A database to probe.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its unique name, e.g. `postgres.main`, which is returned in [`LadderResult::name`].
    pub name: String,
    /// Which kind is expected.
    pub kind: Product,
    /// Its URI. A malformed one fails the first rung.
    pub uri: Result<Parsed, UriError>,
}

impl LadderProbe {
    /// Climbs to all databases concurrently, each within [`CLIMB_LIMIT`]. Results are in the order of the requests.
    ///
    /// MongoDB URIs that differ only in their database share one login, which checks each of them.
    pub async fn climb_all(&self, requests: &[Request]) -> Vec<LadderResult> {
        let logins = logins(requests);
        let climbs = logins.iter().map(|together| self.climb_together(together));
        let mut climbs = join_all(climbs).await.concat();
        climbs.sort_by_key(|climb| requests.iter().position(|request| request.name == climb.name));
        climbs
    }

    /// Climbs to one database within [`CLIMB_LIMIT`].
    pub async fn climb(&self, request: &Request) -> LadderResult {
        let mut climbs = self.climb_together(&[request]).await;
        climbs.pop().unwrap_or_else(|| starting(request))
    }

    /// One climb for requests that share a login (see [`logins`]); results are in their order.
    pub async fn climb_together(&self, requests: &[&Request]) -> Vec<LadderResult> {
        let mut climbs: Vec<LadderResult> = requests.iter().map(|request| starting(request)).collect();
        let Some(Ok(uri)) = requests.first().map(|request| &request.uri) else {
            return climbs;
        };
        let mut progress = Progress::new(uri.kind(), CLIMB_LIMIT);
        let upper = match uri {
            Parsed::Postgres(uri) => {
                self.climb_postgres(uri, &mut progress).await;
                None
            }
            Parsed::Vault(uri) => {
                self.climb_vault(uri, &mut progress).await;
                None
            }
            Parsed::Mongo(uri) => {
                let databases: Vec<_> = requests.iter().map(|request| request.database()).collect();
                self.climb_mongo(uri, &databases, &mut progress).await
            }
        };
        for (index, climb) in climbs.iter_mut().enumerate() {
            let mut own = progress.clone();
            if let Some(upper) = &upper {
                finish(&mut own, upper, index);
            }
            climb.steps.extend(own.steps);
            if index == 0 {
                // Findings about the servers are reported once, not for each database.
                own.warnings.into_iter().for_each(|warning| climb.warn(warning));
            }
        }
        climbs
    }

    async fn climb_postgres(&self, uri: &PostgresUri, progress: &mut Progress) {
        let servers = uri.servers.clone();
        let Some(reached) = connect::reach(self, Product::Postgres, servers, progress).await else { return };
        postgres::climb(self, uri, reached, progress).await;
    }

    async fn climb_vault(&self, uri: &VaultUri, progress: &mut Progress) {
        let servers = vec![uri.server.clone()];
        let Some(reached) = connect::reach(self, Product::Vault, servers, progress).await else { return };
        vault::climb(self, uri, reached, progress).await;
    }

    async fn climb_mongo(
        &self,
        uri: &MongoUri,
        databases: &[Option<String>],
        progress: &mut Progress,
    ) -> Option<mongo::AppRungs> {
        // Options from a TXT record apply to this climb only.
        let mut uri = uri.clone();
        let servers = self.seeds(&mut uri, progress).await?;
        mongo::climb(self, &uri, databases, servers, progress).await
    }
}

/// The first rung, which needs only the request.
fn starting(request: &Request) -> LadderResult {
    let mut first = Progress::new(request.kind, CLIMB_LIMIT);
    let address = match &request.uri {
        Ok(uri) => {
            first.good(Rung::Uri, uri.shown().to_owned(), Duration::ZERO);
            first.warnings.extend_from_slice(uri.warnings());
            Some(uri.shown().to_owned())
        }
        Err(error) => {
            first.failed(Rung::Uri, error.clone().into(), Duration::ZERO);
            None
        }
    };
    LadderResult {
        name: request.name.clone(),
        kind: request.kind,
        address,
        steps: first.steps,
        warnings: first.warnings,
    }
}

/// Adds the upper rungs of the MongoDB request at `index`.
fn finish(progress: &mut Progress, upper: &mongo::AppRungs, index: usize) {
    match upper.databases.get(index) {
        Some(Ok(detail)) => progress.good(Rung::Database, detail.clone(), upper.databases_took),
        Some(Err(cause)) => return progress.failed(Rung::Database, cause.clone(), upper.databases_took),
        None => {}
    }
    match &upper.role {
        Ok(detail) => progress.good(Rung::Role, detail.clone(), upper.role_took),
        Err(cause) => progress.failed(Rung::Role, cause.clone(), upper.role_took),
    }
}

/// Groups requests by login: MongoDB URIs that differ only in their database share one.
pub fn logins(requests: &[Request]) -> Vec<Vec<&Request>> {
    let mut logins: Vec<Vec<&Request>> = Vec::new();
    for request in requests {
        match logins.iter_mut().find(|login| login.iter().any(|known| shared(known, request))) {
            Some(login) => login.push(request),
            None => logins.push(vec![request]),
        }
    }
    logins
}

/// Whether one login can answer for both.
fn shared(one: &Request, other: &Request) -> bool {
    match (&one.uri, &other.uri) {
        (Ok(Parsed::Mongo(one)), Ok(Parsed::Mongo(other))) => one.shares_login(other),
        _ => false,
    }
}

impl Request {
    fn database(&self) -> Option<String> {
        match &self.uri {
            Ok(Parsed::Mongo(uri)) => uri.database.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
