//! Which driver can log in, current ones or the app's older Java driver, if they parse the URI differently.

use std::time::Duration;

use tokio::time::timeout;

use super::super::connect::{self, Place};
use super::super::uri::MongoUri;
use super::super::uri::java;
use super::hello::{self, Member};
use super::scram::Mechanism;
use super::wire::Wire;
use crate::cause::Cause;
use crate::kind::Kind;

/// How long the server has to answer without TLS.
const PLAINTEXT_LIMIT: Duration = Duration::from_millis(1000);

const TODAYS: &str = "today's drivers";
const OLD: &str = "older Java drivers";

/// The URI's warning, which gets the evidence.
fn warning(uri: &MongoUri, kind: Kind) -> Option<Cause> {
    uri.warnings.iter().find(|warning| warning.kind == kind).cloned()
}

/// What a login shows about credentials that the two parse differently; `as_today` is whether the current drivers' were
/// accepted.
pub(super) fn logged_in(uri: &MongoUri, as_today: bool) -> Option<Cause> {
    uri.old_driver.credentials.as_ref()?;
    let (today, old) = if as_today { ("log in", "are rejected") } else { ("are rejected", "log in") };
    Some(warning(uri, java::PLUS)?.with(TODAYS, today).with(OLD, old))
}

/// How a driver fares that connects without TLS where current ones use it.
pub(super) async fn without_tls(uri: &MongoUri, place: &Place) -> Option<Cause> {
    if !uri.old_driver.in_plaintext {
        return None;
    }
    let answers = timeout(PLAINTEXT_LIMIT, async {
        let stream = connect::open(place).await.ok()?;
        hello::ask(&mut Wire::new(stream)).await.ok()
    });
    let old = match answers.await {
        Ok(Some(_)) => "connect without TLS: the server allows it, and the traffic is not encrypted",
        _ => "cannot connect: the server does not respond without TLS",
    };
    Some(warning(uri, java::PLAINTEXT)?.with(TODAYS, "connect with TLS").with(OLD, old))
}

/// A user whom only drivers with SCRAM-SHA-256 can log in.
pub(super) fn without_mechanism(member: &Member) -> Option<Cause> {
    let offered = &member.hello.mechanisms;
    let has = |mechanism: Mechanism| offered.iter().any(|name| name == mechanism.name());
    (has(Mechanism::Sha256) && !has(Mechanism::Sha1)).then(|| {
        Cause::config(
            Kind::MongoOldDriverMechanism,
            "The user has credentials for SCRAM-SHA-256 only, which Java drivers before 3.8 do not support: the app may be rejected.",
            "Set the password again with db.updateUser(), and mechanisms: [\"SCRAM-SHA-1\", \"SCRAM-SHA-256\"].",
        )
        .with("the user has", offered.join(", "))
    })
}
