//! Rungs and ladder results: the types in which every product reports.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::connect::Opener;
use super::uri::Product;
use crate::cause::Cause;
use crate::dns::Resolver;
use crate::files::Root;

/// One rung. Those of a product ([`Product::rungs`]) are in climbing order.
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
    /// The database exists, and the user has the privileges that the app needs.
    Database,
    /// The server takes writes.
    Role,
    /// Vault: it is initialized, unsealed and serves clients.
    Health,
    /// Vault: it accepts the token.
    Token,
    /// Vault: the transit engine is mounted, and the token has access.
    Transit,
}

impl Rung {
    /// The rung's name in check IDs and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Uri => "uri",
            Rung::Dns => "dns",
            Rung::Tcp => "tcp",
            Rung::Tls => "tls",
            Rung::Auth => "auth",
            Rung::Database => "database",
            Rung::Role => "role",
            Rung::Health => "health",
            Rung::Token => "token",
            Rung::Transit => "transit",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Product {
    /// The rungs of this product's ladder, in order.
    pub fn rungs(self) -> &'static [Rung] {
        use Rung::{Auth, Database, Dns, Health, Role, Tcp, Tls, Token, Transit, Uri};
        match self {
            Product::Postgres | Product::Mongo => &[Uri, Dns, Tcp, Tls, Auth, Database, Role],
            Product::Vault => &[Uri, Dns, Tcp, Tls, Health, Token, Transit],
        }
    }

    /// The prefix of this product's address names, e.g. `postgres` in `postgres.main`.
    pub fn family(self) -> &'static str {
        match self {
            Product::Postgres => "postgres",
            Product::Mongo => "mongodb",
            Product::Vault => "vault",
        }
    }

    /// The product whose [`Product::family`] a name belongs to.
    pub fn of_name(name: &str) -> Option<Product> {
        let family = name.split_once('.').map_or(name, |(family, _)| family);
        [Product::Postgres, Product::Mongo, Product::Vault].into_iter().find(|kind| kind.family() == family)
    }
}

/// How a rung held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// It held.
    Good {
        /// The result, e.g. the address used and the time it took.
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
pub struct LadderResult {
    /// The database's name, e.g. `postgres.main`.
    pub name: String,
    /// Which kind of database.
    pub kind: Product,
    /// The URI without its secrets; `None` if it is malformed, since it is then unclear which part is secret.
    pub address: Option<String>,
    /// The rungs in order; all of [`Product::rungs`] once the climb is complete.
    pub steps: Vec<Step>,
    /// Warnings that fail no rung: a member that is down, a URI that does not mean what was intended.
    pub warnings: Vec<Cause>,
}

impl LadderResult {
    /// Adds a warning. It replaces an equal one with less evidence.
    pub(super) fn warn(&mut self, warning: Cause) {
        let is_same = |known: &&mut Cause| known.kind == warning.kind && known.sentence == warning.sentence;
        match self.warnings.iter_mut().find(is_same) {
            Some(known) => *known = warning,
            None => self.warnings.push(warning),
        }
    }

    /// The failed rung and its cause.
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
}

/// Climbs ladders.
#[derive(Debug, Clone)]
pub struct LadderProbe {
    pub(super) names: Resolver,
    pub(super) root: Root,
    pub(super) home: PathBuf,
    pub(super) opener: Opener,
}

impl LadderProbe {
    /// Resolves with `names`; certificate files and Unix sockets lie under `root`, libpq's default ones in `home`
    /// (a path of the box, e.g. `/root`).
    pub fn new(names: Resolver, root: Root, home: impl Into<PathBuf>) -> Self {
        LadderProbe { names, root, home: home.into(), opener: Opener::default() }
    }
}

/// A climb while it goes on.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    kind: Product,
    pub(super) steps: Vec<Step>,
    pub(super) warnings: Vec<Cause>,
    deadline: Instant,
}

impl Progress {
    pub(super) fn new(kind: Product, limit: Duration) -> Self {
        Progress { kind, steps: Vec::new(), warnings: Vec::new(), deadline: Instant::now() + limit }
    }

    /// Extends the climb's limit by the time that resolving names `took`, which has its own limit.
    pub(super) fn prolong(&mut self, took: Duration) {
        self.deadline += took;
    }

    /// The remaining time, at most `own`.
    pub(super) fn limit(&self, own: Duration) -> Duration {
        own.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    pub(super) fn good(&mut self, rung: Rung, detail: String, took: Duration) {
        self.push(rung, Outcome::Good { detail }, took);
    }

    /// Records that a rung failed, and that those above it are skipped.
    pub(super) fn failed(&mut self, rung: Rung, cause: Cause, took: Duration) {
        self.push(rung, Outcome::Failed { cause }, took);
        for &above in self.kind.rungs().iter().skip_while(|above| **above != rung).skip(1) {
            self.push(above, Outcome::Skipped { because: rung }, Duration::ZERO);
        }
    }

    fn push(&mut self, rung: Rung, outcome: Outcome, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { rung, outcome, milliseconds });
    }
}
