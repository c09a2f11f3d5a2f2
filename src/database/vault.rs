//! The upper Vault rungs: tls, health, token, transit. All requests are read-only.
//!
//! Uses OpenSSL, as for the databases, for the same verification errors. Redirects are not followed: a standby's
//! redirect would send the token to whatever address the cluster advertises.

mod answer;
mod errors;
mod session;
mod token;
mod transit;

use std::time::Duration;

use openssl::ssl::SslVersion;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::connect::{self, Place, Reached, Stream};
use super::rung::{LadderProbe, Progress, Rung};
use super::tls::{self, Authorities, Terms, Verify};
use super::uri::{Product, Server, VaultUri};
use crate::cause::Cause;
use crate::files::Root;
use crate::kind::Kind;
use crate::trust;
use answer::Response;
use session::Session;

/// How long the TLS handshake may take.
const TLS_LIMIT: Duration = Duration::from_secs(3);

/// Request timeout. A standby forwards to the active node, which takes another round trip.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// Climbs from an open connection to the top.
pub(super) async fn climb(
    ladder_probe: &LadderProbe,
    uri: &VaultUri,
    reached: Vec<Reached>,
    progress: &mut Progress,
) {
    let Some(reached) = reached.into_iter().next() else { return };
    let server = &reached.server;
    let started = Instant::now();
    let (stream, channel): (Box<dyn Stream>, String) = if uri.tls {
        let limit = progress.limit(TLS_LIMIT);
        match tls::handshake(&terms(), &ladder_probe.root, server, reached.stream, limit).await {
            Ok(stream) => {
                let detail = tls::described(stream.ssl(), Verify::Name);
                (Box::new(stream), detail)
            }
            Err(cause) => {
                return progress.failed(Rung::Tls, for_vault(cause, &ladder_probe.root), started.elapsed());
            }
        }
    } else {
        (reached.stream, "no TLS, per VAULT__SCHEME=http".to_owned())
    };
    let tls_took = started.elapsed();

    let started = Instant::now();
    let mut session = match Session::open(server, stream, &uri.token).await {
        Ok(session) => session,
        Err(cause) => return progress.failed(Rung::Tls, cause, tls_took),
    };
    let health = session.get("/v1/sys/health", progress.limit(REQUEST_LIMIT)).await;
    let health = health.and_then(|answer| judge_health(server, &answer));
    if let Err(cause) = &health {
        let requires_tls = match cause.kind {
            errors::TLS_REQUIRED => true,
            errors::CLOSED if !uri.tls => speaks_tls(ladder_probe, &reached.place, server, progress).await,
            _ => false,
        };
        if requires_tls {
            return progress.failed(Rung::Tls, errors::tls_required(server), tls_took);
        }
    }
    progress.good(Rung::Tls, channel, tls_took);
    match health {
        Ok(detail) => progress.good(Rung::Health, detail, started.elapsed()),
        Err(cause) => return progress.failed(Rung::Health, cause, started.elapsed()),
    }

    // Nobody but Vault is shown the token.
    let started = Instant::now();
    match token::ask(&mut session, server, progress.limit(REQUEST_LIMIT)).await {
        Ok((detail, warnings)) => {
            progress.good(Rung::Token, detail, started.elapsed());
            progress.warnings.extend(warnings);
        }
        Err(cause) => return progress.failed(Rung::Token, cause, started.elapsed()),
    }

    let started = Instant::now();
    let limit = progress.limit(REQUEST_LIMIT);
    match transit::ask(&mut session, server, &uri.mount, limit).await {
        Ok(detail) => progress.good(Rung::Transit, detail, started.elapsed()),
        Err(cause) => progress.failed(Rung::Transit, cause, started.elapsed()),
    }
}

/// Whether a server that closes plaintext connections silently completes a TLS handshake.
async fn speaks_tls(ladder_probe: &LadderProbe, place: &Place, server: &Server, progress: &Progress) -> bool {
    let Ok(Ok(stream)) = timeout(progress.limit(TLS_LIMIT), connect::open(place)).await else { return false };
    let terms = Terms::anything(Product::Vault);
    tls::handshake(&terms, &ladder_probe.root, server, stream, progress.limit(TLS_LIMIT)).await.is_ok()
}

fn terms() -> Terms {
    Terms {
        kind: Product::Vault,
        verify: Verify::Name,
        authorities: Authorities::System,
        identity: None,
        revocation_list: None,
        send_name: true,
        least: Some(SslVersion::TLS1_2),
        most: None,
        protocol: &[],
    }
}

/// The next step for an untrusted certificate, since there is no URI option for a CA.
fn for_vault(mut cause: Cause, root: &Root) -> Cause {
    match cause.kind {
        Kind::TlsUnknownCa => {
            cause.next_step = trust::next_step(root, "vault");
        }
        Kind::TlsNotTls => {
            cause.next_step =
                "If Vault's listener has tls_disable set, write VAULT__SCHEME=http; otherwise correct VAULT__PORT."
                    .to_owned();
        }
        _ => {}
    }
    cause
}

/// The response of `sys/health`; its status is the result.
fn judge_health(server: &Server, answer: &Response) -> Result<String, Cause> {
    let json = answer.json();
    let is_vault = json.as_ref().is_some_and(|json| json.get("initialized").is_some_and(Value::is_boolean));
    if !is_vault {
        return Err(errors::not_vault(server, answer));
    }
    let version = json.as_ref().and_then(|json| json.get("version")).and_then(Value::as_str);
    let vault = version
        .map_or_else(|| "Vault".to_owned(), |version| format!("Vault {}", version.trim_start_matches('v')));
    match answer.status {
        200 => Ok(format!("active, {vault}")),
        429 => Ok(format!("standby, which forwards requests to the active node, {vault}")),
        473 => Ok(format!("performance standby, {vault}")),
        472 => Err(errors::dr_secondary(server)),
        501 => Err(errors::not_initialized(server)),
        503 => Err(errors::sealed(server)),
        _ => Err(errors::unexpected(server, answer)),
    }
}
