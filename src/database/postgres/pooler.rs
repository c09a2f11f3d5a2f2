//! What a connection pooler or proxy in front of PostgreSQL says.
//!
//! PostgreSQL's own errors name the routine that raised them; a pooler's do not. Poolers have few SQLSTATEs (PgBouncer
//! before 1.21 answers everything with 08P01) and fixed English words, so here the words decide.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_postgres::error::DbError;

use super::super::reach::{self, Place};
use super::super::rung::Rung;
use super::super::uri::{PostgresUri, Server};
use super::refusal::in_its_words;
use crate::cause::Cause;

/// A startup parameter that no server knows: a pooler refuses it at once, PostgreSQL not before the login.
const UNKNOWN_PARAMETER: &str = "boot_agent_asks_who_is_there";

/// What a pooler's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Password,
    /// The pooler has no such user, or no credentials for it.
    User,
    Method,
    Database,
    DatabaseClosed,
    TooMany,
    Parameter,
    TlsRequired,
    /// Nothing answers behind it.
    ServerDown,
    /// The server behind it refuses the pooler.
    ServerRefuses,
    /// The server behind it has no such database.
    ServerDatabase,
    /// The server behind it has no free connection slots.
    ServerFull,
    /// The server behind it is starting up or recovering.
    ServerStarting,
    /// Every connection to the server behind it is in use.
    Waiting,
    ShuttingDown,
    AdminConsole,
    Misconfigured,
}

/// Words of PgBouncer, Odyssey, PgCat, Supavisor and RDS Proxy, in lower case; the first that is there decides.
/// The first ones are PostgreSQL's own, which poolers pass on from the server behind them.
const WORDS: [(&str, Meaning); 52] = [
    ("password authentication failed for user", Meaning::ServerRefuses),
    ("no pg_hba.conf entry", Meaning::ServerRefuses),
    ("pg_hba.conf rejects", Meaning::ServerRefuses),
    ("role \"", Meaning::ServerRefuses),
    ("database \"", Meaning::ServerDatabase),
    ("too many clients already", Meaning::ServerFull),
    ("remaining connection slots", Meaning::ServerFull),
    ("the database system is", Meaning::ServerStarting),
    ("server login failed", Meaning::ServerRefuses),
    ("server login has been failing", Meaning::ServerRefuses),
    ("client_login_timeout (server down)", Meaning::ServerDown),
    ("server_login_retry", Meaning::ServerDown),
    ("cannot connect to server", Meaning::ServerDown),
    ("server_connect_timeout", Meaning::ServerDown),
    ("server dns lookup failed", Meaning::ServerDown),
    ("failed to connect to remote server", Meaning::ServerDown),
    ("could not connect to the database", Meaning::ServerDown),
    ("all servers are down", Meaning::ServerDown),
    ("no servers", Meaning::ServerDown),
    ("client_login_timeout", Meaning::ServerDown),
    ("query_wait_timeout", Meaning::Waiting),
    ("timed-out waiting to acquire", Meaning::Waiting),
    ("connection pool has been exhausted", Meaning::Waiting),
    ("could not get connection from the pool", Meaning::Waiting),
    ("unable to check out", Meaning::Waiting),
    ("no such database", Meaning::Database),
    ("no pool configured", Meaning::Database),
    ("database does not exist", Meaning::Database),
    ("does not allow connections", Meaning::DatabaseClosed),
    ("database removed", Meaning::DatabaseClosed),
    ("no more connections allowed", Meaning::TooMany),
    ("too many", Meaning::TooMany),
    ("max clients reached", Meaning::TooMany),
    ("max_client_conn", Meaning::TooMany),
    ("unsupported startup parameter", Meaning::Parameter),
    ("ssl required", Meaning::TlsRequired),
    ("ssl is required", Meaning::TlsRequired),
    ("requires tls", Meaning::TlsRequired),
    ("no such user", Meaning::User),
    ("has no credentials for the role", Meaning::User),
    ("tenant or user not found", Meaning::User),
    ("user not found", Meaning::User),
    ("is wrong", Meaning::Password),
    ("password authentication failed", Meaning::Password),
    ("sasl authentication failed", Meaning::Password),
    ("auth failed", Meaning::Password),
    ("invalid password", Meaning::Password),
    ("authentication failed", Meaning::Method),
    ("login rejected", Meaning::Method),
    ("shutting down", Meaning::ShuttingDown),
    ("not allowed", Meaning::AdminConsole),
    ("bouncer config error", Meaning::Misconfigured),
];

