//! Errors of connection poolers and proxies in front of PostgreSQL.
//!
//! PostgreSQL's own errors name the routine that raised them; a pooler's do not. Poolers have few SQLSTATEs (PgBouncer
//! before 1.21 uses 08P01 for everything) and fixed English messages, so here the message decides.

mod words;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_postgres::error::DbError;

use super::super::connect::{self, Place};
use super::super::rung::Rung;
use super::super::uri::{PostgresUri, Server};
use super::errors::in_its_words;
use crate::cause::Cause;
use crate::kind::Kind;
use words::{Meaning, meaning};

/// The kind for a pooler whose server does not answer.
const SERVER_DOWN: Kind = Kind::PostgresPoolerServerDown;

/// An unknown startup parameter: a pooler rejects it immediately, PostgreSQL only after the login.
const UNKNOWN_PARAMETER: &str = "boot_agent_asks_who_is_there";

/// Whether an error does not come from PostgreSQL itself.
fn is_poolers(refusal: &DbError) -> bool {
    refusal.routine().is_none() && refusal.file().is_none()
}

fn name(refusal: &DbError) -> &'static str {
    let said = refusal.message().to_ascii_lowercase();
    if said.contains("rds proxy") {
        "RDS Proxy"
    } else if said.starts_with("odyssey") {
        "Odyssey, a connection pooler,"
    } else {
        "A connection pooler"
    }
}

/// What a pooler's login error means, and the failed rung; `None` if it is PostgreSQL's own error.
pub(super) fn of_login(uri: &PostgresUri, server: &Server, refusal: &DbError) -> Option<(Rung, Cause)> {
    if !is_poolers(refusal) {
        return None;
    }
    let user = uri.user.as_deref().unwrap_or("this user");
    let database = uri.effective_database().unwrap_or("the database");
    let who = format!("{} on {server}", name(refusal));
    let (rung, cause) = match (meaning(refusal.message()), refusal.code().code()) {
        (Some(meaning), _) => told(meaning, &who, user, database),
        // Newer ones use PostgreSQL's codes where one fits.
        (None, "28P01") => told(Meaning::Password, &who, user, database),
        (None, "28000") => told(Meaning::Method, &who, user, database),
        (None, "3D000") => told(Meaning::Database, &who, user, database),
        (None, "53300") => told(Meaning::TooMany, &who, user, database),
        (None, "57P03") => told(Meaning::ServerDown, &who, user, database),
        (None, _) => (Rung::Auth, refused(&who, "login")),
    };
    Some((rung, in_its_words(cause, refusal)))
}

/// The same for the one query.
pub(super) fn of_query(server: &Server, database: &str, refusal: &DbError) -> Option<(Rung, Cause)> {
    if !is_poolers(refusal) {
        return None;
    }
    let who = format!("{} on {server}", name(refusal));
    let said = refusal.message().to_ascii_lowercase();
    // PgBouncer reserves this name for its console, which supports no SQL.
    let is_console = database == "pgbouncer" || said.contains("invalid command");
    let (rung, cause) = if is_console {
        told(Meaning::AdminConsole, &who, "this user", "the database")
    } else {
        match meaning(&said) {
            Some(meaning) => told(meaning, &who, "this user", "the database"),
            None => (Rung::Database, refused(&who, "query")),
        }
    };
    Some((rung, in_its_words(cause, refusal)))
}

fn refused(who: &str, what: &str) -> Cause {
    Cause::external(
        Kind::PostgresPoolerRefused,
        format!("{who} rejected this {what}."),
        "See the pooler's message above, and its log.",
    )
}

