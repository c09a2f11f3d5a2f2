//! The checks themselves. A single question answers one check; a family answers a variable number.

mod app;
mod app_log;
mod boot;
mod bundle;
mod databases;
mod docker;
mod health;
mod host;
mod instance;
mod network;
mod replicated;
mod source;
mod space;

use futures_util::future::LocalBoxFuture;

pub(super) use databases::climbed;

use super::answer::Outcome;
use super::check::{Check, Group, Id};
use super::facts::{Facts, Stopped};
use super::inquiry::{Inquiry, Sink};

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
    single!(Instance, "instance.identity", "which instance this is, from IMDSv2", instance::identity),
    single!(
        Instance,
        "instance.lifecycle_state",
        "which state the Auto Scaling group wants it in",
        instance::lifecycle_state
    ),
    single!(Instance, "aws.credentials", "whether it has AWS credentials", instance::credentials),
    single!(Instance, "lifecycle.hook", "whether a lifecycle action is pending", instance::hook),
    single!(Host, "host.network", "whether it has a network: link, address, route", network::network),
    single!(Host, "host.dns", "whether its DNS servers respond", host::dns),
    single!(Host, "host.clock", "whether its clock is right", host::clock),
    single!(Host, "host.memory", "whether it has memory left", host::memory),
    single!(Source, "source.settings", "whether settings.conf can be fetched", source::settings),
    single!(Source, "source.replicated", "whether replicated.conf can be fetched", source::replicated),
    single!(Source, "source.license", "whether license.rli can be fetched", source::license),
    single!(
        Source,
        "source.customizations",
        "whether circle-installation-customizations can be fetched",
        source::customizations
    ),
    single!(Source, "source.extra", "whether the extra files can be fetched", source::extra),
    single!(Source, "source.region", "whether the bucket is in this instance's region", source::region),
    single!(Source, "source.valid", "whether the bundle at the source is valid", source::valid),
    single!(Bundle, "bundle.files", "whether all files are in place and readable", bundle::files),
    single!(Bundle, "bundle.valid", "whether what is in place is valid", bundle::valid),
    single!(Bundle, "bundle.drift", "whether the files in place match the source", bundle::drift),
    single!(Docker, "docker.engine", "whether the Docker engine responds, and its version", docker::engine),
    single!(Docker, "docker.storage", "whether its storage driver is suitable", docker::storage),
    single!(Docker, "docker.disk", "whether it has disk space left", docker::disk),
    single!(Docker, "docker.inodes", "whether it has inodes left", docker::inodes),
    single!(Docker, "images.lock", "whether every locked image is present", docker::images),
    single!(
        Replicated,
        "replicated.units",
        "whether systemd started the units that this box needs",
        replicated::units
    ),
    single!(
        Replicated,
        "replicated.containers",
        "whether its containers are running",
        replicated::containers
    ),
    single!(
        Replicated,
        "replicated.images",
        "whether its containers run the locked images",
        replicated::locked_images
    ),
    single!(Replicated, "replicated.version", "whether its version is the pinned one", replicated::version),
    single!(Replicated, "replicated.system", "whether its own parts are ready", replicated::system),
    single!(App, "app.status", "whether Replicated has started the app", app::status),
    single!(App, "app.log", "what the app's last log lines say", app::log),
    single!(Boot, "boot.outcome", "how the last boot ended", boot::outcome),
];

/// A question that answers several checks.
pub(super) type Family = for<'a> fn(&'a Facts<'a>, &'a Sink<'a>) -> LocalBoxFuture<'a, ()>;

pub(super) const FAMILIES: &[Family] =
    &[|facts, sink| Box::pin(databases::ask(facts, sink)), |facts, sink| Box::pin(health::ask(facts, sink))];
