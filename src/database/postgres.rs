//! The upper rungs to PostgreSQL: tls, auth, database, role.
//!
//! The ladder negotiates TLS itself, so that each failure has its own cause, and hands the finished connection to
//! tokio-postgres. Retries follow libpq: `sslmode` allow and prefer try a second way, and a list of hosts is tried in
//! order.

mod attempt;
mod channel;
mod errors;
mod methods;
mod pooler;
mod probe_query;

use std::pin::pin;
use std::time::Duration;

use openssl::ssl::SslVersion;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{ChannelBinding, SslMode as RawSslMode, SslNegotiation};
use tokio_postgres::{Client, Config, Connection};

use super::connect::{self, LimitedStream, Place, Reached, Stream};
use super::listener;
use super::rung::{LadderProbe, Progress, Rung};
use super::tls::Terms;
use super::uri::postgres::{SessionTarget, SslMode, Wish};
use super::uri::{Host, PostgresUri, Product, Server};
use crate::cause::Cause;
use crate::kind::{Area, Kind};
use attempt::{Attempt, told_of_both};
use channel::{Channel, HandedStream, TlsPlan};

/// Timeout for negotiating TLS and finishing the handshake.
const TLS_LIMIT: Duration = Duration::from_secs(3);

/// Login timeout. Servers commonly delay the response to a wrong password by a second.
const LOGIN_LIMIT: Duration = Duration::from_secs(4);

/// How long to check whether a server that does not finish a login is a pooler.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

/// How long the one query is given.
const QUERY_LIMIT: Duration = Duration::from_secs(3);

/// Timeout for a clean disconnect, which avoids a line about a lost connection in the server's log.
const FAREWELL_LIMIT: Duration = Duration::from_millis(100);

/// Limit on what a server may send in one climb, in bytes; a normal one sends a few hundred.
const MOST_READ: u64 = 1024 * 1024;

/// Climbs from open connections to the top, server by server.
pub(super) async fn climb(
    ladder_probe: &LadderProbe,
    uri: &PostgresUri,
    reached: Vec<Reached>,
    progress: &mut Progress,
) {
    let mut best: Option<Attempt> = None;
    let mut passed_over: Vec<Attempt> = Vec::new();
    for server in reached {
        let attempt = Visit { ladder_probe, uri, server: &server.server, place: &server.place, progress }
            .attempt(server.stream)
            .await;
        let broken = attempt.failure().map(|(rung, _)| rung);
        // With prefer-standby, a primary is taken only when no standby lets in.
        let prefers_standby = uri.target == SessionTarget::PreferStandby;
        let is_standby = |(_, cause): (Rung, &Cause)| cause.kind == Kind::PostgresStandby;
        if prefers_standby && attempt.failure().is_some_and(is_standby) {
            passed_over.clear();
            best = Some(attempt);
            break;
        }
        let ends = if broken.is_none() { !prefers_standby } else { !attempt.tries_next };
        let best_so_far = best.as_ref().and_then(|best| best.failure().map(|(rung, _)| rung));
        let has_good = best.as_ref().is_some_and(|best| best.failure().is_none());
        if !has_good && (broken.is_none() || best.is_none() || broken > best_so_far) {
            passed_over.extend(best.replace(attempt));
        } else {
            passed_over.push(attempt);
        }
        if ends {
            break;
        }
    }
    let Some(attempt) = best else { return };
    let is_good = attempt.failure().is_none();
    // With a list of hosts, a server in the wrong role for target_session_attrs is expected.
    let worth_a_word = |rung: Rung| !(is_good && rung == Rung::Role);
    let warnings = passed_over.iter().filter_map(Attempt::failure).filter(|(rung, _)| worth_a_word(*rung));
    progress.warnings.extend(warnings.map(|(_, cause)| cause.clone()));
    progress.warnings.extend(attempt.warnings);
    for (rung, outcome, took) in attempt.steps {
        match outcome {
            Ok(detail) => progress.good(rung, detail, took),
            Err(cause) => progress.failed(rung, cause, took),
        }
    }
}

