//! The rung role: the members that a replica set advertises, and whether one of them accepts writes.
//!
//! A driver that knows of a replica set connects to the names that the set advertises and forgets the seeds, so a set
//! whose members call themselves by names that this box cannot resolve is unusable although every seed answers.

use super::super::uri::MongoUri;
use super::super::uri::mongo::Seeds;
use super::discovery::Advertised;
use super::errors;
use super::hello::{Hello, Member};
use crate::cause::{Cause, Class};
use crate::kind::Kind;

/// Replication lag that triggers a warning, in milliseconds. Idle sets write a no-op every ten seconds.
const LAG: i64 = 60_000;

/// Whether a member belongs to the set in the URI; any does without `replicaSet`.
pub(super) fn belongs(uri: &MongoUri, hello: &Hello) -> bool {
    uri.replica_set.as_ref().is_none_or(|wanted| hello.set_name.as_ref() == Some(wanted))
}

/// Whether the driver starts from more than one server.
fn has_several_seeds(uri: &MongoUri, seeds: &[Member]) -> bool {
    match &uri.seeds {
        Seeds::Servers(servers) => servers.len() > 1,
        Seeds::Srv { .. } => seeds.len() > 1,
    }
}

/// The rung role, and its warnings.
pub(super) struct Judgement {
    pub(super) role: Result<String, Cause>,
    pub(super) warnings: Vec<Cause>,
}

/// What seeds and advertised members together say about the role.
pub(super) fn judge(uri: &MongoUri, seeds: &[Member], advertised: &[Advertised]) -> Judgement {
    let mut warnings = Vec::new();
    let role = match seeds.first() {
        Some(seed) if uri.is_single_seed() || uri.direct_connection || uri.load_balanced => {
            single(uri, seed, advertised, &mut warnings)
        }
        _ => whole_set(uri, seeds, advertised, &mut warnings),
    };
    Judgement { role, warnings }
}

/// One server, with which older drivers stay when `replicaSet` is missing; newer ones go by what it advertises.
fn single(
    uri: &MongoUri,
    seed: &Member,
    advertised: &[Advertised],
    warnings: &mut Vec<Cause>,
) -> Result<String, Cause> {
    let hello = &seed.hello;
    if let (Some(set), false) = (&hello.set_name, uri.direct_connection || uri.load_balanced) {
        warnings.push(
            Cause::config(
                Kind::MongoSingleSeed,
                format!("{} is a member of the replica set {set}, but the URI lacks replicaSet: older drivers do not follow a failover.", seed.server),
                format!("List all members in the URI and add replicaSet={set}."),
            )
            .with("members", hello.members.join(", ")),
        );
        warnings.extend(untold(advertised));
    }
    if let Some(wanted) = &uri.replica_set
        && hello.set_name.as_ref() != Some(wanted)
    {
        return Err(foreign(wanted, std::slice::from_ref(seed)));
    }
    if hello.is_writable {
        return Ok(format!("{}, {}", seed.server, hello.state()));
    }
    if hello.is_arbiter {
        return Err(errors::arbiter_only());
    }
    if !hello.is_secondary || hello.is_unconfigured {
        return Err(not_serving(seed));
    }
    let primary = hello.primary.as_deref().unwrap_or("none at present");
    Err(Cause::new(
        // Without a primary, the election is the problem, whatever the URI says.
        if hello.primary.is_some() { Class::Config } else { Class::External },
        Kind::MongoNotPrimary,
        format!(
            "{} is a {}, which accepts no writes, and the URI lists no other server.",
            seed.server,
            hello.state()
        ),
        format!(
            "List the members that serve clients in the URI and add replicaSet={}.",
            hello.set_name.as_deref().unwrap_or("NAME")
        ),
    )
    .with("primary", primary))
}

