//! Which failures are the cause of the others.
//!
//! Two steps. Equal causes are one root, however many checks saw them: a dead DNS server is seen by every lookup. Then
//! deeper failures explain those that depend on them: an app that does not start because its database rejects the
//! password needs no separate diagnosis.

use serde::Serialize;

use super::answer::{Answer, Outcome};
use super::check::{Id, is_in};
use crate::cause::Cause;
use crate::kind::{Area, Kind};

/// One thing to mend, and what it explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RootCause {
    /// What is wrong.
    pub(crate) cause: Cause,
    /// Whether it breaks something; else it is a warning.
    pub(crate) is_failure: bool,
    /// The checks that saw it.
    pub(crate) seen_by: Vec<Id>,
    /// The checks that failed or were skipped because of it.
    pub(crate) explains: Vec<Id>,
}

/// Groups of checks, deepest first: an earlier one can be the cause of a later one, never the other way round.
const DEPTH: &[&str] = &[
    "host.network",
    "host.dns",
    "host.clock",
    "docker.disk",
    "docker.inodes",
    "host.memory",
    "instance",
    "aws.credentials",
    "source",
    "bundle.files",
    "bundle",
    "docker.engine",
    "docker",
    "postgres",
    "mongodb",
    "images",
    "replicated.units",
    "replicated.containers",
    "replicated",
    "app.log",
    "app.status",
    "app",
    "lifecycle",
    "boot",
];

/// Which groups of failures are explained by a failure in the first one.
const EXPLAINS: &[(&str, &[&str])] = &[
    ("host.clock", &["aws", "source", "lifecycle"]),
    ("docker.disk", &["docker", "images", "replicated", "app"]),
    ("docker.inodes", &["docker", "images", "replicated", "app"]),
    ("instance.identity", &["instance", "aws", "source", "lifecycle"]),
    ("aws.credentials", &["source", "lifecycle"]),
    ("source", &["source.valid", "bundle"]),
    ("bundle.files", &["bundle"]),
    ("bundle", &["postgres", "mongodb", "replicated", "app"]),
    ("host.memory", &["docker", "replicated", "app"]),
    ("docker.engine", &["docker", "images", "replicated", "app"]),
    ("images", &["replicated", "app"]),
    ("postgres", &["app"]),
    ("mongodb", &["app"]),
    ("replicated", &["replicated", "app"]),
    ("app.log", &["app"]),
    ("app.status", &["app.health"]),
];

/// Kinds with one fix for any number of objects, since they share a policy or key.
const ONE_FOR_ALL: &[Kind] = &[Kind::S3AccessDenied, Kind::S3KmsDenied, Kind::S3Unreachable];

/// The check of the network itself: what failed for want of it, it explains, whatever was asked.
const NETWORK: &str = "host.network";

/// The check of the last boot's outcome. Only its recorded cause explains it: see [`is_of_boot`].
const LAST_BOOT: &str = "boot.outcome";

/// The families of checks that are about the causes of an area.
fn families(area: Area) -> &'static [&'static str] {
    match area {
        Area::App => &["app"],
        Area::Replicated | Area::Installer | Area::Airgap => &["replicated"],
        Area::Docker | Area::Images | Area::Registry | Area::Lock => &["docker", "images"],
        Area::S3
        | Area::Source
        | Area::Bundle
        | Area::Circleconfig
        | Area::Customizations
        | Area::License
        | Area::ReplicatedConf
        | Area::SettingsConf => &["source", "bundle"],
        Area::Lifecycle | Area::Autoscaling => &["lifecycle"],
        Area::Imds => &["instance"],
        Area::Aws => &["aws"],
        Area::Host => &["host", "docker"],
        Area::Dns | Area::Tcp | Area::Tls | Area::Postgres | Area::Mongo | Area::Vault => {
            &["postgres", "mongodb", "vault"]
        }
        _ => &[],
    }
}

