//! What a failed handshake means.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use openssl::ssl;

use super::super::uri::{Host, Product, Server};
use super::chain::{Issuer, Objection};
use super::terms::{Authorities, Terms};
use crate::cause::Cause;
use crate::kind::Kind;

// OpenSSL's verification errors (`X509_V_ERR_…` in x509_vfy.h).
const UNABLE_TO_GET_ISSUER: i32 = 2;
const SIGNATURE_FAILURE: i32 = 7;
const NOT_YET_VALID: i32 = 9;
const HAS_EXPIRED: i32 = 10;
const SELF_SIGNED: i32 = 18;
const SELF_SIGNED_IN_CHAIN: i32 = 19;
const UNKNOWN_ISSUER: i32 = 20;
const UNVERIFIABLE_LEAF: i32 = 21;
const NO_CRL: i32 = 3;
const CRL_NOT_YET_VALID: i32 = 11;
const CRL_EXPIRED: i32 = 12;
const REVOKED: i32 = 23;
const INVALID_PURPOSE: i32 = 26;
pub(super) const HOSTNAME_MISMATCH: i32 = 62;
pub(super) const ADDRESS_MISMATCH: i32 = 64;
const KEY_TOO_SMALL: i32 = 66;
const CA_KEY_TOO_SMALL: i32 = 67;
const DIGEST_TOO_WEAK: i32 = 68;
const INVALID_CA: i32 = 79;

// OpenSSL's reasons for a failed handshake (`SSL_R_…` in sslerr.h). An alert from the server is 1000 and its number.
const HTTP_REQUEST: i32 = 156;
const WRONG_VERSION_NUMBER: i32 = 267;
const PACKET_LENGTH_TOO_LONG: i32 = 198;
const UNSUPPORTED_PROTOCOL: i32 = 258;
const NO_PROTOCOLS_AVAILABLE: i32 = 191;
const DH_KEY_TOO_SMALL: i32 = 394;
const SERVER_KEY_TOO_SMALL: i32 = 399;
const ALERT: i32 = 1000;
const ALERT_HANDSHAKE_FAILURE: i32 = ALERT + 40;
const ALERT_BAD_CERTIFICATE: i32 = ALERT + 42;
const ALERT_UNSUPPORTED_CERTIFICATE: i32 = ALERT + 43;
const ALERT_CERTIFICATE_REVOKED: i32 = ALERT + 44;
const ALERT_CERTIFICATE_EXPIRED: i32 = ALERT + 45;
const ALERT_CERTIFICATE_UNKNOWN: i32 = ALERT + 46;
const ALERT_UNKNOWN_CA: i32 = ALERT + 48;
const ALERT_PROTOCOL_VERSION: i32 = ALERT + 70;
const ALERT_UNRECOGNIZED_NAME: i32 = ALERT + 112;
const ALERT_CERTIFICATE_REQUIRED: i32 = ALERT + 116;

/// A certificate that OpenSSL objected to.
pub(super) fn of_certificate(terms: &Terms, server: &Server, objection: &Objection) -> Cause {
    let whose = if objection.depth == 0 {
        format!("The certificate of {server}")
    } else {
        format!("The CA certificate {} in the chain of {server}", objection.subject)
    };
    let cause = match objection.code {
        HAS_EXPIRED => Cause::external(
            Kind::TlsExpired,
            format!("{whose} has expired."),
            "Renew the certificate; if its dates look right, check this machine's clock.",
        )
        .with("clock of this machine", now()),
        NOT_YET_VALID => Cause::external(
            Kind::TlsNotYetValid,
            format!("{whose} is not yet valid."),
            "Check the clocks of this machine (chronyc tracking) and of the server.",
        )
        .with("clock of this machine", now()),
        HOSTNAME_MISMATCH | ADDRESS_MISMATCH => Cause::config(
            Kind::TlsWrongName,
            format!("The certificate of {server} is for another name."),
            "Use a name from the certificate in the URI, or issue a certificate for this name.",
        )
        .with(
            "certificate is for",
            if objection.names.is_empty() { &objection.subject } else { &objection.names },
        ),
        SELF_SIGNED => Cause::config(
            Kind::TlsUnknownCa,
            format!("The certificate of {server} is self-signed, and the URI does not trust it."),
            format!(
                "Put that certificate on this box and set {} to it, or have a CA sign the server's certificate.",
                terms.authorities_setting()
            ),
        )
        .with("trusted", trusted(terms)),
        UNABLE_TO_GET_ISSUER | SELF_SIGNED_IN_CHAIN | UNKNOWN_ISSUER | UNVERIFIABLE_LEAF
        | SIGNATURE_FAILURE => untrusted(terms, server, objection),
        KEY_TOO_SMALL | CA_KEY_TOO_SMALL => Cause::config(
            Kind::TlsWeakKey,
            format!("{whose} has a key that is too short."),
            "Issue a new certificate with an RSA key of 2048 bits or more, or an ECDSA key.",
        ),
        DIGEST_TOO_WEAK => Cause::config(
            Kind::TlsWeakKey,
            format!("{whose} is signed with a weak digest (MD5 or SHA-1)."),
            "Reissue the certificate, signed with SHA-256.",
        ),
        NO_CRL => Cause::config(
            Kind::TlsCrl,
            format!("The revocation list (sslcrl) is not one of the CA that signed the certificate of {server}."),
            "Name the list of that CA, or remove sslcrl from the URI.",
        ),
        CRL_EXPIRED | CRL_NOT_YET_VALID => Cause::config(
            Kind::TlsCrl,
            "The revocation list (sslcrl) is out of date.",
            "Fetch the CA's present list, or remove sslcrl from the URI.",
        ),
        INVALID_PURPOSE => Cause::config(
            Kind::TlsCertificatePurpose,
            format!("{whose} is not meant for a server: its extended key usage lacks serverAuth."),
            "Issue a certificate with extendedKeyUsage = serverAuth.",
        ),
        INVALID_CA => Cause::config(
            Kind::TlsNotACa,
            format!("{} signed the certificate of {server} but is not a CA certificate.", objection.subject),
            "Sign with a certificate that has basicConstraints = CA:TRUE, and trust that certificate.",
        )
        .with("trusted", trusted(terms)),
        REVOKED => Cause::config(
            Kind::TlsRevoked,
            format!("{whose} has been revoked."),
            "Issue a new certificate for the server.",
        ),
        _ => Cause::config(
            Kind::TlsCertificate,
            format!("{whose} was rejected."),
            "Correct the server's certificate; OpenSSL's error is in the evidence.",
        ),
    };
    let said = format!("{} ({})", objection.words, objection.code);
    cause
        .with("OpenSSL", said)
        .with("subject", &objection.subject)
        .with("issuer", &objection.issuer)
        .with("valid", &objection.valid)
}

