//! What a MongoDB server's error code, silence or disconnect means.

use std::io;
use std::time::Duration;

use super::super::listener::Listener;
use super::super::uri::Server;
use super::wire::{Failure, Refusal};
use crate::cause::Cause;
use crate::kind::Kind;

/// How much of a server's message is quoted, in characters.
const QUOTED: usize = 400;

/// The code of a failed login, whatever the reason.
const AUTHENTICATION_FAILED: i64 = 18;

/// The code for a certificate whose subject is not a user.
const USER_NOT_FOUND: i64 = 11;

/// The code for a missing privilege.
pub(super) const UNAUTHORIZED: i64 = 13;

/// The kind for a member that is up but does not serve clients yet.
pub(super) const RECOVERING: Kind = Kind::MongoRecovering;

/// The kind for a command that needs the primary.
pub(super) const NOT_PRIMARY: Kind = Kind::MongoNotPrimary;

/// Whether the server rejected the credentials themselves.
pub(super) fn is_rejected_login(failure: &Failure) -> bool {
    matches!(failure.code(), Some(AUTHENTICATION_FAILED | USER_NOT_FOUND))
}

/// What a failed command means.
pub(super) fn of(server: &Server, failure: &Failure) -> Cause {
    match failure {
        Failure::Connection(error) => broken(server, error),
        Failure::Foreign(_) | Failure::NotMongo(_) => Cause::config(
            Kind::MongoNotMongodb,
            format!("{server} does not speak the MongoDB protocol."),
            "Correct host and port in the URI.",
        )
        .with("answer", failure),
        Failure::Refused(refusal) => of_server(server, refusal),
    }
}

fn of_server(server: &Server, refusal: &Refusal) -> Cause {
    let cause = match refusal.code {
        AUTHENTICATION_FAILED | USER_NOT_FOUND => Cause::config(
            Kind::MongoLoginRejected,
            format!("{server} rejects this user and password."),
            "Correct user, password and authSource in the URI.",
        ),
        UNAUTHORIZED => Cause::config(
            Kind::MongoUnauthorized,
            format!("{server} requires a login, or this user lacks privileges."),
            "Add user and password to the URI, or grant the user readWrite on the database.",
        ),
        10107 | 13435 | 10058 => Cause::external(
            NOT_PRIMARY,
            format!("{server} is not the primary, or just stepped down."),
            "Wait for the election; if there is none, check rs.status() for members that are down.",
        ),
        11600 | 11602 | 13436 | 189 | 91 => recovering(server),
        334 => Cause::config(
            Kind::MongoMechanism,
            format!(
                "{server} does not support the authentication mechanism, or the user has no credentials for it."
            ),
            "Remove authMechanism from the URI, or create the user's credentials for it.",
        ),
        _ => Cause::external(
            Kind::MongoRefused,
            format!("{server} rejected a basic command."),
            "See the server's message in the evidence, and mongod's log.",
        ),
    };
    with_words(cause, refusal)
}

/// Adds the server's own words.
pub(super) fn with_words(cause: Cause, refusal: &Refusal) -> Cause {
    cause
        .with_quote("server said", &refusal.message, QUOTED)
        .with("code", format!("{} {}", refusal.code, refusal.name).trim_end())
}

/// A member that is up and serves nobody yet.
pub(super) fn recovering(server: &Server) -> Cause {
    Cause::external(
        RECOVERING,
        format!("{server} is starting up, recovering or shutting down, and does not serve clients."),
        "Wait for it; rs.status() and mongod's log show its progress.",
    )
}

fn broken(server: &Server, error: &io::Error) -> Cause {
    let cause = if is_end(error) {
        Cause::external(
            Kind::MongoClosed,
            format!("{server} accepts connections but closes them without responding."),
            "Check that this is MongoDB's port, and check mongod's log; a proxy or load balancer without a healthy server behind it does the same.",
        )
    } else {
        Cause::external(
            Kind::MongoConnection,
            format!("The connection to {server} was lost."),
            "Check mongod's log and the network.",
        )
    };
    cause.with("error", error)
}

/// Whether an error is that the other side hung up.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// Something that closes connections before any request; `cause` is what was seen first.
pub(super) fn nothing_behind(server: &Server, cause: Cause) -> Cause {
    let seen = cause.evidence;
    let mut cause = Cause::external(
        // In TLS it is the handshake that was cut off.
        if cause.kind == Kind::TlsClosed { Kind::TlsClosed } else { Kind::MongoClosed },
        format!(
            "{server} closes every connection immediately: a proxy or load balancer with no healthy server behind it."
        ),
        "Check the targets of the proxy or load balancer, and that mongod runs there; a mongod at maxIncomingConnections does the same.",
    );
    cause.evidence = seen;
    cause
}

