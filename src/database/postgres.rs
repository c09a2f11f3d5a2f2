//! The upper rungs to PostgreSQL: tls, auth, database, role.
//!
//! The ladder asks for TLS itself instead of leaving that to tokio-postgres, so that each of its ways to fail is a cause
//! of its own; tokio-postgres is then handed the finished connection. What happens when a server does not please is
//! what libpq does: `sslmode` allow and prefer try a second time, and a list of hosts is gone through in order.

mod asked;
mod channel;
mod refusal;

use std::time::Duration;

use openssl::ssl::SslVersion;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{ChannelBinding, SslMode as RawSslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Connection};

use super::reach::{self, Bounded, Place, Reached, Stream};
use super::rung::{Ascent, Climber, Rung};
use super::tls::Terms;
use super::uri::postgres::{SslMode, Target, Wish};
use super::uri::{Host, Kind, PostgresUri, Server};
use crate::cause::Cause;
use channel::{Channel, HandedStream, Wanted};

/// How long the server is given to agree on TLS and to finish the handshake.
const TLS_LIMIT: Duration = Duration::from_secs(3);

/// How long a login may take. Servers delay the answer to a wrong password on purpose, commonly by a second.
const LOGIN_LIMIT: Duration = Duration::from_secs(4);

/// How long the one query is given.
const QUERY_LIMIT: Duration = Duration::from_secs(3);

/// How long the farewell is given, which spares the server a line about a lost connection in its log.
const FAREWELL_LIMIT: Duration = Duration::from_millis(100);

/// The most that a server may send in one climb, in bytes; an honest one sends a few hundred.
const MOST_READ: u64 = 1024 * 1024;

/// The rungs above tcp that one server held or broke.
#[derive(Debug, Default)]
struct Attempt {
    steps: Vec<(Rung, Result<String, Cause>, Duration)>,
    warnings: Vec<Cause>,
    /// Whether libpq would go on to the next server of the list.
    tries_next: bool,
}

impl Attempt {
    fn failure(&self) -> Option<(Rung, &Cause)> {
        self.steps.iter().find_map(|(rung, outcome, _)| outcome.as_ref().err().map(|cause| (*rung, cause)))
    }

    fn broke(mut self, rung: Rung, cause: Cause, took: Duration) -> Self {
        self.steps.push((rung, Err(cause), took));
        self
    }
}

/// Climbs from open connections to the top, server by server.
pub(super) async fn climb(climber: &Climber, uri: &PostgresUri, reached: Vec<Reached>, ascent: &mut Ascent) {
    let mut best: Option<Attempt> = None;
    for server in reached {
        let attempt = Visit { climber, uri, server: &server.server, place: &server.place, ascent }
            .attempt(server.stream)
            .await;
        let (ends, broken) = match attempt.failure() {
            None => (true, None),
            Some((rung, _)) => (!attempt.tries_next, Some(rung)),
        };
        let best_so_far = best.as_ref().and_then(|best| best.failure().map(|(rung, _)| rung));
        if broken.is_none() || best.is_none() || broken > best_so_far {
            let replaced = best.replace(attempt);
            note(ascent, replaced.as_ref());
        } else {
            note(ascent, Some(&attempt));
        }
        if ends {
            break;
        }
    }
    let Some(attempt) = best else { return };
    ascent.warnings.extend(attempt.warnings);
    for (rung, outcome, took) in attempt.steps {
        match outcome {
            Ok(detail) => ascent.good(rung, detail, took),
            Err(cause) => ascent.failed(rung, cause, took),
        }
    }
}

/// A server that was passed over is worth a warning.
fn note(ascent: &mut Ascent, passed_over: Option<&Attempt>) {
    ascent.warnings.extend(passed_over.and_then(|attempt| attempt.failure()).map(|(_, cause)| cause.clone()));
}

/// One server, during one climb.
struct Visit<'a> {
    climber: &'a Climber,
    uri: &'a PostgresUri,
    server: &'a Server,
    place: &'a Place,
    ascent: &'a Ascent,
}

/// A login that the server let in.
type Session = (Client, Connection<Box<dyn Stream>, HandedStream>);

