//! Discovers members: from the seeds of a URI to the members that the set advertises, concurrently.
//!
//! The first response starts the grace period of the others (RFC 8305, happy eyeballs), so any number of members behind
//! a packet-dropping firewall cost half a second in total. A server is tried once under each of its names in the URI
//! and the set, and at each address.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use super::super::connect::{self, Others, Place, Trail, Way, first_with_others};
use super::super::rung::{LadderProbe, Progress, Rung};
use super::super::uri::{Host, MongoUri, Product, Server};
use super::hello::{self, Member};
use super::{errors, topology};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::race::{GRACE, Grace};

/// The maximum number of members of a replica set; a longer list is bogus.
const MOST_MEMBERS: usize = 50;

/// Timeout for TLS and `isMaster`.
const GREETING_LIMIT: Duration = Duration::from_secs(3);

/// How long connected members get to respond after the primary did. A busy member may take a while; a hung one is not
/// waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A member under the name by which the set advertises it.
pub(super) struct Advertised {
    pub(super) name: String,
    pub(super) outcome: Result<Member, Cause>,
    /// Its failure was already reported: it was tried as a seed, or under another name.
    pub(super) is_told: bool,
}

/// All servers that responded, and the other members that the set advertises.
pub(super) struct Found {
    pub(super) seeds: Vec<Member>,
    pub(super) advertised: Vec<Advertised>,
    pub(super) took: Duration,
}

/// Finds the members, starting with the seeds, and records the rungs dns, tcp and tls. `None` if one of these failed:
/// no seed responded.
pub(super) async fn discover(
    ladder_probe: &LadderProbe,
    uri: &MongoUri,
    servers: Vec<Server>,
    progress: &mut Progress,
) -> Option<Found> {
    let mut search = Search {
        ladder_probe,
        uri,
        started: Instant::now(),
        candidates: Vec::new(),
        names: Vec::new(),
        running: FuturesUnordered::new(),
        claims: Claims::default(),
        first_greeting: None,
        grace: Grace::new(GRACE),
        patience: Grace::new(PATIENCE),
    };
    for server in servers {
        search.begin(server, true);
    }
    search.run().await;
    search.finish(progress).await
}

/// A server that is tried.
struct Candidate {
    way: Way,
    is_seed: bool,
    /// An earlier candidate at the same address.
    same_as: Option<usize>,
    outcome: Option<Result<Member, Cause>>,
    others: Option<(Place, Others)>,
}

/// What one attempt comes to.
enum Leg {
    /// Its addresses are those of another candidate.
    SameAs(usize),
    Done(Box<Result<Member, Cause>>, Option<(Place, Others)>),
}

/// Which candidate was the first at an address.
type Claims = Arc<Mutex<Vec<(Place, usize)>>>;

/// The candidate that is at all of these addresses already; else they are the new one's.
fn claim(claims: &Claims, places: &[Place], index: usize) -> Option<usize> {
    let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
    let owner = |place: &Place| claims.iter().find(|(known, _)| known == place).map(|(_, owner)| *owner);
    let owners: Option<Vec<usize>> = places.iter().map(owner).collect();
    if let Some(first) = owners.as_ref().and_then(|owners| owners.first()) {
        return Some(*first);
    }
    claims.extend(places.iter().map(|place| (place.clone(), index)));
    None
}

struct Search<'s> {
    ladder_probe: &'s LadderProbe,
    uri: &'s MongoUri,
    started: Instant,
    candidates: Vec<Candidate>,
    /// The members' names in order of discovery, each with its candidate or why it has none.
    names: Vec<(String, Result<usize, Cause>)>,
    running: FuturesUnordered<BoxFuture<'s, (usize, Leg)>>,
    claims: Claims,
    first_greeting: Option<Duration>,
    /// For servers that are not connected, from the first response on.
    grace: Grace,
    /// For connected servers, from the primary's response on.
    patience: Grace,
}

