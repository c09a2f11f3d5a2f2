//! The upper MongoDB rungs: tls, auth, database, role, using the project's own small wire client.
//!
//! The official driver supports only 4.2 and later, and reports most faults as "no server found"; CircleCI supports
//! 3.2.

mod auth;
mod bson;
mod discovery;
mod errors;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hello;
mod old_driver;
mod privileges;
mod scram;
mod topology;
mod version;
mod wire;

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::rung::{LadderProbe, Progress, Rung};
use super::uri::{MongoUri, Server};
use crate::cause::{Cause, Class};
use auth::Admission;
use discovery::Found;
use hello::Member;

/// Timeout for a login at one member, and for each query after it.
const LOGIN_LIMIT: Duration = Duration::from_secs(3);

/// The rungs above auth: a database rung for each requested database, and one role rung.
#[derive(Debug)]
pub(super) struct AppRungs {
    pub(super) databases: Vec<Result<String, Cause>>,
    pub(super) databases_took: Duration,
    pub(super) role: Result<String, Cause>,
    pub(super) role_took: Duration,
}

/// Climbs from the seeds' names to the top, checking each of `databases` (`None` if a URI has none). `None` if a rung
/// up to auth failed, which is then recorded in `progress`.
pub(super) async fn climb(
    ladder_probe: &LadderProbe,
    uri: &MongoUri,
    databases: &[Option<String>],
    servers: Vec<Server>,
    progress: &mut Progress,
) -> Option<AppRungs> {
    let Found { mut seeds, advertised, took: members_took } =
        discovery::discover(ladder_probe, uri, servers, progress).await?;
    let judged = topology::judge(uri, &seeds, &advertised);
    seeds.extend(advertised.into_iter().filter_map(|member| member.outcome.ok()));

    let started = Instant::now();
    let mut members = login_order(uri, seeds);
    // A member's state is checked before its logins: one that serves no clients may reject every login.
    if !members.iter().any(|member| member.hello.serves()) {
        let cause = match (judged.role, members.first()) {
            (Err(cause), _) => cause,
            (Ok(_), Some(member)) => topology::not_serving(member),
            (Ok(_), None) => errors::arbiter_only(),
        };
        progress.warnings.extend(judged.warnings);
        progress.failed(Rung::Auth, cause, started.elapsed());
        return None;
    }
    members.retain(|member| member.hello.serves());
    let limit = progress.limit(LOGIN_LIMIT * 2);
    let mut member = match log_in(uri, databases, members, limit).await {
        Ok((member, admission)) => {
            progress.good(Rung::Auth, admission.detail, started.elapsed());
            progress.warnings.extend(old_driver::logged_in(uri, admission.as_today));
            progress.warnings.extend(old_driver::without_mechanism(&member));
            progress.warnings.extend(old_driver::without_tls(uri, &member.place).await);
            member
        }
        Err(Unadmitted { cause, trusted }) => {
            progress.warnings.extend(judged.warnings);
            let unserved = [errors::RECOVERING, errors::NOT_PRIMARY].contains(&cause.kind);
            let cause = match judged.role {
                Err(role) if unserved || (!trusted && role.kind != errors::NOT_PRIMARY) => role,
                _ => cause,
            };
            progress.failed(Rung::Auth, cause, started.elapsed());
            return None;
        }
    };
    let server = member.server.clone();

    let started = Instant::now();
    let limit = progress.limit(LOGIN_LIMIT);
    let answers = timeout(limit, async {
        let databases = privileges::ask(uri, databases, &mut member).await;
        (databases, version::ask(&mut member).await)
    })
    .await;
    progress.warnings.extend(judged.warnings);
    let (databases, version) = match answers {
        Ok((judgements, version)) => {
            let outcomes = judgements.into_iter().map(|judgement| {
                progress.warnings.extend(judgement.warnings);
                judgement.outcome
            });
            (outcomes.collect(), Some(version))
        }
        Err(_) => {
            let cause = errors::silent(&server, "the privilege query", limit);
            (databases.iter().map(|_| Err(cause.clone())).collect(), None)
        }
    };
    progress.warnings.extend(version.as_ref().and_then(version::Version::advice));
    let role = judged.role.map(|role| match version {
        Some(version) => format!("{role}; {version}"),
        None => role,
    });
    Some(AppRungs { databases, databases_took: started.elapsed(), role, role_took: members_took })
}

/// The members to log in at, best first: members of the set in the URI, the primary, members that know every user.
/// Arbiters have no users.
fn login_order(uri: &MongoUri, members: Vec<Member>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().filter(|member| !member.hello.is_arbiter).collect();
    members.sort_by_key(|member| {
        let hello = &member.hello;
        // Drivers drop a standalone server from a list of several.
        let belongs = topology::belongs(uri, hello) && (uri.is_single_seed() || !hello.is_standalone());
        let merits = (belongs, hello.is_writable, hello.knows_users(), hello.serves(), !hello.is_hidden);
        std::cmp::Reverse(merits)
    });
    members
}

/// Why no member let the user in.
struct Unadmitted {
    cause: Cause,
    /// Whether the responding member is one of the set and knows every user.
    trusted: bool,
}

/// Logs in at the first member that responds: another may have stepped down or died in the meantime.
async fn log_in(
    uri: &MongoUri,
    databases: &[Option<String>],
    members: Vec<Member>,
    limit: Duration,
) -> Result<(Member, Admission), Unadmitted> {
    let deadline = Instant::now() + limit;
    let mut first: Option<Unadmitted> = None;
    for mut member in members {
        let left = deadline.saturating_duration_since(Instant::now()).min(LOGIN_LIMIT);
        if left.is_zero() && first.is_some() {
            break;
        }
        let login = timeout(left, auth::login(uri, databases, &mut member)).await;
        let cause = match login.unwrap_or_else(|_| Err(errors::silent(&member.server, "the login", left))) {
            Ok(admission) => return Ok((member, admission)),
            Err(cause) => cause,
        };
        let hello = &member.hello;
        let answered = cause.class == Class::Config;
        let failed = match hello.delay {
            delay @ 1.. if answered => {
                Unadmitted { cause: errors::delayed(&member.server, delay, &cause), trusted: false }
            }
            _ => Unadmitted { cause, trusted: topology::belongs(uri, hello) },
        };
        if answered && hello.knows_users() {
            return Err(failed);
        }
        first.get_or_insert(failed);
    }
    Err(first.unwrap_or_else(|| Unadmitted { cause: errors::arbiter_only(), trusted: false }))
}