/// One server, during one climb.
struct Visit<'a> {
    ladder_probe: &'a LadderProbe,
    uri: &'a PostgresUri,
    server: &'a Server,
    place: &'a Place,
    progress: &'a Progress,
}

/// A login that the server let in.
type Session = (Client, Connection<Box<dyn Stream>, HandedStream>);

impl Visit<'_> {
    /// A word about a client that would have given up before the server was done.
    fn patience_advice(&self, took: Duration) -> Option<Cause> {
        let limit = self.uri.connect_timeout.filter(|limit| took > *limit)?;
        Some(
            Cause::config(
                Kind::PostgresConnectTimeout,
                format!(
                    "The login to {} took longer than the {} s of connect_timeout: the app gives up before.",
                    self.server,
                    limit.as_secs()
                ),
                "Raise connect_timeout in the URI, or see why the server is slow to log in.",
            )
            .with("took", format!("{} ms", took.as_millis())),
        )
    }

    /// Follows libpq for this `sslmode`, and identifies the server if it is not PostgreSQL.
    async fn attempt(&self, stream: Box<dyn Stream>) -> Attempt {
        let attempt = self.attempt_by_mode(stream).await;
        let unnamed = [errors::NOT_POSTGRES, errors::CLOSED, errors::SILENT];
        if !attempt.failure().is_some_and(|(_, cause)| unnamed.contains(&cause.kind)) {
            return attempt;
        }
        let listener = listener::identify(self.place, self.progress.limit(SECOND_LOOK)).await;
        match listener.and_then(|listener| errors::by_listener(self.server, listener)) {
            Some(named) => attempt.named(named),
            None => attempt,
        }
    }

    /// The first way of the `sslmode`, and its second way, if any, after the first fails.
    async fn attempt_by_mode(&self, stream: Box<dyn Stream>) -> Attempt {
        let on_socket = matches!(self.server.host, Host::Socket(_));
        let (first, second) = match self.uri.tls.mode {
            _ if on_socket => (TlsPlan::Plaintext("on a Unix socket"), None),
            SslMode::Disable => (TlsPlan::Plaintext("per sslmode=disable"), None),
            SslMode::Allow => (TlsPlan::Plaintext("preferred by sslmode=allow"), Some(TlsPlan::Required)),
            SslMode::Prefer => (TlsPlan::Offered, Some(TlsPlan::Plaintext("after TLS failed"))),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (TlsPlan::Required, None),
        };
        let attempt = self.attempt_with(first, stream).await;
        if !attempt.failure().is_some_and(|(_, cause)| worth_another_way(cause)) {
            return attempt;
        }
        // "Prefer" on a server without TLS has already tried the second way.
        let is_another = !matches!(first, TlsPlan::Offered) || attempt.in_tls;
        if let Some(second) = second.filter(|_| is_another)
            && let Ok(stream) = self.reopen().await
        {
            return told_of_both(attempt, self.attempt_with(second, stream).await);
        }
        if matches!(first, TlsPlan::Plaintext(_)) && second.is_none() && !on_socket {
            return self.explain_plaintext_refused(attempt).await;
        }
        attempt
    }

    async fn reopen(&self) -> Result<Box<dyn Stream>, std::io::Error> {
        let limit = self.progress.limit(TLS_LIMIT);
        timeout(limit, connect::open(self.place))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// A server that rejects plaintext logins returns the same error as one without an entry for this client. Trying
    /// TLS tells them apart.
    async fn explain_plaintext_refused(&self, attempt: Attempt) -> Attempt {
        let refused = attempt.failure().is_some_and(|(_, cause)| cause.kind == errors::NO_ENTRY);
        let Ok(stream) = self.reopen().await else { return attempt };
        if !refused {
            return attempt;
        }
        let terms = Terms::anything(Product::Postgres);
        let Ok(channel) = self.negotiate(&terms, TlsPlan::Required, stream, false).await else {
            return attempt;
        };
        match self.login(channel).await {
            Err((_, cause)) if cause.kind == errors::NO_ENTRY => attempt,
            _ => Attempt {
                steps: attempt
                    .steps
                    .into_iter()
                    .map(|(rung, outcome, took)| {
                        (rung, outcome.map_err(|cause| errors::tls_required(self.server, &cause)), took)
                    })
                    .collect(),
                ..attempt
            },
        }
    }

    async fn negotiate(
        &self,
        terms: &Terms,
        wanted: TlsPlan,
        stream: Box<dyn Stream>,
        direct: bool,
    ) -> Result<Channel, Cause> {
        let limit = self.progress.limit(TLS_LIMIT);
        channel::negotiate(self.ladder_probe, terms, wanted, self.server, stream, limit, direct).await
    }

    async fn attempt_with(&self, wanted: TlsPlan, stream: Box<dyn Stream>) -> Attempt {
        let mut attempt = Attempt::default();
        let started = Instant::now();
        let terms = channel::terms(self.ladder_probe, self.uri);
        let channel = match self.negotiate(&terms, wanted, stream, self.uri.tls.direct).await {
            Ok(channel) => channel,
            Err(cause) => {
                attempt.tries_next = cause.class == crate::cause::Class::External;
                attempt.in_tls = true;
                return attempt.broke(Rung::Tls, cause, started.elapsed());
            }
        };
        attempt.in_tls = channel.handed.is_some();
        attempt.steps.push((Rung::Tls, Ok(channel.detail.clone()), started.elapsed()));

        let started = Instant::now();
        let session = match self.login(channel).await {
            Ok(session) => session,
            Err((rung, cause)) => {
                let (rung, cause) = match self.certificate_refused(&terms, &cause).await {
                    Some(refused) => (Rung::Tls, refused),
                    None => (rung, cause),
                };
                attempt.tries_next = cause.kind == errors::STARTING_UP;
                if rung == Rung::Tls {
                    // TLS 1.3: the server verifies the client certificate only after the handshake.
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
        attempt.warnings.extend(self.patience_advice(attempt.steps.iter().map(|(_, _, took)| *took).sum()));
        self.ask(session, attempt).await
    }

    /// In TLS 1.3, the server verifies the client certificate after the handshake, and its alert is often lost when it
    /// closes. In TLS 1.2, that is part of the handshake, so a server that closed the connection is retried with it.
    async fn certificate_refused(&self, terms: &Terms, cause: &Cause) -> Option<Cause> {
        if cause.kind != errors::CLOSED || terms.identity.is_none() {
            return None;
        }
        let terms = Terms { most: Some(SslVersion::TLS1_2), ..terms.clone() };
        let stream = self.reopen().await.ok()?;
        let second = self.negotiate(&terms, TlsPlan::Required, stream, self.uri.tls.direct).await;
        second.err().filter(|cause| {
            matches!(
                cause.kind,
                Kind::TlsClientCertificate
                    | Kind::TlsClientCertificateRejected
                    | Kind::TlsClientCertificateRequired
            )
        })
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
                    Kind::PostgresNoUser,
                    "The PostgreSQL URI has no user.",
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
            // "Direct" makes tokio-postgres start the handshake immediately; `Handed` has already finished it.
            Some(_) => config.ssl_mode(RawSslMode::Require).ssl_negotiation(SslNegotiation::Direct),
            None => config.ssl_mode(RawSslMode::Disable),
        };
        let terms = channel::terms(self.ladder_probe, self.uri);
        let limit = self.progress.limit(LOGIN_LIMIT);
        let asked = channel.asked_for_certificate;
        let handed = channel.handed.unwrap_or_default();
        let stream = LimitedStream::new(channel.stream, MOST_READ);
        let heard = stream.heard();
        let stream: Box<dyn Stream> = Box::new(stream);
        let outcome = timeout(limit, config.connect_raw(stream, handed)).await;
        let heard = heard.bytes();
        match outcome {
            Ok(Ok(session)) => match methods::by_require_auth(self.uri, self.server, &heard) {
                Some(cause) => Err((Rung::Auth, cause)),
                None => Ok(session),
            },
            _ if !errors::is_postgres(&heard) => Err((Rung::Auth, errors::not_postgres(self.server, &heard))),
            Ok(Err(error)) => Err(errors::of_login(self.uri, self.server, &terms, asked, &heard, &error)),
            Err(_) if pooler::answers(self.place, self.progress.limit(SECOND_LOOK)).await => {
                Err((Rung::Auth, pooler::silent(self.server, limit)))
            }
            Err(_) => Err((Rung::Auth, errors::silent(self.server, "the login", limit))),
        }
    }

    /// The rungs database and role, from the result of one query.
    async fn ask(&self, session: Session, mut attempt: Attempt) -> Attempt {
        let (client, mut connection) = session;
        let started = Instant::now();
        let limit = self.progress.limit(QUERY_LIMIT);
        let database = self.uri.effective_database().unwrap_or_default();
        let mut farewell = None;
        let answer = {
            let questions = async {
                let answer = probe_query::ask(&client).await?;
                let advice = probe_query::extension_advice(&client, &answer, database).await;
                Ok((answer, advice))
            };
            let mut query = pin!(timeout(limit, questions));
            let answer = tokio::select! {
                answer = &mut query => Some(answer),
                // A server may send an error and close; the query then receives it.
                _ = &mut connection => None,
            };
            let answer = match answer {
                Some(answer) => {
                    farewell = Some(connection);
                    answer
                }
                None => {
                    drop(connection);
                    query.await
                }
            };
            answer.map_err(|_| errors::silent(self.server, "a query", limit))
        };
        drop(client);
        if let Some(connection) = farewell {
            let _ = timeout(FAREWELL_LIMIT, connection).await;
        }
        let (answer, advice) = match answer {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => {
                let (rung, cause) = errors::of_query(self.server, database, &error);
                return attempt.broke(rung, cause, started.elapsed());
            }
            Err(cause) => return attempt.broke(Rung::Database, cause, started.elapsed()),
        };
        let user = self.uri.user.as_deref().unwrap_or_default();
        match answer.privileges(database, user) {
            Ok(detail) => attempt.steps.push((Rung::Database, Ok(detail), started.elapsed())),
            Err(cause) => return attempt.broke(Rung::Database, cause, started.elapsed()),
        }
        attempt.warnings.extend(answer.version_advice());
        attempt.warnings.extend(answer.encoding_advice(database));
        attempt.warnings.extend(advice);
        match answer.role(self.server, self.uri.target) {
            Ok(detail) => attempt.steps.push((Rung::Role, Ok(detail), Duration::ZERO)),
            Err(cause) => {
                attempt.tries_next = self.uri.target != SessionTarget::Any;
                return attempt.broke(Rung::Role, cause, Duration::ZERO);
            }
        }
        attempt
    }
}

/// Whether libpq's second way (`sslmode` allow and prefer) may succeed after this cause. libpq also tries it after a
/// wrong password; here, a password rejected over TLS is not sent in plaintext.
fn worth_another_way(cause: &Cause) -> bool {
    let refused_by_rule = [
        errors::NO_ENTRY,
        Kind::PostgresPgHbaReject,
        Kind::PostgresAuthRejected,
        Kind::PostgresNoRole,
        Kind::PostgresTlsRequired,
    ];
    refused_by_rule.contains(&cause.kind)
        || (cause.kind.area() == Area::Tls && cause.kind != channel::REFUSED)
}
