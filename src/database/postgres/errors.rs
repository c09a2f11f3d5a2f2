//! What a PostgreSQL server's errors mean. The SQLSTATE decides, and if several reasons share it, the name of the
//! server's routine: the message is localized.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::super::listener::Listener;
use super::super::rung::Rung;
use super::super::tls::{self, Terms};
use super::super::uri::{PostgresUri, Server};
use super::{methods, pooler};
use crate::cause::{Cause, Class, chain};
use crate::kind::Kind;

/// The kind for a client that `pg_hba.conf` does not admit.
pub(super) const NO_ENTRY: Kind = Kind::PostgresNoPgHbaEntry;

/// The kind for a server that is not ready yet, which makes libpq try the next host.
pub(super) const STARTING_UP: Kind = Kind::PostgresStartingUp;

/// The kind for a server that hangs up.
pub(super) const CLOSED: Kind = Kind::PostgresClosed;

/// The kind for a server that accepts but does not respond.
pub(super) const SILENT: Kind = Kind::PostgresSilent;

/// The kind for what is no PostgreSQL.
pub(super) const NOT_POSTGRES: Kind = Kind::PostgresNotPostgres;

/// Size limit of the first response to a login: libpq's limit for error messages.
const LONGEST_FIRST: u32 = 30_000;

/// What a failed login means, and which rung failed. `heard` is how the server's response began, `asked` whether it
/// requested a client certificate.
pub(super) fn of_login(
    uri: &PostgresUri,
    server: &Server,
    terms: &Terms,
    asked: bool,
    heard: &[u8],
    error: &Error,
) -> (Rung, Cause) {
    if let Some(refusal) = error.as_db_error() {
        if let Some(answer) = pooler::of_login(uri, server, refusal) {
            return answer;
        }
        let (rung, cause) = of_server(server, Some(uri), refusal);
        return (rung, with_certificate(terms, asked, cause));
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return of_connection(server, terms, error);
        }
        source = inner.source();
    }
    let said = chain(error);
    let cause = if uri.password.is_none() && said.contains("password missing") {
        Cause::config(
            Kind::PostgresNoPassword,
            format!("{server} requires a password, but the URI has none."),
            "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
        )
    } else if said.contains("unsupported authentication") || said.contains("unsupported SASL") {
        methods::unsupported(server, heard)
    } else if said.contains("channel binding") {
        Cause::config(
            Kind::PostgresChannelBinding,
            format!(
                "The URI has channel_binding=require, but {server} logs this user in without channel binding."
            ),
            "Channel binding needs TLS and a scram-sha-256 password: set up both, or write channel_binding=prefer.",
        )
    } else if error.is_closed() {
        return (Rung::Auth, closed(server));
    } else if said.contains("authentication") {
        // The server's proof failed: something in between has a different certificate, or does not know the password.
        Cause::config(
            Kind::PostgresAuthExchange,
            format!(
                "{server} failed to prove that it knows the password: it may not be the intended server."
            ),
            "Check that the address is the database itself; a proxy that terminates TLS breaks channel binding.",
        )
    } else {
        garbage(server)
    };
    (Rung::Auth, cause.with("error", said))
}

/// Adds that a server without an entry for this user requested a certificate: in a localized message, nothing else
/// shows that this is what is missing.
fn with_certificate(terms: &Terms, asked: bool, cause: Cause) -> Cause {
    // With clientcert=verify-full the server says of a certificate for somebody else that the password is wrong.
    if asked && terms.identity.is_some() && cause.kind == Kind::PostgresPasswordRejected {
        return cause.with(
            "client certificate",
            "one was sent; if pg_hba.conf has clientcert=verify-full, its common name must be the user's name",
        );
    }
    if asked && terms.identity.is_none() && cause.kind == NO_ENTRY {
        return cause.with("client certificate", "the server requests one, and the URI sets none");
    }
    cause
}

fn of_connection(server: &Server, terms: &Terms, error: &io::Error) -> (Rung, Cause) {
    if let Some(cause) = tls::after_handshake(terms, server, error) {
        return (Rung::Tls, cause);
    }
    let cause = match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => garbage(server),
        _ => closed(server),
    };
    (Rung::Auth, cause.with("error", error))
}

/// What a failed query means.
pub(super) fn of_query(server: &Server, database: &str, error: &Error) -> (Rung, Cause) {
    match error.as_db_error() {
        Some(refusal) => {
            let answer = pooler::of_query(server, database, refusal);
            let (rung, cause) = answer.unwrap_or_else(|| of_server(server, None, refusal));
            (rung.max(Rung::Database), cause)
        }
        None => (Rung::Database, closed(server).with("error", chain(error))),
    }
}

