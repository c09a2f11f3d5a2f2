//! The ladder to a database: uri → dns → tcp → tls → auth → database → role, each rung with its own cause.
//!
//! One climb is one attempt: names are resolved afresh, every wait is bounded, nothing is written to the database, and
//! a climb that is dropped half-way leaves nothing behind but closed connections. Whoever waits for a database climbs
//! again and again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::uri::{Kind, Parsed, UriError};
use super::{postgres, reach};
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

    fn starting(request: &Request, address: Option<String>) -> Self {
        Climb {
            name: request.name.clone(),
            kind: request.kind,
            address,
            steps: Vec::with_capacity(Rung::ALL.len()),
            warnings: Vec::new(),
        }
    }
}

/// A database that somebody asks about.
#[derive(Debug, Clone)]
pub struct Request {
    /// A name for it, e.g. `postgres.main`; it comes back in [`Climb::name`].
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
    pub async fn climb_all(&self, requests: &[Request]) -> Vec<Climb> {
        futures_util::future::join_all(requests.iter().map(|request| self.climb(request))).await
    }

    /// Climbs to one database within [`CLIMB_LIMIT`].
    pub async fn climb(&self, request: &Request) -> Climb {
        let mut ascent = Ascent::new(CLIMB_LIMIT);
        let address = match &request.uri {
            Ok(uri) => Some(uri.shown().to_owned()),
            Err(_) => None,
        };
        match &request.uri {
            Ok(uri) => {
                ascent.good(Rung::Uri, uri.shown().to_owned(), Duration::ZERO);
                ascent.warnings.extend_from_slice(uri.warnings());
                self.climb_to(uri, &mut ascent).await;
            }
            Err(error) => ascent.failed(Rung::Uri, error.clone().into(), Duration::ZERO),
        }
        let mut climb = Climb::starting(request, address);
        (climb.steps, climb.warnings) = (ascent.steps, ascent.warnings);
        climb
    }

    async fn climb_to(&self, uri: &Parsed, ascent: &mut Ascent) {
        let servers = match uri {
            Parsed::Postgres(uri) => uri.servers.clone(),
            Parsed::Mongo(uri) => {
                let mut uri = uri.clone();
                match self.seeds(&mut uri, ascent).await {
                    Some(servers) => servers,
                    None => return,
                }
            }
        };
        let Some(resolved) = reach::resolve(self, uri.kind(), servers, ascent).await else { return };
        let Some(reached) = reach::connect(uri.kind(), resolved, ascent).await else { return };
        if let Parsed::Postgres(uri) = uri {
            postgres::climb(self, uri, reached, ascent).await;
        }
    }
}

/// A climb while it goes on.
#[derive(Debug)]
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

    fn push(&mut self, rung: Rung, outcome: Outcome, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { rung, outcome, milliseconds });
    }
}

#[cfg(test)]
mod tests;
