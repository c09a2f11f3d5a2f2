//! The ladder to a database: uri → dns → tcp → tls → auth → database → role, each rung with its own cause.
//!
//! One climb is one attempt: names are resolved afresh, every wait is bounded, nothing is written to the database, and
//! a climb that is dropped half-way leaves nothing behind but closed connections. Whoever waits for a database climbs
//! again and again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::uri::{Kind, MongoUri, Parsed, PostgresUri, UriError};
use super::{mongo, postgres, reach};
use crate::cause::Cause;
use crate::files::Root;
use crate::names::Names;

/// How long one climb may take from the first question to the last.
pub const CLIMB_LIMIT: Duration = Duration::from_secs(10);

/// One rung, in the order in which they are climbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// The URI is well-formed.
    Uri,
    /// Its names have addresses.
    Dns,
    /// One of them accepts connections.
    Tcp,
    /// Server and URI agree on TLS, and the server speaks the database's protocol.
    Tls,
    /// The user is who the URI says.
    Auth,
    /// The database exists, and the user may do there what the app does.
    Database,
    /// The server takes writes.
    Role,
}

impl Rung {
    /// Every rung, from the ground up.
    pub const ALL: [Rung; 7] =
        [Rung::Uri, Rung::Dns, Rung::Tcp, Rung::Tls, Rung::Auth, Rung::Database, Rung::Role];

    /// The rung's name as it stands in check ids and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Uri => "uri",
            Rung::Dns => "dns",
            Rung::Tcp => "tcp",
            Rung::Tls => "tls",
            Rung::Auth => "auth",
            Rung::Database => "database",
            Rung::Role => "role",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a rung held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// It held.
    Good {
        /// What was found, e.g. the address used and the time it took.
        detail: String,
    },
    /// It broke.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// It was not tried.
    Skipped {
        /// The rung that broke.
        because: Rung,
    },
}

/// One rung of one climb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub rung: Rung,
    /// How it held.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took; zero for a rung that was skipped.
    pub milliseconds: u64,
}

/// One attempt to reach one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Climb {
    /// The name that was given to this database, e.g. `postgres.main`.
    pub name: String,
    /// Which kind of database.
    pub kind: Kind,
    /// The URI without its secrets; `None` when it is malformed, since then nobody knows which part is the secret.
    pub address: Option<String>,
    /// The rungs from the ground up; all seven unless the climb is still being built.
    pub steps: Vec<Step>,
    /// What did not break a rung and deserves a look: a member that is down, a URI that says something else than meant.
    pub warnings: Vec<Cause>,
}

impl Climb {
    /// The cause that broke the climb, with the rung that broke.
    pub fn failure(&self) -> Option<(Rung, &Cause)> {
        self.steps.iter().find_map(|step| match &step.outcome {
            Outcome::Failed { cause } => Some((step.rung, cause)),
            _ => None,
        })
    }

    /// Whether every rung held.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| matches!(step.outcome, Outcome::Good { .. }))
    }

    /// One rung.
    pub fn step(&self, rung: Rung) -> Option<&Step> {
        self.steps.iter().find(|step| step.rung == rung)
    }

    /// The first rung, which needs nothing but the request.
    fn starting(request: &Request) -> Self {
        let mut first = Ascent::new(CLIMB_LIMIT);
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
        Climb {
            name: request.name.clone(),
            kind: request.kind,
            address,
            steps: first.steps,
            warnings: first.warnings,
        }
    }
}

/// A database that somebody asks about.
#[derive(Debug, Clone)]
pub struct Request {
    /// A name for it, unlike that of any other request, e.g. `postgres.main`; it comes back in [`Climb::name`].
    pub name: String,
    /// Which kind is expected.
    pub kind: Kind,
    /// Its URI. A malformed one is a climb that ends at the first rung.
    pub uri: Result<Parsed, UriError>,
}

/// Climbs ladders.
#[derive(Debug, Clone)]
pub struct Climber {
    pub(super) names: Names,
    pub(super) root: Root,
    pub(super) home: PathBuf,
}

impl Climber {
    /// Resolves with `names`; certificate files and Unix sockets lie under `root`, libpq's default ones in `home`
    /// (a path of the box, e.g. `/root`).
    pub fn new(names: Names, root: Root, home: impl Into<PathBuf>) -> Self {
        Climber { names, root, home: home.into() }
    }

    /// Climbs to every database at the same time, each within [`CLIMB_LIMIT`]. The answers are in the order of the
    /// requests.
    ///
    /// MongoDB URIs that differ only in their database are climbed to by one login, which asks about each of them.
    pub async fn climb_all(&self, requests: &[Request]) -> Vec<Climb> {
        let logins = logins(requests);
        let climbs = logins.iter().map(|together| self.climb_together(together));
        let mut climbs = join_all(climbs).await.concat();
        climbs.sort_by_key(|climb| requests.iter().position(|request| request.name == climb.name));
        climbs
    }