/// The root causes: failures first, then by depth.
pub(crate) fn rank(answers: &[Answer]) -> Vec<RootCause> {
    let mut roots = Vec::new();
    let last_boot =
        answers.iter().find(|answer| answer.id == LAST_BOOT).and_then(|answer| answer.outcome.cause());
    let recorded: &[Kind] = last_boot.map_or(&[], |cause| &cause.quotes);
    for is_failure in [true, false] {
        let mut found: Vec<(&Answer, &Cause)> = answers
            .iter()
            .filter(|answer| answer.outcome.is_failed() == is_failure)
            .flat_map(|answer| answer.causes().map(move |cause| (answer, cause)))
            .collect();
        found.sort_by_key(|(answer, cause)| (answer.id != NETWORK, !is_of_dns(cause), depth(&answer.id)));
        for (answer, cause) in found {
            place(&mut roots, recorded, answer, cause, is_failure);
        }
    }
    for answer in answers {
        if let Outcome::Skipped { waits_for: Some(awaited), .. } = &answer.outcome {
            let holds =
                |root: &&mut RootCause| root.seen_by.contains(awaited) || root.explains.contains(awaited);
            if let Some(root) = roots.iter_mut().find(holds) {
                root.explains.push(answer.id.clone());
            }
        }
    }
    roots
}

fn place(roots: &mut Vec<RootCause>, recorded: &[Kind], answer: &Answer, cause: &Cause, is_failure: bool) {
    if let Some(root) =
        roots.iter_mut().find(|root| root.is_failure == is_failure && is_same(&root.cause, cause))
    {
        if !root.seen_by.contains(&answer.id) {
            root.seen_by.push(answer.id.clone());
        }
        return;
    }
    if is_failure
        && let Some(root) = roots.iter_mut().find(|root| match answer.id.as_ref() {
            LAST_BOOT => is_of_boot(root, recorded),
            id => root.seen_by.iter().any(|seen| match seen.as_ref() {
                NETWORK => is_of_network(cause),
                seen => explains(seen, id),
            }),
        })
    {
        root.explains.push(answer.id.clone());
        return;
    }
    roots.push(RootCause {
        cause: cause.clone(),
        is_failure,
        seen_by: vec![answer.id.clone()],
        explains: Vec::new(),
    });
}

/// Whether two causes have one fix: equal sentences, two names that no DNS server resolved, or two objects of one
/// policy.
fn is_same(one: &Cause, other: &Cause) -> bool {
    (is_of_dns(one) && is_of_dns(other))
        || (one.kind == other.kind && (one.sentence == other.sentence || ONE_FOR_ALL.contains(&one.kind)))
}

/// Whether the DNS server is the problem and not the name.
fn is_of_dns(cause: &Cause) -> bool {
    matches!(cause.kind, Kind::DnsTimeout | Kind::DnsNoServer)
}

/// Whether it is that something could not be reached.
fn is_of_network(cause: &Cause) -> bool {
    matches!(
        cause.kind,
        Kind::DnsTimeout
            | Kind::DnsNoServer
            | Kind::ImdsUnreachable
            | Kind::TcpTimeout
            | Kind::TcpUnreachable
            | Kind::S3Unreachable
            | Kind::AutoscalingUnreachable
            | Kind::RegistryUnreachable
    )
}

fn depth(id: &str) -> usize {
    DEPTH.iter().position(|family| is_in(id, family)).unwrap_or(DEPTH.len())
}

fn explains(root: &str, other: &str) -> bool {
    EXPLAINS
        .iter()
        .filter(|(family, _)| is_in(root, family))
        .any(|(_, explained)| explained.iter().any(|family| is_in(other, family)))
}