fn whole_set(
    uri: &MongoUri,
    seeds: &[Member],
    advertised: &[Advertised],
    warnings: &mut Vec<Cause>,
) -> Result<String, Cause> {
    if let Some(mongos) = seeds.iter().find(|seed| seed.hello.is_mongos)
        && uri.replica_set.is_none()
    {
        return Ok(format!("{}, mongos", mongos.server));
    }
    let (ours, others): (Vec<&Member>, Vec<&Member>) =
        seeds.iter().partition(|seed| belongs(uri, &seed.hello));
    if ours.is_empty() {
        return Err(foreign(uri.replica_set.as_deref().unwrap_or_default(), seeds));
    }
    if let Some(wanted) = &uri.replica_set {
        warnings.extend(others.iter().map(|other| stray(wanted, other)));
    }
    // Drivers drop a standalone server from a list of several, so it serves nobody.
    let (standalone, ours): (Vec<&Member>, Vec<&Member>) =
        ours.into_iter().partition(|seed| seed.hello.is_standalone());
    if let (Some(seed), true) = (standalone.first(), ours.is_empty()) {
        return match has_several_seeds(uri, seeds) {
            true => Err(standalone_among_several(seed)),
            false => Ok(format!("{}, {}", seed.server, seed.hello.state())),
        };
    }
    warnings.extend(standalone.into_iter().map(standalone_among_several));

    // From here on, the names in the set's configuration count.
    let listed = |name: &str| {
        ours.iter().any(|seed| seed.hello.members.iter().any(|one| one.eq_ignore_ascii_case(name)))
    };
    let seeds_by_name =
        ours.iter().map(|seed| (seed.server.to_string(), *seed)).filter(|(name, _)| listed(name));
    let found = advertised.iter().filter_map(|one| Some((one.name.clone(), one.outcome.as_ref().ok()?)));
    let members: Vec<(String, &Member)> = seeds_by_name.chain(found).collect();
    let failures: Vec<&Advertised> = advertised.iter().filter(|one| one.outcome.is_err()).collect();

    let primary = members.iter().find(|(_, member)| member.hello.is_writable);
    let Some((name, primary)) = primary else {
        return Err(no_primary(&ours, &members, &failures));
    };
    warnings.extend(untold(advertised));
    warnings.extend(members.iter().filter_map(|(name, member)| lagging(name, &member.hello, &primary.hello)));
    let set = primary.hello.set_name.as_deref().unwrap_or_default();
    let states = members.iter().map(|(name, member)| format!("{name} {}", member.hello.state()));
    let states: Vec<String> = states.collect();
    Ok(format!("{name}, primary of {set} ({})", states.join(", ")))
}

/// The failures that nothing else tells.
fn untold(advertised: &[Advertised]) -> impl Iterator<Item = Cause> {
    advertised.iter().filter(|one| !one.is_told).filter_map(|one| one.outcome.as_ref().err().cloned())
}

fn lagging(name: &str, member: &Hello, primary: &Hello) -> Option<Cause> {
    let behind = primary.last_write?.saturating_sub(member.last_write.filter(|_| member.is_secondary)?);
    (behind > LAG).then(|| {
        Cause::external(
            Kind::MongoLag,
            format!("{name} is {} s behind the primary.", behind / 1000),
            "Check rs.printSecondaryReplicationInfo() (before 4.4: rs.printSlaveReplicationInfo()) and that member's load; a failover to it would be slow or lose data.",
        )
    })
}

/// Servers that do not belong to the set in the URI.
fn foreign(wanted: &str, seeds: &[Member]) -> Cause {
    let names: Vec<&str> = seeds.iter().filter_map(|seed| seed.hello.set_name.as_deref()).collect();
    if let Some(name) = names.first() {
        return Cause::config(
            Kind::MongoSetNameMismatch,
            format!("The URI specifies the replica set {wanted}, but the servers belong to {name}."),
            format!("If these are the right servers, write replicaSet={name} in the URI."),
        );
    }
    if let Some(seed) = seeds.iter().find(|seed| !seed.hello.is_writable && !seed.hello.is_mongos) {
        return not_serving(seed);
    }
    let states: Vec<String> =
        seeds.iter().map(|seed| format!("{} {}", seed.server, seed.hello.state())).collect();
    Cause::config(
        Kind::MongoNotAReplicaSet,
        format!("The URI specifies the replica set {wanted}, but the server is not in a replica set."),
        "Remove replicaSet from the URI, or start mongod with replSetName and initiate the set.",
    )
    .with("servers", states.join(", "))
}