/// The server's error. `uri` is set for a login.
fn of_server(server: &Server, uri: Option<&PostgresUri>, refusal: &DbError) -> (Rung, Cause) {
    let code = refusal.code().code();
    let user = uri.and_then(|uri| uri.user.as_deref()).unwrap_or("this user");
    let database = uri.and_then(PostgresUri::effective_database).unwrap_or("the database");
    let sets_options = uri.is_some_and(|uri| uri.options.is_some());
    let (rung, cause) = match (code, refusal.routine()) {
        ("28P01", _) => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresPasswordRejected,
                format!("{server} rejects the password of {user}, or there is no such user."),
                "Correct user and password in the URI; ALTER ROLE … PASSWORD sets a new password. The server's log tells a wrong password from one that has expired (VALID UNTIL), was never set, or is stored as MD5 while pg_hba.conf asks for scram-sha-256.",
            ),
        ),
        (
            "28000",
            Some(
                "InitializeSessionUserId" | "ClientAuthentication_hook" | "InitializeSessionUserIdStandalone",
            ),
        ) => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresNoRole,
                format!("{server} has no role {user}, or the role is not allowed to log in."),
                "Create the role (CREATE ROLE … LOGIN), or correct the user in the URI.",
            ),
        ),
        ("28000", Some("auth_failed")) => (Rung::Auth, methods::failed(server, user, refusal.message())),
        // Both share one routine; the message is English unless lc_messages differs.
        ("28000", _) if refusal.message().contains("pg_hba.conf rejects") => (
            Rung::Auth,
            Cause::config(
                Kind::PostgresPgHbaReject,
                format!(
                    "{server} rejects {user} on {database} from this address: a reject entry in pg_hba.conf matches."
                ),
                "Put an entry that admits this user above the reject entry in pg_hba.conf, and reload PostgreSQL.",
            ),
        ),
        ("28000", _) if refusal.message().contains("valid client certificate") => (
            Rung::Auth,
            Cause::config(
                Kind::TlsClientCertificateRequired,
                format!("{server} requires a client certificate from {user} (clientcert in pg_hba.conf)."),
                "Put a client certificate on this box and set sslcert and sslkey to it, or remove clientcert from the entry in pg_hba.conf.",
            ),
        ),
        ("28000", _) => (
            Rung::Auth,
            Cause::config(
                NO_ENTRY,
                format!(
                    "{server} does not admit {user} to {database} from this address: no pg_hba.conf entry allows it."
                ),
                "Add a pg_hba.conf entry for this user, database and subnet, and reload PostgreSQL.",
            ),
        ),
        ("3D000", _) => (
            Rung::Database,
            Cause::config(
                Kind::PostgresNoDatabase,
                format!("{server} has no database {database}."),
                "Create or restore the database, or correct its name in the URI.",
            ),
        ),
        // What the URI sets by `options` is set after the login.
        ("42704" | "22023" | "42601" | "55P02", _) if sets_options => (Rung::Auth, bad_option(server)),
        ("42501", Some(routine)) if sets_options && routine != "CheckMyDatabase" => {
            (Rung::Auth, bad_option(server))
        }
        ("57014", _) => (
            Rung::Database,
            Cause::config(
                Kind::PostgresStatementTimeout,
                format!("{server} cancels even a short query of {user}: its statement_timeout is too short."),
                "See where it is set: SHOW statement_timeout; ALTER ROLE or ALTER DATABASE … RESET statement_timeout.",
            ),
        ),
        ("42501", _) => (
            Rung::Database,
            Cause::config(
                Kind::PostgresNoPrivilege,
                format!("{user} is not allowed to use {database} on {server}."),
                format!("GRANT ALL ON DATABASE {database} TO {user}, or make it the owner."),
            ),
        ),
        ("53300", Some("CheckMyDatabase")) => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresTooManyConnections,
                format!("{database} on {server} has reached its own connection limit."),
                format!(
                    "ALTER DATABASE {database} CONNECTION LIMIT -1, or end idle connections; max_connections is not the limit here."
                ),
            ),
        ),
        ("53300", Some("InitializeSessionUserId")) => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresTooManyConnections,
                format!("{user} has reached the connection limit of its role on {server}."),
                format!(
                    "ALTER ROLE {user} CONNECTION LIMIT -1, or end idle connections; max_connections is not the limit here."
                ),
            ),
        ),
        ("53300", _) => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresTooManyConnections,
                format!("{server} has no free connection slots."),
                "Raise max_connections (or the role's limit), or close idle connections.",
            ),
        ),
        ("57P03", _) => (
            Rung::Auth,
            Cause::external(
                STARTING_UP,
                format!("{server} is starting up, shutting down or recovering, and is not accepting logins."),
                "Wait for it; its log shows the progress.",
            ),
        ),
        ("57P01" | "57P02", _) => (
            Rung::Auth,
            Cause::external(
                Kind::PostgresShuttingDown,
                format!("{server} is shutting down."),
                "Wait for it, or restart it.",
            ),
        ),
        ("55000", _) => (
            Rung::Database,
            Cause::external(
                Kind::PostgresDatabaseClosed,
                format!("{database} on {server} does not accept connections."),
                "ALTER DATABASE … ALLOW_CONNECTIONS true.",
            ),
        ),
        ("25006", _) => (
            Rung::Role,
            Cause::external(
                Kind::PostgresReadOnly,
                format!("{server} is read-only."),
                "Point the URI at the primary, or make the server writable again.",
            ),
        ),
        _ => (Rung::Auth, other(server, code)),
    };
    (rung, in_its_words(cause, refusal))
}