/// A chain that does not end at a trusted certificate. The server should send the issuer of its own certificate if that
/// is an intermediate; higher up, only a root can be missing, which no server needs to send.
fn untrusted(terms: &Terms, server: &Server, objection: &Objection) -> Cause {
    let setting = terms.authorities_setting();
    let issuer = &objection.issuer;
    let append = match terms.kind {
        Product::Postgres => {
            "Append it to the server's certificate file (ssl_cert_file) and reload PostgreSQL"
        }
        Product::Mongo => {
            "Append it to the server's certificate file (net.tls.certificateKeyFile) and restart mongod"
        }
        Product::Vault => "Append it to the server's certificate file (tls_cert_file) and reload Vault",
    };
    let alone = objection.depth == 0 && objection.code != SELF_SIGNED_IN_CHAIN;
    let cause = match objection.issuer_is {
        Issuer::Namesake => Cause::config(
            Kind::TlsUnknownCa,
            format!(
                "The certificate of {server} was signed by a CA named {issuer}, but not with the key of the trusted CA of that name."
            ),
            format!(
                "The CA was probably recreated: put its current certificate on this box, where {setting} points."
            ),
        ),
        Issuer::OfTrusted => Cause::config(
            Kind::TlsUnknownCa,
            format!(
                "The trusted certificate {} is an intermediate, and its own issuer {issuer} is not trusted.",
                objection.subject
            ),
            format!("Add the certificate of the root, {issuer}, to the file that {setting} names."),
        ),
        Issuer::Intermediate if alone => Cause::config(
            Kind::TlsIncompleteChain,
            format!("{server} does not send the intermediate certificate {issuer} that signed its own."),
            format!("{append}."),
        ),
        Issuer::Unknown if alone => Cause::config(
            Kind::TlsUnknownCa,
            format!(
                "The certificate of {server} was signed by {issuer}, whose certificate is neither trusted nor sent by the server."
            ),
            format!(
                "If {issuer} is a root CA, put its certificate on this box and set {setting} to it. If it is an intermediate: {}.",
                lower_first(append)
            ),
        ),
        _ => Cause::config(
            Kind::TlsUnknownCa,
            format!("The certificate of {server} was not issued by a trusted CA."),
            format!("Put the issuing CA's certificate on this box and set {setting} to it."),
        ),
    };
    cause.with("trusted", trusted(terms))
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now)
}

fn trusted(terms: &Terms) -> String {
    match &terms.authorities {
        Authorities::System => "this machine's CA certificates".to_owned(),
        Authorities::File(path) => path.display().to_string(),
    }
}