    /// Climbs to one database within [`CLIMB_LIMIT`].
    pub async fn climb(&self, request: &Request) -> Climb {
        let mut climbs = self.climb_together(&[request]).await;
        climbs.pop().unwrap_or_else(|| Climb::starting(request))
    }

    /// One climb for requests that share a login (see [`logins`]); the answers are in their order.
    pub async fn climb_together(&self, requests: &[&Request]) -> Vec<Climb> {
        let mut climbs: Vec<Climb> = requests.iter().map(|request| Climb::starting(request)).collect();
        let Some(Ok(uri)) = requests.first().map(|request| &request.uri) else {
            return climbs;
        };
        let mut ascent = Ascent::new(CLIMB_LIMIT);
        let upper = match uri {
            Parsed::Postgres(uri) => {
                self.climb_postgres(uri, &mut ascent).await;
                None
            }
            Parsed::Mongo(uri) => {
                let databases: Vec<_> = requests.iter().map(|request| request.database()).collect();
                self.climb_mongo(uri, &databases, &mut ascent).await
            }
        };
        for (index, climb) in climbs.iter_mut().enumerate() {
            let mut own = ascent.clone();
            if let Some(upper) = &upper {
                own.finish(upper, index);
            }
            climb.steps.extend(own.steps);
            if index == 0 {
                // What is said of the servers is said once, not for each database on them.
                climb.warnings.extend(own.warnings);
            }
        }
        climbs
    }

    async fn climb_postgres(&self, uri: &PostgresUri, ascent: &mut Ascent) {
        let servers = uri.servers.clone();
        let Some(resolved) = reach::resolve(self, Kind::Postgres, servers, ascent).await else { return };
        let Some(reached) = reach::connect(Kind::Postgres, resolved, ascent).await else { return };
        postgres::climb(self, uri, reached, ascent).await;
    }

    async fn climb_mongo(
        &self,
        uri: &MongoUri,
        databases: &[Option<String>],
        ascent: &mut Ascent,
    ) -> Option<mongo::Upper> {
        // What a TXT record adds holds for this climb only.
        let mut uri = uri.clone();
        let servers = self.seeds(&mut uri, ascent).await?;
        let resolved = reach::resolve(self, Kind::Mongo, servers, ascent).await?;
        let reached = reach::connect(Kind::Mongo, resolved, ascent).await?;
        mongo::climb(self, &uri, databases, reached, ascent).await
    }
}

/// The requests by the logins that can answer them: MongoDB URIs that differ only in their database share one.
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

/// A climb while it goes on.
#[derive(Debug, Clone)]
pub(super) struct Ascent {
    pub(super) steps: Vec<Step>,
    pub(super) warnings: Vec<Cause>,
    deadline: Instant,
}

impl Ascent {
    fn new(limit: Duration) -> Self {
        Ascent { steps: Vec::new(), warnings: Vec::new(), deadline: Instant::now() + limit }
    }

    /// How long something may take that is given `own` at most.
    pub(super) fn limit(&self, own: Duration) -> Duration {
        own.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    pub(super) fn good(&mut self, rung: Rung, detail: String, took: Duration) {
        self.push(rung, Outcome::Good { detail }, took);
    }

    /// Notes that a rung broke, and that those above it were not tried.
    pub(super) fn failed(&mut self, rung: Rung, cause: Cause, took: Duration) {
        self.push(rung, Outcome::Failed { cause }, took);
        for above in Rung::ALL.into_iter().filter(|above| *above > rung) {
            self.push(above, Outcome::Skipped { because: rung }, Duration::ZERO);
        }
    }

    /// Adds the upper rungs of the MongoDB request at `index`.
    fn finish(&mut self, upper: &mongo::Upper, index: usize) {
        match upper.databases.get(index) {
            Some(Ok(detail)) => self.good(Rung::Database, detail.clone(), upper.databases_took),
            Some(Err(cause)) => return self.failed(Rung::Database, cause.clone(), upper.databases_took),
            None => {}
        }
        match &upper.role {
            Ok(detail) => self.good(Rung::Role, detail.clone(), upper.role_took),
            Err(cause) => self.failed(Rung::Role, cause.clone(), upper.role_took),
        }
    }

    fn push(&mut self, rung: Rung, outcome: Outcome, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { rung, outcome, milliseconds });
    }
}

#[cfg(test)]
mod tests;