impl<'s> Search<'s> {
    fn begin(&mut self, server: Server, is_seed: bool) -> usize {
        let index = self.candidates.len();
        let way = Way::to(server.clone());
        let (ladder_probe, uri, claims, trail) =
            (self.ladder_probe, self.uri, self.claims.clone(), way.trail.clone());
        self.candidates.push(Candidate { way, is_seed, same_as: None, outcome: None, others: None });
        self.running.push(Box::pin(async move {
            let places = match ladder_probe.resolve(Product::Mongo, &server, &trail).await {
                Ok(places) => places,
                Err(cause) => {
                    let cause = match is_seed {
                        true => srv_instead(ladder_probe, &server, cause).await,
                        false => cause,
                    };
                    return (index, Leg::Done(Box::new(Err(cause)), None));
                }
            };
            let leg = match claim(&claims, &places, index) {
                Some(other) => Leg::SameAs(other),
                None => arrive(ladder_probe, uri, &server, places, &trail).await,
            };
            (index, leg)
        }));
        index
    }

    async fn run(&mut self) {
        let mut grace_is_over = false;
        loop {
            tokio::select! {
                biased;
                leg = self.running.next() => match leg {
                    Some((index, leg)) => self.take(index, leg),
                    None => return,
                },
                () = self.grace.over(), if !grace_is_over => grace_is_over = true,
                () = self.patience.over() => return,
            }
            let is_greeting = |one: &Candidate| one.outcome.is_none() && one.way.trail.is_connected();
            if grace_is_over && !self.candidates.iter().any(is_greeting) {
                return;
            }
        }
    }

    fn take(&mut self, index: usize, leg: Leg) {
        match leg {
            Leg::SameAs(other) => {
                self.candidates[index].same_as = Some(other);
                self.follow_twin(index, other);
            }
            Leg::Done(outcome, others) => {
                if let Ok(member) = &*outcome {
                    self.greeted(member, self.candidates[index].is_seed);
                }
                let candidate = &mut self.candidates[index];
                candidate.outcome = Some(*outcome);
                candidate.others = others;
                let twins =
                    (0..self.candidates.len()).filter(|twin| self.candidates[*twin].same_as == Some(index));
                for twin in twins.collect::<Vec<_>>() {
                    self.follow_twin(twin, index);
                }
            }
        }
    }

    /// A live server is also tried under its other name, which its certificate may lack; a dead one is not.
    fn follow_twin(&mut self, twin: usize, other: usize) {
        if self.candidates[twin].outcome.is_some() || !matches!(self.candidates[other].outcome, Some(Ok(_))) {
            return;
        }
        let (ladder_probe, uri) = (self.ladder_probe, self.uri);
        let way = &self.candidates[twin].way;
        let (server, trail) = (way.server.clone(), way.trail.clone());
        let places = trail.places().map(<[Place]>::to_vec).unwrap_or_default();
        self.running
            .push(Box::pin(async move { (twin, arrive(ladder_probe, uri, &server, places, &trail).await) }));
    }

    fn greeted(&mut self, member: &Member, is_seed: bool) {
        self.first_greeting.get_or_insert_with(|| self.started.elapsed());
        self.grace.begin();
        if member.hello.is_writable {
            self.patience.begin();
        }
        if !is_seed
            || self.uri.direct_connection
            || self.uri.load_balanced
            || !topology::belongs(self.uri, &member.hello)
        {
            return;
        }
        for name in &member.hello.members {
            let is_known = self.names.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            if is_known || self.names.len() >= MOST_MEMBERS {
                continue;
            }
            let is_tried = |one: &Candidate| one.way.server.to_string().eq_ignore_ascii_case(name);
            let tried = match (self.candidates.iter().position(is_tried), server(name)) {
                (Some(index), _) => Ok(index),
                (None, Some(server)) => Ok(self.begin(server, false)),
                (None, None) => {
                    Err(unusable(Kind::MongoMemberName, name, "has a name that is not HOST:PORT")
                        .with("advertised", name))
                }
            };
            self.names.push((name.clone(), tried));
        }
    }