pub(super) fn not_serving(member: &Member) -> Cause {
    if member.hello.is_unconfigured {
        return errors::not_initiated(&member.server);
    }
    errors::recovering(&member.server).with("member", member.hello.state())
}

/// A seed that does not belong to the set in the URI, while others do.
fn stray(wanted: &str, member: &Member) -> Cause {
    if member.hello.is_unconfigured {
        return errors::not_initiated(&member.server);
    }
    Cause::config(
        Kind::MongoSetNameMismatch,
        format!("{} does not belong to the replica set {wanted}: drivers ignore it.", member.server),
        "Remove it from the URI.",
    )
    .with("member", member.hello.state())
}

fn standalone_among_several(seed: &Member) -> Cause {
    Cause::config(
        Kind::MongoNotAReplicaSet,
        format!("{} is a standalone server in a URI that lists several: drivers ignore it.", seed.server),
        "List only this server in the URI, or only the members of one replica set.",
    )
}

/// A set without a primary that could be reached.
fn no_primary(ours: &[&Member], members: &[(String, &Member)], failures: &[&Advertised]) -> Cause {
    let claimed = ours.iter().find_map(|seed| {
        let hello = &seed.hello;
        hello.primary.clone().or_else(|| hello.me.clone().filter(|_| hello.is_writable))
    });
    let unreached = claimed.and_then(|name| {
        failures
            .iter()
            .find(|one| one.name.eq_ignore_ascii_case(&name))
            .and_then(|one| one.outcome.as_ref().err())
    });
    if let Some(cause) = unreached {
        return cause.clone().with("role", "primary");
    }
    if ours.iter().all(|seed| seed.hello.is_arbiter)
        && members.iter().all(|(_, member)| member.hello.is_arbiter)
        && failures.is_empty()
    {
        return errors::arbiter_only();
    }
    if let (Some(seed), true) = (ours.first(), members.is_empty() && failures.is_empty()) {
        return not_serving(seed);
    }
    let set = ours.iter().find_map(|seed| seed.hello.set_name.as_deref()).unwrap_or_default();
    let cause = Cause::external(
        Kind::MongoNoPrimary,
        format!("The replica set {set} has no primary, so it accepts no writes."),
        "Wait for the election; if there is none, start the members that are down: a majority must see each other.",
    );
    let cause = members.iter().fold(cause, |cause, (name, member)| {
        cause.with("member", format!("{name} {}", member.hello.state()))
    });
    failures.iter().fold(cause, |cause, one| {
        let why = one.outcome.as_ref().err().map_or("", |cause| cause.sentence.as_str());
        cause.with("member", format!("{}: {why}", one.name))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hello(last_write: Option<i64>, is_secondary: bool) -> Hello {
        Hello { last_write, is_secondary, is_writable: !is_secondary, ..Hello::default() }
    }

    #[test]
    fn a_secondary_is_lagging_when_it_misses_more_than_idle_sets_do() {
        let primary = hello(Some(1_795_385_281_000), false);
        let behind = |seconds: i64| {
            let member = hello(primary.last_write.map(|last| last - seconds * 1000), true);
            lagging("db3:27017", &member, &primary)
        };
        for seconds in [-5, 0, 10, 60] {
            assert_eq!(behind(seconds), None, "{seconds}");
        }
        let cause = behind(61).unwrap();
        assert_eq!((cause.kind, cause.class), (Kind::MongoLag, Class::External));
        assert_eq!(cause.sentence, "db3:27017 is 61 s behind the primary.");
        // 3.2 does not report its last write, and an arbiter never does.
        assert_eq!(lagging("db3:27017", &hello(None, true), &primary), None);
        assert_eq!(lagging("db3:27017", &hello(Some(0), false), &primary), None);
    }
}
