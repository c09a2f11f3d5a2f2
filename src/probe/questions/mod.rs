//! The questions themselves. A single question answers one check; a family answers as many as it finds.

mod app;
mod boot;
mod databases;
mod docker;
mod health;
mod instance;
mod source;

use futures_util::future::LocalBoxFuture;

pub(super) use databases::climbed;

use super::answer::Outcome;
use super::check::{Check, Group, Id};
use super::facts::{Facts, Stopped};
use super::round::{Inquiry, Sink};

/// What a single question comes to.
pub(super) type Answered<'a> = LocalBoxFuture<'a, Result<Outcome, Stopped>>;

/// A question that answers exactly one check.
pub(super) struct Single {
    pub(super) group: Group,
    pub(super) id: &'static str,
    asks: &'static str,
    pub(super) ask: for<'a> fn(&'a Inquiry<'a>) -> Answered<'a>,
}

impl Single {
    pub(super) fn check(&self) -> Check {
        Check::new(self.group, Id::Borrowed(self.id), self.asks)
    }
}

macro_rules! single {
    ($group:ident, $id:literal, $asks:literal, $ask:path) => {
        Single { group: Group::$group, id: $id, asks: $asks, ask: |inquiry| Box::pin($ask(inquiry)) }
    };
}

pub(super) const SINGLES: &[Single] = &[
    single!(Instance, "instance.identity", "which instance this is, of IMDSv2", instance::identity),
    single!(
        Instance,
        "instance.lifecycle_state",
        "where the Auto Scaling group wants it",
        instance::lifecycle_state
    ),
    single!(Instance, "aws.credentials", "whether it has credentials for AWS", instance::credentials),
    single!(Instance, "lifecycle.hook", "whether its group waits for a lifecycle action", instance::hook),
    single!(Source, "source.bundle", "whether every object of the bundle can be fetched", source::bundle),
    single!(Docker, "docker.engine", "whether the Docker engine answers", docker::engine),
    single!(App, "app.status", "whether Replicated has started the app", app::status),
    single!(Boot, "boot.outcome", "how the last boot ended", boot::outcome),
];

/// A question that answers several checks.
pub(super) type Family = for<'a> fn(&'a Facts<'a>, &'a Sink<'a>) -> LocalBoxFuture<'a, ()>;

pub(super) const FAMILIES: &[Family] =
    &[|facts, sink| Box::pin(databases::ask(facts, sink)), |facts, sink| Box::pin(health::ask(facts, sink))];