    async fn finish(mut self, progress: &mut Progress) -> Option<Found> {
        let waited = self.started.elapsed();
        // What is still under way is given up.
        self.running.clear();
        for index in 0..self.candidates.len() {
            let twin = self.candidates[index].same_as.map(|twin| (twin, self.failure_of(twin)));
            let candidate = &mut self.candidates[index];
            match (&candidate.outcome, twin) {
                (None, Some((_, Some(cause)))) => candidate.outcome = Some(Err(cause)),
                (None, _) if candidate.way.trail.is_connected() => {
                    let cause = errors::silent(&candidate.way.server, "isMaster", waited);
                    candidate.outcome = Some(Err(cause));
                }
                (None, _) => candidate.way.give_up(Product::Mongo, waited),
                (Some(Err(cause)), _) if !candidate.way.trail.is_connected() => {
                    candidate.way.failure = Some(cause.clone());
                }
                (Some(_), _) => {}
            }
        }
        let settling = self.candidates.iter_mut().filter_map(|one| {
            let (place, others) = one.others.take()?;
            Some(others.settle(Product::Mongo, &one.way.server, place, &self.grace))
        });
        let warnings = join_all(settling).await.concat();
        self.note(waited, warnings, progress)
    }

    /// Why a candidate cannot be used.
    fn failure_of(&self, index: usize) -> Option<Cause> {
        let candidate = &self.candidates[index];
        let greeting = candidate.outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
        candidate.way.failure.as_ref().or(greeting).cloned()
    }

    fn note(mut self, waited: Duration, warnings: Vec<Cause>, progress: &mut Progress) -> Option<Found> {
        let advertised_failures: Vec<Option<Cause>> = self
            .names
            .iter()
            .map(|(name, tried)| match tried {
                Ok(index) => self.failure_of(*index).map(|cause| self.as_member(name, *index, &cause)),
                Err(cause) => Some(cause.clone()),
            })
            .collect();
        // Two seeds at one address are one server, whose failure is reported once.
        let is_told = |candidate: &Candidate| candidate.is_seed && candidate.same_as.is_none();
        let ways = self.candidates.iter_mut().filter(|one| is_told(one));
        let ways = ways.map(|one| Way {
            server: one.way.server.clone(),
            trail: one.way.trail.clone(),
            failure: one.way.failure.clone(),
        });
        connect::note(ways.collect(), waited, progress)?;
        let names = self.names;
        let mut seeds = Vec::new();
        let mut failures = Vec::new();
        let mut members: Vec<Option<Member>> = Vec::new();
        let mut told: Vec<bool> = Vec::new();
        let mut seed_indices = Vec::new();
        for (index, candidate) in self.candidates.into_iter().enumerate() {
            told.push(candidate.is_seed || candidate.same_as.is_some());
            let tells = is_told(&candidate);
            match candidate.outcome {
                Some(Ok(member)) if candidate.is_seed => {
                    seed_indices.push(index);
                    seeds.push(member);
                    members.push(None);
                }
                Some(Ok(member)) => members.push(Some(member)),
                outcome => {
                    if let Some(Err(cause)) = outcome
                        && tells
                        && candidate.way.trail.is_connected()
                    {
                        failures.push(cause);
                    }
                    members.push(None);
                }
            }
        }
        let before = Duration::from_millis(progress.steps.iter().map(|step| step.milliseconds).sum());
        if seeds.is_empty() {
            progress.failed(Rung::Tls, first_with_others(failures)?, waited.saturating_sub(before));
            return None;
        }
        progress.warnings.extend(warnings);
        progress.warnings.extend(failures);
        let greeting = self.first_greeting.unwrap_or(waited).saturating_sub(before);
        progress.good(Rung::Tls, seeds.first()?.channel.clone(), greeting);
        let advertised = names.into_iter().zip(advertised_failures).filter_map(|((name, tried), failure)| {
            let index = tried.as_ref().ok().copied();
            let is_told = index.is_some_and(|index| told.get(index) == Some(&true));
            match (failure, index) {
                (Some(cause), _) => Some(Advertised { name, outcome: Err(cause), is_told }),
                (None, Some(index)) if seed_indices.contains(&index) => None,
                (None, Some(index)) => {
                    let member = members.get_mut(index)?.take()?;
                    Some(Advertised { name, outcome: Ok(member), is_told })
                }
                (None, None) => None,
            }
        });
        Some(Found { seeds, advertised: advertised.collect(), took: waited })
    }