fn meaning(said: &str) -> Option<Meaning> {
    let lower = said.to_ascii_lowercase();
    if lower.ends_with("is disabled") {
        return Some(Meaning::DatabaseClosed);
    }
    WORDS.iter().find(|(words, _)| lower.contains(words)).map(|(_, meaning)| *meaning)
}

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

/// What a pooler's refusal of a login means, and the rung that it broke; `None` if PostgreSQL itself refused.
pub(super) fn of_login(uri: &PostgresUri, server: &Server, refusal: &DbError) -> Option<(Rung, Cause)> {
    if !is_poolers(refusal) {
        return None;
    }
    let user = uri.user.as_deref().unwrap_or("this user");
    let database = uri.effective_database().unwrap_or("the database");
    let who = format!("{} on {server}", name(refusal));
    let (rung, cause) = match (meaning(refusal.message()), refusal.code().code()) {
        (Some(meaning), _) => told(meaning, &who, user, database),
        // Newer ones have PostgreSQL's codes where there is one that fits.
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
pub(super) fn of_query(server: &Server, refusal: &DbError) -> Option<(Rung, Cause)> {
    if !is_poolers(refusal) {
        return None;
    }
    let who = format!("{} on {server}", name(refusal));
    let said = refusal.message().to_ascii_lowercase();
    let (rung, cause) = if said.contains("invalid command") || said.contains("admin console") {
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
        "postgres.pooler_refused",
        format!("{who} refuses this {what}."),
        "Look at the pooler's own words above, and at its log.",
    )
}

fn told(meaning: Meaning, who: &str, user: &str, database: &str) -> (Rung, Cause) {
    match meaning {
        Meaning::Password => (
            Rung::Auth,
            Cause::config(
                "postgres.password_rejected",
                format!("{who} rejects the password of {user}, or has no such user."),
                "Correct user and password in the URI, or the pooler's list of users (PgBouncer: auth_file, auth_query).",
            ),
        ),
        Meaning::User => (
            Rung::Auth,
            Cause::config(
                "postgres.no_role",
                format!("{who} has no user {user}."),
                "Add the user to the pooler (PgBouncer: auth_file, auth_query; RDS Proxy: a secret), or correct the user in the URI.",
            ),
        ),
        Meaning::Method => (
            Rung::Auth,
            Cause::config(
                "postgres.auth_rejected",
                format!("{who} rejects {user} by its rules of authentication."),
                "Check the pooler's authentication settings (PgBouncer: auth_type, auth_hba_file) for this user.",
            ),
        ),
        Meaning::Database => (
            Rung::Database,
            Cause::config(
                "postgres.no_database",
                format!("{who} has no database {database}."),
                "Add the database to the pooler (PgBouncer: the section [databases]), or correct its name in the URI.",
            ),
        ),
        Meaning::DatabaseClosed => (
            Rung::Database,
            Cause::external(
                "postgres.database_closed",
                format!("{who} does not accept connections to {database}."),
                "Enable the database in the pooler (PgBouncer's console: ENABLE, RESUME).",
            ),
        ),
        Meaning::TooMany => (
            Rung::Auth,
            Cause::external(
                "postgres.too_many_connections",
                format!("{who} has reached its limit of clients."),
                "Raise the pooler's limit (PgBouncer: max_client_conn, max_db_connections), or end idle connections.",
            ),
        ),
        Meaning::Parameter => (
            Rung::Auth,
            Cause::config(
                "postgres.startup_parameter",
                format!("{who} refuses a startup parameter that the URI sets."),
                "Remove the parameter from the URI (often options), or list it in PgBouncer's ignore_startup_parameters.",
            ),
        ),
        Meaning::TlsRequired => (
            Rung::Auth,
            Cause::config(
                "postgres.tls_required",
                format!("{who} accepts clients over TLS only."),
                "Write sslmode=require (or verify-full with sslrootcert) in the URI.",
            ),
        ),
        Meaning::ServerDown => (
            Rung::Auth,
            Cause::external(
                "postgres.pooler_server_down",
                format!("{who} answers, and the database server behind it does not."),
                "Check that the PostgreSQL server behind the pooler is up, and that the pooler's host and port for it are right.",
            ),
        ),
        Meaning::ServerRefuses => (
            Rung::Auth,
            Cause::external(
                "postgres.pooler_login",
                format!("{who} cannot log in to the database server behind it."),
                "Correct the pooler's own login to that server (user, password, database, pg_hba.conf); the pooler's log says which.",
            ),
        ),
        Meaning::ServerDatabase => (
            Rung::Database,
            Cause::config(
                "postgres.no_database",
                format!(
                    "{who} answers, and the database server behind it does not have the database that {database} stands for."
                ),
                "Create the database on that server, or correct dbname for it in the pooler (PgBouncer: [databases]).",
            ),
        ),
        Meaning::ServerFull => (
            Rung::Auth,
            Cause::external(
                "postgres.too_many_connections",
                format!("{who} answers, and the database server behind it has no free connection slots."),
                "Raise max_connections of that server, lower the pool's size, or end idle connections.",
            ),
        ),
        Meaning::ServerStarting => (
            Rung::Auth,
            Cause::external(
                "postgres.starting_up",
                format!("{who} answers, and the database server behind it is starting up or shutting down."),
                "Wait for that server; its log says how far it is.",
            ),
        ),
        Meaning::Waiting => (
            Rung::Auth,
            Cause::external(
                "postgres.pooler_busy",
                format!("{who} has no free connection to the database server behind it."),
                "Raise the pool's size (PgBouncer: default_pool_size, query_wait_timeout), or end long transactions.",
            ),
        ),
        Meaning::ShuttingDown => (
            Rung::Auth,
            Cause::external(
                "postgres.shutting_down",
                format!("{who} is shutting down."),
                "Wait for the pooler, or start it again.",
            ),
        ),
        Meaning::AdminConsole => (
            Rung::Database,
            Cause::config(
                "postgres.admin_console",
                format!("{who} offers its admin console under this database name, and no database."),
                "Write the name of the app's database after the port in the URI.",
            ),
        ),
        Meaning::Misconfigured => (
            Rung::Auth,
            Cause::external(
                "postgres.pooler_refused",
                format!("{who} says that its own configuration is wrong."),
                "Look at the pooler's log, and correct its configuration.",
            ),
        ),
    }
}

/// A pooler that takes a login and does not finish it.
pub(super) fn silent(server: &Server, limit: Duration) -> Cause {
    let who = format!("A connection pooler on {server}");
    let (_, cause) = told(Meaning::ServerDown, &who, "", "");
    cause.with("waited", format!("{} ms", limit.as_millis()))
}

/// Whether a pooler is there: it refuses an unknown startup parameter before it asks for anything.
pub(super) async fn answers(place: &Place, limit: Duration) -> bool {
    let asked = timeout(limit, async {
        let mut stream = reach::open(place).await.ok()?;
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

/// A startup message (protocol 3.0) with a parameter that nobody knows.
fn startup() -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for word in ["user", "boot-agent", "database", "boot-agent", UNKNOWN_PARAMETER, "1", ""] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean() {
        for (said, expected) in [
            ("no such database: circle", Meaning::Database),
            ("no such user: circle", Meaning::User),
            ("password authentication failed", Meaning::Password),
            ("SASL authentication failed", Meaning::Password),
            ("certificate authentication failed", Meaning::Method),
            ("no more connections allowed (max_client_conn)", Meaning::TooMany),
            ("unsupported startup parameter: options", Meaning::Parameter),
            ("query_wait_timeout", Meaning::Waiting),
            ("client_login_timeout (server down)", Meaning::ServerDown),
            (
                "server login failed: FATAL: password authentication failed for user \"circle\"",
                Meaning::ServerRefuses,
            ),
            ("server login has been failing, try again later (server_login_retry)", Meaning::ServerRefuses),
            ("database \"circle\" is disabled", Meaning::DatabaseClosed),
            ("database \"circle\" does not exist", Meaning::ServerDatabase),
            ("password authentication failed for user \"circle\"", Meaning::ServerRefuses),
            ("sorry, too many clients already", Meaning::ServerFull),
            ("SSL required", Meaning::TlsRequired),
            ("This RDS Proxy requires TLS connections", Meaning::TlsRequired),
            (
                "This RDS proxy has no credentials for the role circle. Check the credentials for this role and try again.",
                Meaning::User,
            ),
            ("The password that was provided for the role circle is wrong.", Meaning::Password),
            ("Timed-out waiting to acquire database connection", Meaning::Waiting),
            ("odyssey: c1a2: failed to connect to remote server s3b4", Meaning::ServerDown),
        ] {
            assert_eq!(meaning(said), Some(expected), "{said}");
        }
        assert_eq!(meaning("something else"), None);
    }
}