/// A parameter of `options` that the server does not take.
fn bad_option(server: &Server) -> Cause {
    Cause::config(
        Kind::PostgresStartupParameter,
        format!("{server} refuses a parameter that the URI sets by options."),
        "Correct or remove options in the URI; the server's words name the parameter.",
    )
}

/// Adds what the server said.
pub(super) fn in_its_words(cause: Cause, refusal: &DbError) -> Cause {
    let mut cause = cause.with("server said", refusal.message()).with("SQLSTATE", refusal.code().code());
    for (name, text) in [("detail", refusal.detail()), ("hint", refusal.hint())] {
        if let Some(text) = text {
            cause = cause.with(name, text);
        }
    }
    cause
}

/// An error without a specific rule, by the class of its SQLSTATE.
fn other(server: &Server, code: &str) -> Cause {
    let passes = ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class));
    let class = if passes { Class::External } else { Class::Config };
    Cause::new(
        class,
        Kind::PostgresRefused,
        format!("{server} rejected this login or query."),
        "See the server's message above, and its log.",
    )
}

/// A server that rejects over plaintext what it accepts over TLS.
pub(super) fn tls_required(server: &Server, refused: &Cause) -> Cause {
    let mut cause = Cause::config(
        Kind::PostgresTlsRequired,
        format!("{server} accepts this user only over TLS, but the URI has sslmode=disable."),
        "Write sslmode=require (or verify-full with sslrootcert) in the URI.",
    );
    cause.evidence.clone_from(&refused.evidence);
    cause
}

/// A server that closed the connection silently.
pub(super) fn closed(server: &Server) -> Cause {
    Cause::external(
        CLOSED,
        format!("{server} accepts connections but closes them without responding."),
        "Check that this is PostgreSQL's port, and check its log; a proxy or load balancer without a healthy server behind it does the same.",
    )
}

/// A server that accepts and does not answer.
pub(super) fn silent(server: &Server, what: &str, limit: Duration) -> Cause {
    Cause::external(
        SILENT,
        format!("{server} accepts connections but does not respond to {what}."),
        "Check that the server is not hung (its log, its load), and that this is PostgreSQL's port.",
    )
    .with("waited", format!("{} ms", limit.as_millis()))
}

/// Whether the response may be PostgreSQL's: the type of a message, and a plausible length. An empty response says
/// nothing.
pub(super) fn is_postgres(heard: &[u8]) -> bool {
    match heard {
        [] => true,
        [b'R' | b'E' | b'N' | b'v', rest @ ..] => {
            // Four bytes of length; missing bytes do not rule it out.
            rest.first_chunk::<4>()
                .is_none_or(|length| (4..=LONGEST_FIRST).contains(&u32::from_be_bytes(*length)))
        }
        _ => false,
    }
}

/// Something other than PostgreSQL, by its first response.
pub(super) fn not_postgres(server: &Server, answer: &[u8]) -> Cause {
    garbage(server).with("answer", Printable(answer))
}

/// What was recognised on the port; `None` when it says nothing new.
pub(super) fn by_listener(server: &Server, listener: Listener) -> Option<Cause> {
    match listener {
        Listener::Postgres => None,
        Listener::ClosesAtOnce => Some(Cause::external(
            CLOSED,
            format!("{server} accepts connections and closes them immediately."),
            "Check for a proxy or load balancer with no healthy PostgreSQL behind it, and check the server's log.",
        )),
        Listener::Tls => Some(Cause::config(
            NOT_POSTGRES,
            format!(
                "What listens on {server} is a TLS server that does not speak PostgreSQL's protocol before TLS."
            ),
            "Correct host and port in the URI; a TLS proxy in front of PostgreSQL needs sslnegotiation=direct (libpq 17).",
        )),
        other => Some(Cause::config(
            NOT_POSTGRES,
            format!("{server} is {other}, not PostgreSQL."),
            "Correct host and port in the URI.",
        )),
    }
}

fn garbage(server: &Server) -> Cause {
    Cause::config(
        NOT_POSTGRES,
        format!("{server} does not speak the PostgreSQL protocol."),
        "Correct host and port in the URI.",
    )
}

struct Printable<'a>(&'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