    /// A failure as one of a member of the set.
    fn as_member(&self, name: &str, index: usize, cause: &Cause) -> Cause {
        let candidate = &self.candidates[index];
        let trail = &candidate.same_as.map_or(candidate, |twin| &self.candidates[twin]).way.trail;
        let (kind, what) = match (trail.places(), trail.is_connected()) {
            (None, _) => (Kind::MongoMemberUnresolvable, "has a name that does not resolve on this box"),
            (Some(_), false) => (Kind::MongoMemberUnreachable, "is unreachable from this box"),
            (Some(_), true) => (Kind::MongoMemberUnusable, "is reachable but unusable"),
        };
        let mut member = unusable(kind, name, what).with("because", &cause.sentence);
        if kind == Kind::MongoMemberUnusable {
            // Its address is right and its port is open: what is wrong is what answered.
            member.next_step.clone_from(&cause.next_step);
        }
        member.evidence.extend(cause.evidence.iter().cloned());
        member
    }
}

/// A seed without an address may be a name of SRV records, which another scheme asks for.
async fn srv_instead(ladder_probe: &LadderProbe, server: &Server, cause: Cause) -> Cause {
    let Host::Name(name) = &server.host else { return cause };
    if ![Kind::DnsNoAddress, Kind::DnsNoSuchName].contains(&cause.kind) {
        return cause;
    }
    let record = format!("_mongodb._tcp.{name}");
    let asked = timeout(GRACE, ladder_probe.names.services(&record)).await;
    if !matches!(asked, Ok(Ok(services)) if !services.is_empty()) {
        return cause;
    }
    let mut instead = Cause::config(
        Kind::MongoSrvName,
        format!("{name} has no address but SRV records: it is the name of a whole set, for mongodb+srv://."),
        "Write mongodb+srv:// without a port; for older drivers, list the servers of the SRV records: mongodb://HOST:PORT,…",
    )
    .with("record", record);
    instead.evidence.extend(cause.evidence);
    instead
}

async fn arrive(
    ladder_probe: &LadderProbe,
    uri: &MongoUri,
    server: &Server,
    places: Vec<Place>,
    trail: &Trail,
) -> Leg {
    let mut reached = match ladder_probe.connect(Product::Mongo, server, places, trail).await {
        Ok(reached) => reached,
        Err(cause) => return Leg::Done(Box::new(Err(cause)), None),
    };
    let others = reached.others.take().map(|others| (reached.place.clone(), others));
    Leg::Done(Box::new(hello::greet(ladder_probe, uri, reached, GREETING_LIMIT).await), others)
}

/// `host:port` as replica sets write it; an IPv6 address is in brackets.
fn server(name: &str) -> Option<Server> {
    let (host, port) = name.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse() {
        Ok(address) => Host::Address(address),
        Err(_) if host.is_empty() || host.contains(['/', ':']) => return None,
        Err(_) => Host::Name(host.to_owned()),
    };
    Some(Server { host, address: None, port })
}

fn unusable(kind: Kind, name: &str, what: &str) -> Cause {
    Cause::external(
        kind,
        format!("The replica set member {name} {what}."),
        "Make the name resolvable and its port reachable from this box, or rename the member: rs.reconfig().",
    )
}

#[cfg(test)]
mod tests;
