//! What a check is: its stable ID, its group, and what it asks.

use std::borrow::Cow;

use crate::database::rung::Rung;
use crate::database::uri::Product;

/// The stable name of a check, e.g. `postgres.main.auth`. Its dotted prefixes are groups of checks.
pub(crate) type Id = Cow<'static, str>;

/// Whether `id` is `family` or one of its members: `postgres.main.auth` is in `postgres` and in `postgres.main`.
pub(crate) fn is_in(id: &str, family: &str) -> bool {
    id.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What a check is about: a heading of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Instance,
    Host,
    Source,
    Bundle,
    Databases,
    Docker,
    Replicated,
    App,
    Boot,
}

impl Group {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::Instance => "This instance",
            Group::Host => "Host",
            Group::Source => "Source",
            Group::Bundle => "Bundle in place",
            Group::Databases => "Databases",
            Group::Docker => "Docker",
            Group::Replicated => "Replicated",
            Group::App => "App",
            Group::Boot => "Last boot",
        }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) id: Id,
    pub(crate) group: Group,
    /// What it asks, in a few words that follow "asks".
    pub(crate) asks: Cow<'static, str>,
}

impl Check {
    pub(super) fn new(group: Group, id: impl Into<Id>, asks: impl Into<Cow<'static, str>>) -> Self {
        Check { id: id.into(), group, asks: asks.into() }
    }
}

/// The pseudo-rung above the ladder: warnings that fail no rung.
pub(super) const ADVICE: &str = "advice";

/// The checks of one database, from the ground up.
pub(super) fn of_database(name: &str) -> Vec<Check> {
    let rungs = Product::of_name(name).map_or(&[][..], Product::rungs).iter().map(|rung| {
        let asks = match rung {
            Rung::Uri => "whether the URI is well-formed",
            Rung::Dns => "whether its host names resolve",
            Rung::Tcp => "whether a server accepts connections",
            Rung::Tls => "whether server and URI agree on TLS",
            Rung::Auth => "whether the server accepts the login",
            Rung::Database => "whether the database exists and the user has access",
            Rung::Role => "whether the server accepts writes",
            Rung::Health => "whether Vault is initialized, unsealed and serves clients",
            Rung::Token => "whether Vault accepts the token, and when it expires",
            Rung::Transit => "whether the transit engine is mounted and the token has access",
        };
        Check::new(Group::Databases, format!("{name}.{rung}"), asks)
    });
    let advice = Check::new(
        Group::Databases,
        format!("{name}.{ADVICE}"),
        "what works but deserves attention: version, members, the URI",
    );
    rungs.chain([advice]).collect()
}

/// The prefix of the health checks; URLs from the settings are numbered.
pub(super) const HEALTH: &str = "app.health";
