//! What Vault's refusals mean.

use std::error::Error;
use std::time::Duration;

use super::super::uri::Server;
use super::answer::Response;
use crate::cause::Cause;
use crate::kind::Kind;

pub(super) const TLS_REQUIRED: Kind = Kind::VaultTlsRequired;

pub(super) const CLOSED: Kind = Kind::VaultClosed;

pub(super) fn sealed(server: &Server) -> Cause {
    Cause::external(
        Kind::VaultSealed,
        format!("The Vault at {server} is sealed."),
        "Unseal it on each of its nodes: vault operator unseal (before 0.9: vault unseal).",
    )
}

pub(super) fn not_initialized(server: &Server) -> Cause {
    Cause::external(
        Kind::VaultNotInitialized,
        format!("The Vault at {server} is not initialized."),
        "Initialize and unseal it (vault operator init), or correct VAULT__HOST if this is not the Vault that holds the app's keys.",
    )
}

pub(super) fn dr_secondary(server: &Server) -> Cause {
    Cause::external(
        Kind::VaultDrSecondary,
        format!("The Vault at {server} is a disaster recovery secondary, which serves no clients."),
        "Set VAULT__HOST to the primary cluster, or promote this one.",
    )
}

/// Something that responds in place of Vault.
pub(super) fn not_vault(server: &Server, answer: &Response) -> Cause {
    if let Some(cause) = redirect(server, answer) {
        return cause;
    }
    if answer.status >= 500 || answer.status == 429 {
        return Cause::external(
            Kind::VaultUnavailable,
            format!("{server} returned HTTP {} without a Vault response: probably a load balancer with no healthy Vault behind it.", answer.status),
            "Check the Vault nodes behind this address: vault status",
        )
        .with("body", answer.words());
    }
    Cause::config(
        Kind::VaultNotVault,
        format!("{server} is not Vault."),
        "Correct VAULT__HOST and VAULT__PORT; Vault listens on 8200 by default.",
    )
    .with("status", answer.status)
    .with("body", answer.words())
}

/// A redirect; Vault's own is that of a standby.
fn redirect(server: &Server, answer: &Response) -> Option<Cause> {
    let location = answer.location.as_deref().filter(|_| (300..400).contains(&answer.status))?;
    let cause = match answer.status {
        307 => Cause::external(
            Kind::VaultStandby,
            format!(
                "{server} is a standby that redirects clients to the active node instead of forwarding their requests."
            ),
            "Set VAULT__HOST to the active node, or to a load balancer that checks /v1/sys/health; or enable request forwarding between the nodes.",
        ),
        _ => Cause::config(
            Kind::VaultRedirected,
            format!("{server} redirects requests for Vault to another address."),
            "Set VAULT__SCHEME, VAULT__HOST and VAULT__PORT to the address that it redirects to.",
        ),
    };
    // The scheme and host say all; a path or a query may carry anything.
    let target = location.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    Some(cause.with("status", answer.status).with("location", target))
}

/// An unexpected response.
pub(super) fn unexpected(server: &Server, answer: &Response) -> Cause {
    if let Some(cause) = redirect(server, answer) {
        return cause;
    }
    let words = answer.words();
    if answer.status == 503 && words.contains("sealed") {
        return sealed(server).with("Vault said", words);
    }
    if words.contains("active cluster node not found") {
        return Cause::external(
            Kind::VaultNoActiveNode,
            format!("{server} is a standby, and the cluster has no active node."),
            "Check the other Vault nodes and the storage backend: vault status",
        )
        .with("Vault said", words);
    }
    Cause::external(
        Kind::VaultUnexpected,
        format!("The Vault at {server} returned HTTP {}.", answer.status),
        "Check Vault's log for the reason.",
    )
    .with("Vault said", words)
}

pub(super) fn token_rejected(server: &Server, answer: &Response) -> Cause {
    Cause::config(
        Kind::VaultTokenRejected,
        format!("The Vault at {server} rejects the token in VAULT__CLIENT_TOKEN: it is wrong, expired or revoked."),
        "Create a periodic token for the app (vault token create -period=24h -policy=…) and set VAULT__CLIENT_TOKEN.",
    )
    .with("Vault said", answer.words())
}

pub(super) fn tls_required(server: &Server) -> Cause {
    Cause::config(
        TLS_REQUIRED,
        format!("{server} requires TLS, and VAULT__SCHEME is http."),
        "Set VAULT__SCHEME=https.",
    )
}

pub(super) fn silent(server: &Server, path: &str, limit: Duration) -> Cause {
    Cause::external(
        Kind::VaultSilent,
        format!("{server} accepts connections but did not respond to {path} within {} s.", limit.as_secs()),
        "Check that VAULT__PORT is Vault's port, and that Vault and its storage backend are not hung: vault status",
    )
}

/// A connection that closed, or that is not HTTP; `heard` is the beginning of what was read.
pub(super) fn broken(server: &Server, error: &hyper::Error, heard: &[u8]) -> Cause {
    // A TLS alert: the answer of a TLS server to plain HTTP.
    if heard.starts_with(&[0x15, 0x03]) {
        return tls_required(server);
    }
    let cause = if error.is_parse() || error.is_parse_too_large() {
        Cause::config(
            Kind::VaultNotVault,
            format!("{server} does not speak HTTP."),
            "Correct VAULT__HOST and VAULT__PORT; Vault listens on 8200 by default.",
        )
        .with_quote("begins", &String::from_utf8_lossy(heard), 32)
    } else {
        Cause::external(
            CLOSED,
            format!("{server} closed the connection without responding."),
            "Check the log of Vault, or of the load balancer in front of it.",
        )
    };
    cause.with_error(error)
}

pub(super) fn unreadable(server: &Server, error: &(dyn Error + 'static)) -> Cause {
    Cause::external(
        CLOSED,
        format!("{server} cut its response short, or sent more than Vault ever does."),
        "Check the log of Vault, or of the load balancer in front of it.",
    )
    .with_error(error)
}

pub(super) fn unsendable(error: &hyper::http::Error) -> Cause {
    Cause::config(
        Kind::VaultUri,
        "Vault's address is not valid in an HTTP request.",
        "Correct the VAULT__ variables.",
    )
    .with_error(error)
}