/// Whether a root is what the last boot failed of: the same kind, or what lies below the checks of its area.
fn is_of_boot(root: &RootCause, recorded: &[Kind]) -> bool {
    let is_below = |seen: &str, kind: &Kind| {
        families(kind.area()).iter().any(|family| is_in(seen, family) || explains(seen, family))
    };
    recorded
        .iter()
        .any(|kind| root.cause.kind == *kind || root.seen_by.iter().any(|seen| is_below(seen, kind)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::check::Group;
    use super::*;

    fn answer(id: &'static str, outcome: Outcome) -> Answer {
        Answer::new(id, Group::App, outcome, Duration::ZERO)
    }

    fn boot_that_failed_of(kind: Kind) -> Answer {
        let mut cause = Cause::host(Kind::BootNotInService, "The last boot failed.", "x");
        cause.quotes.push(kind);
        answer("boot.outcome", Outcome::Failed { cause })
    }

    #[test]
    fn what_the_last_boot_did_not_fail_of_does_not_explain_it() {
        let answers =
            [failed("mongodb.main.dns", Kind::DnsTimeout), boot_that_failed_of(Kind::InstallerExit)];
        assert_eq!(rank(&answers).len(), 2);
        let answers = [
            failed("postgres.main.auth", Kind::PostgresPasswordRejected),
            boot_that_failed_of(Kind::AppStarting),
        ];
        assert_eq!(rank(&answers)[0].explains, ["boot.outcome"]);
        let answers = [failed("docker.disk", Kind::HostDiskFull), boot_that_failed_of(Kind::HostDiskFull)];
        assert_eq!(rank(&answers)[0].explains, ["boot.outcome"]);
    }

    fn failed(id: &'static str, kind: Kind) -> Answer {
        let cause = Cause::new(kind.classes()[0], kind, format!("{kind} is the matter."), "Mend it.");
        answer(id, Outcome::Failed { cause })
    }

    #[test]
    fn a_dead_dns_server_is_one_cause_and_not_nine() {
        let said = |name: &str| Outcome::Failed {
            cause: Cause::external(
                Kind::DnsTimeout,
                format!("No DNS server answered when asked for {name}."),
                "x",
            ),
        };
        let answers = [
            answer("source.settings", said("s3.amazonaws.com")),
            answer("postgres.main.dns", said("db.example")),
            answer("postgres.main.tcp", Outcome::waits_for("postgres.main.dns")),
            answer("mongodb.main.dns", said("mongo.example")),
            failed("app.status", Kind::AppStarting),
            failed("app.health.frontend", Kind::AppHealth),
            boot_that_failed_of(Kind::DnsTimeout),
            answer("host.dns", said("any name")),
        ];
        let roots = rank(&answers);
        assert_eq!(roots.len(), 1, "{roots:#?}");
        assert_eq!(roots[0].seen_by[0], "host.dns");
        assert_eq!(roots[0].seen_by.len() + roots[0].explains.len(), answers.len());
    }

    #[test]
    fn what_rests_on_nothing_broken_stands_for_itself() {
        let answers = [
            failed("app.status", Kind::AppStopped),
            failed("docker.disk", Kind::HostDiskFull),
            failed("postgres.main.auth", Kind::PostgresPasswordRejected),
        ];
        let kinds: Vec<_> = rank(&answers).into_iter().map(|root| root.cause.kind).collect();
        assert_eq!(kinds, [Kind::HostDiskFull, Kind::PostgresPasswordRejected]);
    }

    #[test]
    fn each_warning_of_one_check_is_a_finding_of_its_own() {
        let warning = |kind| Cause::config(kind, format!("{kind} deserves a look."), "x");
        let mut advice =
            answer("mongodb.main.advice", Outcome::Warning { cause: warning(Kind::MongoVersion) });
        advice.also = vec![warning(Kind::MongoUriBoolean), warning(Kind::MongoVersion)];
        let roots = rank(&[advice]);
        let kinds: Vec<_> = roots.iter().map(|root| root.cause.kind).collect();
        assert_eq!(kinds, [Kind::MongoVersion, Kind::MongoUriBoolean]);
        assert!(roots.iter().all(|root| root.seen_by == ["mongodb.main.advice"]), "{roots:#?}");
    }

    #[test]
    fn a_warning_explains_nothing() {
        let cause = Cause::host(Kind::HostLittleMemory, "Memory is low.", "x");
        let answers =
            [answer("host.memory", Outcome::Warning { cause }), failed("app.status", Kind::AppStopped)];
        let roots = rank(&answers);
        assert_eq!(roots.len(), 2);
        assert!(roots[0].is_failure && !roots[1].is_failure);
    }
}
