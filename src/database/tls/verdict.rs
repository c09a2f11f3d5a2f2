//! What a failed handshake means.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use openssl::ssl;

use super::super::uri::Server;
use super::{Authorities, Objection, Terms};
use crate::cause::Cause;

// OpenSSL's verdicts on a certificate (`X509_V_ERR_…` in x509_vfy.h).
const UNABLE_TO_GET_ISSUER: i32 = 2;
const NOT_YET_VALID: i32 = 9;
const HAS_EXPIRED: i32 = 10;
const SELF_SIGNED: i32 = 18;
const SELF_SIGNED_IN_CHAIN: i32 = 19;
const UNKNOWN_ISSUER: i32 = 20;
const UNVERIFIABLE_LEAF: i32 = 21;
const HOSTNAME_MISMATCH: i32 = 62;
const ADDRESS_MISMATCH: i32 = 64;

// OpenSSL's reasons for a failed handshake (`SSL_R_…` in sslerr.h). An alert from the server is 1000 and its number.
const HTTP_REQUEST: i32 = 156;
const WRONG_VERSION_NUMBER: i32 = 267;
const PACKET_LENGTH_TOO_LONG: i32 = 198;
const UNSUPPORTED_PROTOCOL: i32 = 258;
const ALERT: i32 = 1000;
const ALERT_HANDSHAKE_FAILURE: i32 = ALERT + 40;
const ALERT_BAD_CERTIFICATE: i32 = ALERT + 42;
const ALERT_CERTIFICATE_EXPIRED: i32 = ALERT + 45;
const ALERT_CERTIFICATE_UNKNOWN: i32 = ALERT + 46;
const ALERT_UNKNOWN_CA: i32 = ALERT + 48;
const ALERT_PROTOCOL_VERSION: i32 = ALERT + 70;
const ALERT_CERTIFICATE_REQUIRED: i32 = ALERT + 116;

/// A certificate that OpenSSL objected to.
pub(super) fn of_certificate(terms: &Terms, server: &Server, objection: &Objection) -> Cause {
    let setting = terms.authorities_setting();
    let cause = match objection.code {
        HAS_EXPIRED => Cause::external(
            "tls.expired",
            format!("The certificate of {server} has expired."),
            "Renew the server's certificate; if its dates look right, check this machine's clock.",
        ),
        NOT_YET_VALID => Cause::external(
            "tls.not_yet_valid",
            format!("The certificate of {server} is not valid yet."),
            "Check the clocks of this machine (chronyc tracking) and of the server.",
        ),
        HOSTNAME_MISMATCH | ADDRESS_MISMATCH => Cause::config(
            "tls.wrong_name",
            format!("The certificate of {server} is for another name."),
            "Write into the URI a name that the certificate carries, or issue a certificate with this name.",
        )
        .with(
            "certificate is for",
            if objection.names.is_empty() { &objection.subject } else { &objection.names },
        ),
        UNABLE_TO_GET_ISSUER | SELF_SIGNED | SELF_SIGNED_IN_CHAIN | UNKNOWN_ISSUER | UNVERIFIABLE_LEAF => {
            Cause::config(
                "tls.unknown_ca",
                format!("The certificate of {server} was not issued by an authority that the URI trusts."),
                format!(
                    "Put the certificate of the CA named as issuer on this box and name it with {setting}."
                ),
            )
            .with("trusted", trusted(terms))
        }
        _ => Cause::config(
            "tls.certificate",
            format!("The certificate of {server} cannot be accepted."),
            "Have the server's certificate corrected; the evidence says what OpenSSL did not like.",
        ),
    };
    let said = format!("{} ({})", objection.words, objection.code);
    cause
        .with("OpenSSL", said)
        .with("subject", &objection.subject)
        .with("issuer", &objection.issuer)
        .with("valid", &objection.valid)
}

fn trusted(terms: &Terms) -> String {
    match &terms.authorities {
        Authorities::System => "this machine's own store".to_owned(),
        Authorities::File(path) => path.display().to_string(),
    }
}