fn told(meaning: Meaning, who: &str, user: &str, database: &str) -> (Rung, Cause) {
    match meaning {
        Meaning::Password => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresPasswordRejected,
                format!("{who} rejects the password of {user}, or has no such user."),
                "Correct user and password in the URI, or the pooler's list of users (PgBouncer: auth_file, auth_query).",
            ),
        ),
        Meaning::User => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresNoRole,
                format!("{who} has no user {user}."),
                "Add the user to the pooler (PgBouncer: auth_file, auth_query; RDS Proxy: a secret), or correct the user in the URI.",
            ),
        ),
        Meaning::Method => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresAuthRejected,
                format!("{who} rejects {user}: its authentication rules do not allow this login."),
                "Check the pooler's authentication settings (PgBouncer: auth_type, auth_hba_file) for this user.",
            ),
        ),
        Meaning::Database => (
            Rung::Database,
            Cause::config(
                Kind::PostgresNoDatabase,
                format!("{who} has no database {database}."),
                "Add the database to the pooler (PgBouncer: the section [databases]), or correct its name in the URI.",
            ),
        ),
        Meaning::DatabaseClosed => (
            Rung::Database,
            Cause::external(
                Kind::PostgresDatabaseClosed,
                format!("{who} does not accept connections to {database}."),
                "Enable the database in the pooler (PgBouncer's console: ENABLE, RESUME).",
            ),
        ),
        Meaning::TooMany => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresTooManyConnections,
                format!("{who} has reached its client limit."),
                "Raise the pooler's limit (PgBouncer: max_client_conn, max_db_connections), or end idle connections.",
            ),
        ),
        Meaning::Parameter => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresStartupParameter,
                format!("{who} rejects a startup parameter set by the URI."),
                "Remove the parameter from the URI (often options), or list it in PgBouncer's ignore_startup_parameters.",
            ),
        ),
        Meaning::TlsRequired => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresTlsRequired,
                format!("{who} accepts clients only over TLS."),
                "Write sslmode=require (or verify-full with sslrootcert) in the URI.",
            ),
        ),
        Meaning::ServerDown => (
            Rung::Auth,
            Cause::external(
                SERVER_DOWN,
                format!("{who} responds, but the database server behind it does not."),
                "Check that the PostgreSQL server behind the pooler is up, and that the pooler has its correct host and port.",
            ),
        ),
        Meaning::ServerRefuses => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresPoolerLogin,
                format!("{who} cannot log in to the database server behind it."),
                "Correct the pooler's own login to that server (user, password, database, pg_hba.conf); see the pooler's log.",
            ),
        ),
        Meaning::ServerDatabase => (
            Rung::Database,
            Cause::config(
                Kind::PostgresNoDatabase,
                format!(
                    "{who} responds, but the database server behind it does not have the database that {database} maps to."
                ),
                "Create the database on that server, or correct dbname for it in the pooler (PgBouncer: [databases]).",
            ),
        ),
        Meaning::ServerFull => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresTooManyConnections,
                format!("{who} responds, but the database server behind it has no free connection slots."),
                "Raise max_connections on that server, reduce the pool size, or close idle connections.",
            ),
        ),
        Meaning::ServerStarting => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresStartingUp,
                format!("{who} responds, but the database server behind it is starting up or shutting down."),
                "Wait for that server; its log shows the progress.",
            ),
        ),
        Meaning::Waiting => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresPoolerBusy,
                format!("{who} has no free connection to the database server behind it."),
                "Increase the pool size (PgBouncer: default_pool_size, query_wait_timeout), or end long transactions.",
            ),
        ),
        Meaning::ShuttingDown => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresShuttingDown,
                format!("{who} is shutting down."),
                "Wait for the pooler, or restart it.",
            ),
        ),
        Meaning::AdminConsole => (
            Rung::Database,
            Cause::config(
                Kind::PostgresAdminConsole,
                format!("This database name is the admin console of {who}, not a database."),
                "Write the name of the app's database after the port in the URI.",
            ),
        ),
        Meaning::Misconfigured => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresPoolerRefused,
                format!("{who} reports an error in its own configuration."),
                "Check the pooler's log, and correct its configuration.",
            ),
        ),
    }
}

/// A pooler that accepts a login but does not finish it. PgBouncer makes clients wait while the server behind it is
/// down, and for a while after that server rejected its login.
pub(super) fn silent(server: &Server, limit: Duration) -> Cause {
    Cause::external(
        SERVER_DOWN,
        format!("A connection pooler on {server} accepts the login, but gets no connection to the database server behind it."),
        "Check that the PostgreSQL server behind the pooler is up and accepts the pooler's login; see the pooler's log.",
    )
    .with("waited", format!("{} ms", limit.as_millis()))
}

/// Whether it is a pooler: a pooler rejects an unknown startup parameter immediately.
pub(super) async fn answers(place: &Place, limit: Duration) -> bool {
    let asked = timeout(limit, async {
        let mut stream = connect::open(place).await.ok()?;
        stream.write_all(&startup()).await.ok()?;
        stream.flush().await.ok()?;
        let mut answer = vec![0; 512];
        let length = stream.read(&mut answer).await.ok()?;
        answer.truncate(length);
        Some(answer)
    });
    let answer = asked.await.ok().flatten().unwrap_or_default();
    let named = UNKNOWN_PARAMETER.as_bytes();
    answer.first() == Some(&b'E') && answer.windows(named.len()).any(|window| window == named)
}

/// A startup message (protocol 3.0) with an unknown parameter.
fn startup() -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for word in ["user", "boot-agent", "database", "boot-agent", UNKNOWN_PARAMETER, "1", ""] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}
