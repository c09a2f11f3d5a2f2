//! The upper rungs to MongoDB: tls, auth, database, role, by a small wire client of this project's own.
//!
//! The official driver speaks to 4.2 and later only, and would say of most faults that it found no server; CircleCI
//! supports 3.2.

mod auth;
mod bson;
mod greeting;
mod privileges;
mod refusal;
mod scram;
mod topology;
mod wire;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::reach::{Reached, apart, foremost};
use super::rung::{Ascent, Climber, Rung};
use super::uri::MongoUri;
use crate::cause::Cause;
use greeting::Member;

/// How long a server is given for TLS and for saying who it is.
const GREETING_LIMIT: Duration = Duration::from_secs(3);

/// How long all advertised members are given, from resolving their names to their greeting.
const MEMBERS_LIMIT: Duration = Duration::from_secs(4);

/// How long a login may take, and each question after it.
const LOGIN_LIMIT: Duration = Duration::from_secs(3);

/// The rungs above auth: one database rung for each database that was asked about, and one role for all.
#[derive(Debug)]
pub(super) struct Upper {
    pub(super) databases: Vec<Result<String, Cause>>,
    pub(super) databases_took: Duration,
    pub(super) role: Result<String, Cause>,
    pub(super) role_took: Duration,
}

/// Climbs from open connections to the top, asking for each of `databases` (`None` where a URI names none). `None` when
/// a rung up to auth broke, which is then noted in `ascent`.
pub(super) async fn climb(
    climber: &Climber,
    uri: &MongoUri,
    databases: &[Option<String>],
    reached: Vec<Reached>,
    ascent: &mut Ascent,
) -> Option<Upper> {
    let started = Instant::now();
    let limit = ascent.limit(GREETING_LIMIT);
    let (mut seeds, failures) = apart(
        join_all(reached.into_iter().map(|reached| greeting::greet(climber, uri, reached, limit))).await,
    );
    if seeds.is_empty() {
        ascent.failed(Rung::Tls, foremost(failures)?, started.elapsed());
        return None;
    }
    ascent.warnings.extend(failures);
    ascent.good(Rung::Tls, seeds.first()?.channel.clone(), started.elapsed());

    let started = Instant::now();
    let limit = ascent.limit(MEMBERS_LIMIT);
    let advertised = topology::members(climber, uri, &seeds, limit).await;
    let members_took = started.elapsed();
    let judged = topology::judge(uri, &seeds, &advertised);
    seeds.extend(advertised.into_iter().filter_map(|member| member.outcome.ok()));

    let started = Instant::now();
    let Some(mut member) = best_to_ask(seeds) else {
        let cause = match judged.role {
            Err(cause) => cause,
            Ok(_) => refusal::arbiter_only(),
        };
        ascent.failed(Rung::Auth, cause, started.elapsed());
        return None;
    };
    let server = member.server.clone();
    let limit = ascent.limit(LOGIN_LIMIT);
    let login = timeout(limit, auth::login(uri, databases, &mut member)).await;
    match login.unwrap_or_else(|_| Err(refusal::silent(&server, "the login", limit))) {
        Ok(detail) => ascent.good(Rung::Auth, detail, started.elapsed()),
        Err(cause) => {
            ascent.warnings.extend(judged.warnings);
            // A member that serves nobody refuses a login as well; why it serves nobody is the better answer.
            let cause = match judged.role {
                Err(role) if cause.kind == refusal::RECOVERING => role,
                _ => cause,
            };
            ascent.failed(Rung::Auth, cause, started.elapsed());
            return None;
        }
    }

    let started = Instant::now();
    let limit = ascent.limit(LOGIN_LIMIT);
    let answers = timeout(limit, async {
        let databases = privileges::ask(uri, databases, &mut member).await;
        (databases, topology::version(&mut member).await)
    })
    .await;
    ascent.warnings.extend(judged.warnings);
    let (databases, version) = match answers {
        Ok((answers, version)) => (answers, Some(version)),
        Err(_) => {
            let cause = refusal::silent(&server, "the question for privileges", limit);
            (databases.iter().map(|_| Err(cause.clone())).collect(), None)
        }
    };
    ascent.warnings.extend(version.as_ref().and_then(topology::Version::advice));
    let role = judged.role.map(|role| match version {
        Some(version) => format!("{role}; {version}"),
        None => role,
    });
    Some(Upper { databases, databases_took: started.elapsed(), role, role_took: members_took })
}

/// The member to log in at: one that takes writes, else one that has data. Arbiters have no users.
fn best_to_ask(members: Vec<Member>) -> Option<Member> {
    members.into_iter().filter(|member| !member.hello.is_arbiter).max_by_key(|member| {
        let hello = &member.hello;
        (hello.is_writable, hello.is_secondary)
    })
}