/// A handshake that ended for another reason than the server's certificate.
pub(super) fn of_handshake(terms: &Terms, server: &Server, error: &ssl::Error) -> Cause {
    let reason = error.ssl_error().and_then(|stack| stack.errors().last()).map(|error| error.reason_code());
    if let Some(cause) = reason.and_then(|reason| alert(terms, server, reason)) {
        return cause.with("OpenSSL", words(error));
    }
    let cause = match reason {
        Some(HTTP_REQUEST | WRONG_VERSION_NUMBER | PACKET_LENGTH_TOO_LONG) => Cause::config(
            "tls.not_tls",
            format!("{server} answers the TLS handshake with something else than TLS."),
            format!(
                "Check the port in the URI, and whether {} has TLS switched on there.",
                terms.kind.name()
            ),
        ),
        Some(UNSUPPORTED_PROTOCOL) => too_old(server),
        Some(_) => Cause::external(
            "tls.handshake",
            format!("The TLS handshake with {server} failed."),
            "Look at the server's log for its side of the handshake.",
        ),
        None => closed(server),
    };
    cause.with("OpenSSL", words(error))
}

/// What an alert of the server means, which in TLS 1.3 may come only after the handshake.
pub(super) fn alert(terms: &Terms, server: &Server, reason: i32) -> Option<Cause> {
    let cause = match reason {
        ALERT_CERTIFICATE_REQUIRED => demanded(terms, server),
        ALERT_HANDSHAKE_FAILURE if terms.identity.is_none() => Cause::config(
            "tls.handshake",
            format!(
                "{server} refuses the TLS handshake: no cipher in common, or it demands a client certificate."
            ),
            "Look at the server's log for which of the two, and at its cipher settings.",
        ),
        ALERT_HANDSHAKE_FAILURE => Cause::config(
            "tls.handshake",
            format!("{server} refuses the TLS handshake: no cipher in common."),
            "Look at the server's cipher settings and its log.",
        ),
        ALERT_BAD_CERTIFICATE | ALERT_CERTIFICATE_EXPIRED | ALERT_CERTIFICATE_UNKNOWN | ALERT_UNKNOWN_CA
            if terms.identity.is_some() =>
        {
            Cause::config(
                "tls.client_certificate_rejected",
                format!("{server} does not accept the client certificate."),
                "Use a client certificate that is still good and was issued by the CA which the server trusts.",
            )
        }
        ALERT_PROTOCOL_VERSION => too_old(server),
        _ => return None,
    };
    Some(cause)
}

fn demanded(terms: &Terms, server: &Server) -> Cause {
    let settings = match terms.kind {
        super::Kind::Postgres => "sslcert and sslkey",
        super::Kind::Mongo => "tlsCertificateKeyFile",
        super::Kind::Vault => "the app's own settings",
    };
    Cause::config(
        "tls.client_certificate_required",
        format!("{server} demands a client certificate, and the URI names none."),
        format!(
            "Put a client certificate on this box and name it with {settings}, or let the server do without."
        ),
    )
}

fn too_old(server: &Server) -> Cause {
    Cause::config(
        "tls.version",
        format!("{server} and this program have no version of TLS in common."),
        "Enable TLS 1.2 on the server, or correct the version limits in the URI.",
    )
}

fn closed(server: &Server) -> Cause {
    Cause::external(
        "tls.closed",
        format!("{server} closed the connection during the TLS handshake."),
        "Look at the server's log; a proxy or load balancer in between may have done it.",
    )
}

pub(super) fn silent(server: &Server, limit: Duration) -> Cause {
    Cause::external(
        "tls.silent",
        format!("{server} accepts connections and does not answer the TLS handshake."),
        "Check that the server is not hung, and that the port is the database's.",
    )
    .with("waited", format!("{} ms", limit.as_millis()))
}

fn words(error: &ssl::Error) -> String {
    if let Some(stack) = error.ssl_error().and_then(|stack| stack.errors().last()) {
        return stack.reason().map_or_else(|| stack.to_string(), str::to_owned);
    }
    match error.io_error() {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "unexpected end of the connection".to_owned()
        }
        Some(error) => error.to_string(),
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// The cause in an error of reading or writing that an alert after the handshake made.
pub(in crate::database) fn after_handshake(
    terms: &Terms,
    server: &Server,
    error: &io::Error,
) -> Option<Cause> {
    let inner = error.get_ref()?.downcast_ref::<ssl::Error>()?;
    let reason = inner.ssl_error()?.errors().last()?.reason_code();
    alert(terms, server, reason).map(|cause| cause.with("OpenSSL", words(inner)))
}