/// A TLS endpoint that closes after the first request without having requested a certificate: not mongod's behaviour.
pub(super) fn nothing_behind_tls(server: &Server, error: &io::Error) -> Cause {
    Cause::external(
        Kind::MongoClosed,
        format!("{server} completes the TLS handshake and then closes the connection: a TLS proxy with no healthy server behind it."),
        "Check the targets of the proxy or load balancer, and that mongod runs there and accepts what the proxy sends it.",
    )
    .with("TLS", "the handshake succeeds, and the server does not request a client certificate")
    .with("error", error)
}

/// A server of another kind.
pub(super) fn other(server: &Server, listener: Listener) -> Cause {
    Cause::config(
        Kind::MongoNotMongodb,
        format!("{server} is {listener}, not MongoDB."),
        "Correct host and port in the URI; MongoDB's default port is 27017.",
    )
}

/// A server that closes as soon as it gets no certificate. mongod requests one without requiring it in the handshake,
/// so there is no alert.
pub(super) fn certificate_required(server: &Server) -> Cause {
    Cause::config(
        Kind::TlsClientCertificateRequired,
        format!("{server} requests a client certificate and closes the connection without one."),
        "Set tlsCertificateKeyFile to a client certificate, or set allowConnectionsWithoutCertificates in mongod.conf.",
    )
    .with("TLS", "the handshake succeeds without the client certificate that the server requested")
}

/// A server that closes after receiving the client certificate: mongod verifies it after the handshake, and logs the
/// reason only locally.
pub(super) fn certificate_rejected(server: &Server) -> Cause {
    Cause::config(
        Kind::TlsClientCertificateRejected,
        format!("{server} closes the connection after receiving the client certificate."),
        "Use an unexpired client certificate issued by a CA that the server trusts (tlsCertificateKeyFile); mongod's log shows why it was rejected.",
    )
    .with("TLS", "the handshake succeeds with the client certificate")
}

/// A server that accepts and does not answer.
pub(super) fn silent(server: &Server, what: &str, limit: Duration) -> Cause {
    Cause::external(
        Kind::MongoSilent,
        format!("{server} accepts connections but does not respond to {what}."),
        "Check that mongod is not hung (its log, its load), and that this is MongoDB's port.",
    )
    .with("waited", format!("{} ms", limit.as_millis()))
}

/// A server that closes on plaintext and speaks TLS.
pub(super) fn tls_required(server: &Server, in_tls: &str) -> Cause {
    Cause::config(
        Kind::MongoTlsRequired,
        format!("{server} requires TLS, but the URI lacks ssl=true."),
        "Add ssl=true to the URI, and tlsCAFile if its CA is not public.",
    )
    .with("plaintext", "closed without a response")
    .with("TLS", in_tls)
}

/// A server that answers in plaintext and not in TLS.
pub(super) fn tls_refused(server: &Server) -> Cause {
    Cause::config(
        Kind::TlsRefused,
        format!("{server} does not support TLS, but the URI requires it."),
        "Enable TLS in mongod.conf (net.ssl.mode or net.tls.mode), or remove ssl=true from the URI.",
    )
    .with("TLS", "the handshake fails")
    .with("plaintext", "answers")
}

/// The only server there is holds no data.
pub(super) fn arbiter_only() -> Cause {
    Cause::config(
        Kind::MongoArbiterOnly,
        "The only server in the URI is an arbiter, which holds no data and no users.",
        "List the data-bearing members in the URI, and add replicaSet.",
    )
}

/// A server that was started with `replSetName` and has no replica set configuration.
pub(super) fn not_initiated(server: &Server) -> Cause {
    Cause::external(
        Kind::MongoNotInitiated,
        format!(
            "{server} is not a member of its replica set: the set was never initiated, or the member was removed."
        ),
        "Run rs.initiate() on it for a new set, or rs.add() on the primary of an existing one.",
    )
}

/// A delayed member that rejected a login: it may not have seen the user yet.
pub(super) fn delayed(server: &Server, seconds: i64, login: &Cause) -> Cause {
    let mut cause = Cause::config(
        Kind::MongoDelayedMember,
        format!("{server} is a delayed member, {seconds} s behind by configuration: it rejects the login, and the app cannot use it."),
        "List the members that serve clients in the URI, and add replicaSet.",
    )
    .with("login", &login.sentence);
    cause.evidence.extend(login.evidence.iter().cloned());
    cause
}