impl Visit<'_> {
    /// What libpq does for this `sslmode`: the first way, and another where the mode has one and the first did not do.
    async fn attempt(&self, stream: Box<dyn Stream>) -> Attempt {
        let on_socket = matches!(self.server.host, Host::Socket(_));
        let (first, second) = match self.uri.tls.mode {
            _ if on_socket => (Wanted::Plaintext("on a Unix socket"), None),
            SslMode::Disable => (Wanted::Plaintext("as sslmode=disable says"), None),
            SslMode::Allow => (Wanted::Plaintext("as sslmode=allow prefers"), Some(Wanted::Required)),
            SslMode::Prefer => (Wanted::Offered, Some(Wanted::Plaintext("after TLS did not do"))),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Wanted::Required, None),
        };
        let attempt = self.attempt_with(first, stream).await;
        if !attempt.steps.iter().any(|(_, outcome, _)| outcome.as_ref().is_err_and(worth_another_way)) {
            return attempt;
        }
        if let Some(second) = second
            && let Ok(stream) = self.reopen().await
        {
            let mut other = self.attempt_with(second, stream).await;
            if other.failure().is_none() {
                other.warnings.extend(attempt.failure().map(|(_, cause)| cause.clone()));
                return other;
            }
        }
        if matches!(first, Wanted::Plaintext(_)) && second.is_none() && !on_socket {
            return self.explain_plaintext_refused(attempt).await;
        }
        attempt
    }

    async fn reopen(&self) -> Result<Box<dyn Stream>, std::io::Error> {
        let limit = self.ascent.limit(TLS_LIMIT);
        timeout(limit, reach::open(self.place))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// A server that lets nobody in over plaintext says the same as one that knows no such client at all. Trying over
    /// TLS tells the two apart.
    async fn explain_plaintext_refused(&self, attempt: Attempt) -> Attempt {
        let refused = attempt.failure().is_some_and(|(_, cause)| cause.kind == refusal::NO_ENTRY);
        let Ok(stream) = self.reopen().await else { return attempt };
        if !refused {
            return attempt;
        }
        let terms = Terms::anything(Kind::Postgres);
        let limit = self.ascent.limit(TLS_LIMIT);
        let Ok(channel) =
            channel::negotiate(self.climber, &terms, Wanted::Required, self.server, stream, limit, false)
                .await
        else {
            return attempt;
        };
        match self.login(channel).await {
            Err((_, cause)) if cause.kind == refusal::NO_ENTRY => attempt,
            _ => Attempt {
                steps: attempt
                    .steps
                    .into_iter()
                    .map(|(rung, outcome, took)| {
                        (rung, outcome.map_err(|cause| refusal::tls_required(self.server, &cause)), took)
                    })
                    .collect(),
                ..attempt
            },
        }
    }

    async fn attempt_with(&self, wanted: Wanted, stream: Box<dyn Stream>) -> Attempt {
        let mut attempt = Attempt::default();
        let started = Instant::now();
        let terms = channel::terms(self.climber, self.uri);
        let limit = self.ascent.limit(TLS_LIMIT);
        let direct = self.uri.tls.direct;
        let negotiated =
            channel::negotiate(self.climber, &terms, wanted, self.server, stream, limit, direct).await;
        let channel = match negotiated {
            Ok(channel) => channel,
            Err(cause) => {
                attempt.tries_next = cause.class == crate::cause::Class::External;
                return attempt.broke(Rung::Tls, cause, started.elapsed());
            }
        };
        attempt.steps.push((Rung::Tls, Ok(channel.detail.clone()), started.elapsed()));

        let started = Instant::now();
        let session = match self.login(channel).await {
            Ok(session) => session,
            Err((rung, cause)) => {
                let (rung, cause) = match self.certificate_refused(&terms, &cause).await {
                    Some(refused) => (Rung::Tls, refused),
                    None => (rung, cause),
                };
                attempt.tries_next = cause.kind == refusal::STARTING_UP;
                if rung == Rung::Tls {
                    // TLS 1.3: the server judges the client's certificate only after the handshake.
                    attempt.steps.clear();
                }
                if rung > Rung::Auth {
                    // The server checks the password first and the database after it.
                    attempt.steps.push((Rung::Auth, Ok(self.who()), started.elapsed()));
                    return attempt.broke(rung, cause, Duration::ZERO);
                }
                return attempt.broke(rung, cause, started.elapsed());
            }
        };
        attempt.steps.push((Rung::Auth, Ok(self.who()), started.elapsed()));
        self.ask(session, attempt).await
    }

    /// In TLS 1.3 the server judges the client's certificate after the handshake, and its word on it is often lost as it
    /// hangs up. In TLS 1.2 the judgement is part of the handshake, so a server that hung up is asked once more in that.
    async fn certificate_refused(&self, terms: &Terms, cause: &Cause) -> Option<Cause> {
        if cause.kind != refusal::CLOSED || terms.identity.is_none() {
            return None;
        }
        let terms = Terms { most: Some(SslVersion::TLS1_2), ..terms.clone() };
        let stream = self.reopen().await.ok()?;
        let limit = self.ascent.limit(TLS_LIMIT);
        let direct = self.uri.tls.direct;
        let second =
            channel::negotiate(self.climber, &terms, Wanted::Required, self.server, stream, limit, direct)
                .await;
        second.err().filter(|cause| cause.kind.starts_with("tls.client_certificate"))
    }

    fn who(&self) -> String {
        let user = self.uri.user.as_deref().unwrap_or_default();
        match self.uri.password {
            Some(_) => format!("logged in as {user}"),
            None => format!("logged in as {user} without a password"),
        }
    }

    async fn login(&self, channel: Channel) -> Result<Session, (Rung, Cause)> {
        let Some(user) = &self.uri.user else {
            return Err((
                Rung::Auth,
                Cause::config(
                    "postgres.no_user",
                    "The PostgreSQL URI names no user.",
                    "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
                ),
            ));
        };
        let mut config = Config::new();
        config.user(user).application_name(self.uri.application_name.as_deref().unwrap_or("boot-agent"));
        if let Some(password) = &self.uri.password {
            config.password(password.expose());
        }
        if let Some(database) = self.uri.effective_database() {
            config.dbname(database);
        }
        if let Some(options) = &self.uri.options {
            config.options(options);
        }
        config.channel_binding(match self.uri.channel_binding {
            Wish::Disable => ChannelBinding::Disable,
            Wish::Prefer => ChannelBinding::Prefer,
            Wish::Require => ChannelBinding::Require,
        });
        match channel.handed {
            // "Direct" makes tokio-postgres start the handshake at once, which `Handed` has finished already.
            Some(_) => config.ssl_mode(RawSslMode::Require).ssl_negotiation(SslNegotiation::Direct),
            None => config.ssl_mode(RawSslMode::Disable),
        };
        let terms = channel::terms(self.climber, self.uri);
        let limit = self.ascent.limit(LOGIN_LIMIT);
        let handed = channel.handed.unwrap_or_default();
        let stream = Bounded::new(channel.stream, MOST_READ);
        let heard = stream.heard();
        let stream: Box<dyn Stream> = Box::new(stream);
        let outcome = timeout(limit, config.connect_raw(stream, handed)).await;
        let heard = heard.bytes();
        match outcome {
            Ok(Ok(session)) => Ok(session),
            _ if !refusal::is_postgres(&heard) => {
                Err((Rung::Auth, refusal::not_postgres(self.server, &heard)))
            }
            Ok(Err(error)) => Err(refusal::of_login(self.uri, self.server, &terms, &error)),
            Err(_) => Err((Rung::Auth, refusal::silent(self.server, "the login", limit))),
        }
    }

    /// The rungs database and role, from the answer to one query.
    async fn ask(&self, session: Session, mut attempt: Attempt) -> Attempt {
        let (client, mut connection) = session;
        let started = Instant::now();
        let limit = self.ascent.limit(QUERY_LIMIT);
        let answer = {
            let query = timeout(limit, asked::ask(&client));
            tokio::select! {
                answer = query => answer.map_err(|_| refusal::silent(self.server, "a query", limit)),
                // The connection ends by itself only when it fails; the query then fails as well and says why.
                _ = &mut connection => Err(refusal::closed(self.server)),
            }
        };
        drop(client);
        let _ = timeout(FAREWELL_LIMIT, connection).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let (rung, cause) = refusal::of_query(self.server, &error);
                return attempt.broke(rung, cause, started.elapsed());
            }
            Err(cause) => return attempt.broke(Rung::Database, cause, started.elapsed()),
        };
        let database = self.uri.effective_database().unwrap_or_default();
        let user = self.uri.user.as_deref().unwrap_or_default();
        match answer.privileges(database, user) {
            Ok(detail) => attempt.steps.push((Rung::Database, Ok(detail), started.elapsed())),
            Err(cause) => return attempt.broke(Rung::Database, cause, started.elapsed()),
        }
        attempt.warnings.extend(answer.version_advice());
        match answer.role(self.server, self.uri.target) {
            Ok(detail) => attempt.steps.push((Rung::Role, Ok(detail), Duration::ZERO)),
            Err(cause) => {
                attempt.tries_next = self.uri.target != Target::Any;
                return attempt.broke(Rung::Role, cause, Duration::ZERO);
            }
        }
        attempt
    }
}

/// Whether libpq's second way (`sslmode` allow and prefer) may do where this cause ended the first.
fn worth_another_way(cause: &Cause) -> bool {
    cause.kind == refusal::NO_ENTRY || (cause.kind.starts_with("tls.") && cause.kind != channel::REFUSED)
}