/// A handshake that failed for a reason other than the server's certificate.
///
/// `asked`: the server requested a client certificate. Versions and ciphers are negotiated by then, so a later
/// rejection or disconnect is about that certificate.
pub(super) fn of_handshake(terms: &Terms, server: &Server, asked: bool, error: &ssl::Error) -> Cause {
    let reason = error.ssl_error().and_then(|stack| stack.errors().last()).map(|error| error.reason_code());
    let hung_up = reason.is_none();
    let refused = reason.is_some_and(|reason| reason >= ALERT);
    if asked && (hung_up || refused) {
        let cause = if terms.identity.is_some() { rejected(server) } else { demanded(terms, server) };
        return cause.with("OpenSSL", words(error));
    }
    if let Some(cause) = reason.and_then(|reason| alert(terms, server, reason)) {
        return cause.with("OpenSSL", words(error));
    }
    let cause = match reason {
        Some(HTTP_REQUEST | WRONG_VERSION_NUMBER | PACKET_LENGTH_TOO_LONG) => Cause::config(
            Kind::TlsNotTls,
            format!("{server} answers the TLS handshake with something other than TLS."),
            format!("Check the port in the URI, and whether {} has TLS enabled there.", terms.kind.name()),
        ),
        Some(UNSUPPORTED_PROTOCOL) => too_old(server),
        Some(NO_PROTOCOLS_AVAILABLE) => Cause::config(
            Kind::TlsVersion,
            "The URI's limits leave no version of TLS: ssl_max_protocol_version is below TLSv1.2, the least by default.",
            "Remove ssl_max_protocol_version and ssl_min_protocol_version from the URI.",
        ),
        Some(DH_KEY_TOO_SMALL | SERVER_KEY_TOO_SMALL) => Cause::config(
            Kind::TlsWeakKey,
            format!("{server} uses a key that is too short for TLS."),
            "Use an RSA key and Diffie-Hellman parameters of 2048 bits or more on the server.",
        ),
        Some(_) => Cause::external(
            Kind::TlsHandshake,
            format!("The TLS handshake with {server} failed."),
            "Check the server's log for its side of the handshake.",
        ),
        None => closed(server),
    };
    cause.with("OpenSSL", words(error))
}

/// What the server's alert means; in TLS 1.3, it may come only after the handshake.
pub(super) fn alert(terms: &Terms, server: &Server, reason: i32) -> Option<Cause> {
    let cause = match reason {
        ALERT_CERTIFICATE_REQUIRED => demanded(terms, server),
        ALERT_HANDSHAKE_FAILURE if terms.identity.is_none() => Cause::config(
            Kind::TlsHandshake,
            format!(
                "{server} rejects the TLS handshake: no shared cipher, or it requires a client certificate."
            ),
            "Check the server's log for which of the two, and its cipher settings.",
        ),
        ALERT_HANDSHAKE_FAILURE => Cause::config(
            Kind::TlsHandshake,
            format!("{server} rejects the TLS handshake: no shared cipher."),
            "Check the server's cipher settings and its log.",
        ),
        ALERT_BAD_CERTIFICATE
        | ALERT_UNSUPPORTED_CERTIFICATE
        | ALERT_CERTIFICATE_REVOKED
        | ALERT_CERTIFICATE_EXPIRED
        | ALERT_CERTIFICATE_UNKNOWN
        | ALERT_UNKNOWN_CA
            if terms.identity.is_some() =>
        {
            rejected(server)
        }
        ALERT_PROTOCOL_VERSION => too_old(server),
        ALERT_UNRECOGNIZED_NAME => Cause::config(
            Kind::TlsServerName,
            match server.host {
                Host::Name(_) => {
                    format!("The TLS server at {server} serves other names than this one (SNI).")
                }
                _ => format!(
                    "The TLS server at {server} tells its databases apart by name (SNI), and the URI has an address."
                ),
            },
            "Write the database's own name in the URI: a TLS proxy decides by it where to connect.",
        ),
        _ => return None,
    };
    Some(cause)
}

fn rejected(server: &Server) -> Cause {
    Cause::config(
        Kind::TlsClientCertificateRejected,
        format!("{server} does not accept the client certificate."),
        "Use an unexpired client certificate issued by a CA that the server trusts.",
    )
}

fn demanded(terms: &Terms, server: &Server) -> Cause {
    let settings = match terms.kind {
        Product::Postgres => "sslcert and sslkey",
        Product::Mongo => "tlsCertificateKeyFile",
        Product::Vault => "the app's own settings",
    };
    Cause::config(
        Kind::TlsClientCertificateRequired,
        format!("{server} requires a client certificate, but the URI has none."),
        format!(
            "Put a client certificate on this box and set {settings} to it, or configure the server not to require one."
        ),
    )
}

fn too_old(server: &Server) -> Cause {
    Cause::config(
        Kind::TlsVersion,
        format!("{server} and boot-agent have no TLS version in common."),
        "Enable TLS 1.2 on the server, or correct the version limits in the URI.",
    )
}

fn closed(server: &Server) -> Cause {
    Cause::external(
        Kind::TlsClosed,
        format!("{server} closed the connection during the TLS handshake."),
        "Check the server's log; a proxy or load balancer in between may have closed it.",
    )
}

pub(super) fn silent(server: &Server, limit: Duration) -> Cause {
    Cause::external(
        Kind::TlsSilent,
        format!("{server} accepts connections but does not respond to the TLS handshake."),
        "Check that the server is not hung, and that this is the database's port.",
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

/// The cause in an I/O error that an alert after the handshake caused.
pub(in crate::database) fn after_handshake(
    terms: &Terms,
    server: &Server,
    error: &io::Error,
) -> Option<Cause> {
    let inner = error.get_ref()?.downcast_ref::<ssl::Error>()?;
    let reason = inner.ssl_error()?.errors().last()?.reason_code();
    alert(terms, server, reason).map(|cause| cause.with("OpenSSL", words(inner)))
}
