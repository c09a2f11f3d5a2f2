//! What a MongoDB server's refusal means, by its code.

use std::io;
use std::time::Duration;

use super::super::uri::Server;
use super::wire::{Failure, Refusal};
use crate::cause::Cause;

/// The code of a failed login, whatever was wrong with it.
const AUTHENTICATION_FAILED: i64 = 18;

/// The code for a certificate's subject that is no user.
const USER_NOT_FOUND: i64 = 11;

/// The code for something that the user may not do.
pub(super) const UNAUTHORIZED: i64 = 13;

/// The kind for a member that is there and serves nobody.
pub(super) const RECOVERING: &str = "mongo.recovering";

/// Whether the server rejected the credentials themselves.
pub(super) fn is_rejected_login(failure: &Failure) -> bool {
    matches!(failure.code(), Some(AUTHENTICATION_FAILED | USER_NOT_FOUND))
}

/// What a failed command means.
pub(super) fn of(server: &Server, failure: &Failure) -> Cause {
    match failure {
        Failure::Connection(error) => broken(server, error),
        Failure::NotMongo(what) => Cause::config(
            "mongo.not_mongodb",
            format!("What listens on {server} does not speak MongoDB's protocol."),
            "Correct host and port in the URI.",
        )
        .with("answer", what),
        Failure::Refused(refusal) => of_server(server, refusal),
    }
}

fn of_server(server: &Server, refusal: &Refusal) -> Cause {
    let cause = match refusal.code {
        AUTHENTICATION_FAILED | USER_NOT_FOUND => Cause::config(
            "mongo.login_rejected",
            format!("{server} does not accept this user and password."),
            "Correct user, password and authSource in the URI.",
        ),
        UNAUTHORIZED => Cause::config(
            "mongo.unauthorized",
            format!("{server} lets nobody in without a login, or this user may not do this."),
            "Write user and password into the URI, or grant the user readWrite on the database.",
        ),
        10107 | 13435 | 10058 => Cause::external(
            "mongo.not_primary",
            format!("{server} is not primary, or has just stepped down."),
            "Wait for the election; if none comes, look at rs.status() for members that are down.",
        ),
        11600 | 11602 | 13436 | 189 | 91 => recovering(server),
        334 => Cause::config(
            "mongo.mechanism",
            format!(
                "{server} does not have the authentication mechanism, or the user has no credentials for it."
            ),
            "Remove authMechanism from the URI, or create the user's credentials for it.",
        ),
        _ => Cause::external(
            "mongo.refused",
            format!("{server} refuses a command that every MongoDB knows."),
            "The evidence has the server's own words; its log says more.",
        ),
    };
    with_words(cause, refusal)
}

/// Adds the server's own words.
pub(super) fn with_words(cause: Cause, refusal: &Refusal) -> Cause {
    cause
        .with("server said", &refusal.message)
        .with("code", format!("{} {}", refusal.code, refusal.name).trim_end())
}

/// A member that is there and serves nobody yet.
pub(super) fn recovering(server: &Server) -> Cause {
    Cause::external(
        RECOVERING,
        format!("{server} is starting up, recovering or shutting down, and serves nobody."),
        "Wait for it; rs.status() and its log say how far it is.",
    )
}

fn broken(server: &Server, error: &io::Error) -> Cause {
    let cause = if is_end(error) {
        Cause::external(
            "mongo.closed",
            format!("{server} accepts connections and closes them without an answer."),
            "Check that the port is MongoDB's, and look at mongod's log; a proxy or load balancer without a live server behind it does the same.",
        )
    } else {
        Cause::external(
            "mongo.connection",
            format!("The connection to {server} broke."),
            "Look at mongod's log and at the network between.",
        )
    };
    cause.with("error", error)
}

/// Whether an error is that the other side hung up.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// A server that hangs up as soon as it knows that it got no certificate. mongod asks for one without insisting in the
/// handshake, so no alert tells.
pub(super) fn certificate_required(server: &Server) -> Cause {
    Cause::config(
        "tls.client_certificate_required",
        format!("{server} hangs up after the TLS handshake, as a mongod does that demands a client certificate."),
        "Name a client certificate with tlsCertificateKeyFile, or set allowConnectionsWithoutCertificates in mongod.conf.",
    )
    .with("TLS", "the handshake succeeds without a client certificate")
}

/// A server that hangs up once it has seen the client's certificate: mongod looks at it after the handshake, and says why
/// in its log alone.
pub(super) fn certificate_rejected(server: &Server) -> Cause {
    Cause::config(
        "tls.client_certificate_rejected",
        format!("{server} hangs up after the TLS handshake, as a mongod does that rejects the client certificate."),
        "Use a client certificate that is still good and was issued by the CA which the server trusts (tlsCertificateKeyFile).",
    )
    .with("TLS", "the handshake succeeds with the client certificate")
}

/// A server that accepts and does not answer.
pub(super) fn silent(server: &Server, what: &str, limit: Duration) -> Cause {
    Cause::external(
        "mongo.silent",
        format!("{server} accepts connections and does not answer {what}."),
        "Check that the server is not hung (its log, its load), and that the port is MongoDB's.",
    )
    .with("waited", format!("{} ms", limit.as_millis()))
}

/// A server that closes on plaintext and speaks TLS.
pub(super) fn tls_required(server: &Server) -> Cause {
    Cause::config(
        "mongo.tls_required",
        format!("{server} requires TLS, and the URI lacks ssl=true."),
        "Add ssl=true to the URI, and the CA with tlsCAFile where it is not a public one.",
    )
    .with("plaintext", "closed without an answer")
    .with("TLS", "the handshake succeeds")
}

/// A server that answers in plaintext and not in TLS.
pub(super) fn tls_refused(server: &Server) -> Cause {
    Cause::config(
        "tls.refused",
        format!("{server} has no TLS, and the URI insists on it."),
        "Switch TLS on in mongod.conf (net.ssl.mode or net.tls.mode), or remove ssl=true from the URI.",
    )
    .with("TLS", "the handshake fails")
    .with("plaintext", "answers")
}

/// The only server there is holds no data.
pub(super) fn arbiter_only() -> Cause {
    Cause::config(
        "mongo.arbiter_only",
        "The only server that the URI leads to is an arbiter, which holds no data and knows no users.",
        "Name the members that hold data in the URI, and the set with replicaSet.",
    )
}
