//! The rung token: whether Vault accepts it, and when it expires.

use std::time::Duration;

use serde_json::Value;

use super::super::uri::Server;
use super::errors;
use super::session::Session;
use crate::cause::Cause;
use crate::console::human;
use crate::kind::Kind;

/// The remaining TTL below which a missing renewal is reported.
const SOON: Duration = Duration::from_secs(3600);

/// The next step for a token that ends one day.
const PERIODIC: &str =
    "Create a periodic token (vault token create -period=24h -policy=…) and set VAULT__CLIENT_TOKEN.";

/// What Vault says of the token that asks.
#[derive(Debug, Default)]
struct Token {
    /// Zero: for ever.
    ttl: Duration,
    renewable: bool,
    period: Duration,
    longest: Duration,
    uses: u64,
    is_root: bool,
}

impl Token {
    fn read(data: &Value) -> Self {
        let number = |name: &str| match data.get(name) {
            Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            _ => 0,
        };
        let seconds = |name: &str| Duration::from_secs(number(name));
        let policies = data.get("policies").and_then(Value::as_array);
        Token {
            ttl: seconds("ttl"),
            renewable: data.get("renewable").and_then(Value::as_bool).unwrap_or(false),
            period: seconds("period"),
            longest: seconds("explicit_max_ttl"),
            uses: number("num_uses"),
            is_root: policies.is_some_and(|policies| policies.iter().any(|policy| policy == "root")),
        }
    }

    fn detail(&self) -> String {
        match (self.ttl.is_zero(), self.period.is_zero()) {
            (true, _) => "accepted, never expires".to_owned(),
            (false, true) => format!("accepted, expires in {}", human(self.ttl)),
            (false, false) => {
                format!("accepted, expires in {}, renewable every {}", human(self.ttl), human(self.period))
            }
        }
    }

    /// Warnings about the nearest expiry, and about a token with excessive privileges.
    fn warnings(&self) -> Vec<Cause> {
        let left = human(self.ttl);
        let ends = match self {
            _ if self.ttl.is_zero() => None,
            _ if !self.renewable => Some(Cause::config(
                Kind::VaultTokenNotRenewable,
                format!(
                    "The Vault token expires in {left} and cannot be renewed; the app then loses access to its keys."
                ),
                PERIODIC,
            )),
            _ if self.ttl < SOON && (self.period.is_zero() || self.ttl < self.period / 10) => {
                Some(Cause::config(
                    Kind::VaultTokenExpiring,
                    format!("The Vault token expires in {left} unless it is renewed."),
                    "Renew it: VAULT_TOKEN=… vault token renew; and find out why the app did not.",
                ))
            }
            _ if !self.longest.is_zero() => Some(Cause::config(
                Kind::VaultTokenMaxTtl,
                format!(
                    "The Vault token has an explicit maximum TTL of {}, which renewals cannot extend.",
                    human(self.longest)
                ),
                PERIODIC,
            )),
            _ if self.period.is_zero() => Some(Cause::config(
                Kind::VaultTokenNotPeriodic,
                format!(
                    "The Vault token is not periodic: it expires in {left}, and renewals end at Vault's maximum lease time (32 days by default)."
                ),
                PERIODIC,
            )),
            _ => None,
        };
        let uses = (self.uses > 0).then(|| {
            Cause::config(
                Kind::VaultTokenUses,
                format!(
                    "The Vault token has only {} uses left; each check consumes some of them.",
                    self.uses
                ),
                "Create a token without -use-limit, and set VAULT__CLIENT_TOKEN.",
            )
        });
        let root = self.is_root.then(|| {
            Cause::config(
                Kind::VaultRootToken,
                "VAULT__CLIENT_TOKEN is a root token: anyone who can read the bundle controls Vault.",
                "Create a token with a policy for the transit mount only, and revoke this one.",
            )
        });
        ends.into_iter().chain(uses).chain(root).collect()
    }
}

/// Looks up the token: its expiry, and the warnings about it.
pub(super) async fn ask(
    session: &mut Session,
    server: &Server,
    limit: Duration,
) -> Result<(String, Vec<Cause>), Cause> {
    let answer = session.get_as_client("/v1/auth/token/lookup-self", limit).await?;
    match answer.status {
        200 => {}
        // 400 is "missing client token", also caused by a proxy that strips headers.
        400 | 401 | 403 => return Err(errors::token_rejected(server, &answer)),
        _ => return Err(errors::unexpected(server, &answer)),
    }
    let Some(data) = answer.data().filter(|data| data.get("ttl").is_some()) else {
        return Err(errors::unexpected(server, &answer));
    };
    let token = Token::read(&data);
    Ok((token.detail(), token.warnings()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(data: serde_json::Value) -> Vec<Kind> {
        Token::read(&data).warnings().into_iter().map(|cause| cause.kind).collect()
    }

    #[test]
    fn the_nearest_end_of_a_token_is_the_one_that_is_told() {
        use serde_json::json;
        let day = 86_400;
        assert_eq!(kinds(json!({ "ttl": 0, "renewable": false })), [] as [Kind; 0]);
        assert_eq!(kinds(json!({ "ttl": day, "renewable": true, "period": day })), [] as [Kind; 0]);
        assert_eq!(kinds(json!({ "ttl": 1500, "renewable": true, "period": 1800 })), [] as [Kind; 0]);
        assert_eq!(
            kinds(json!({ "ttl": 100, "renewable": true, "period": day })),
            [Kind::VaultTokenExpiring]
        );
        assert_eq!(kinds(json!({ "ttl": day, "renewable": false })), [Kind::VaultTokenNotRenewable]);
        assert_eq!(kinds(json!({ "ttl": day, "renewable": true })), [Kind::VaultTokenNotPeriodic]);
        let bounded = json!({ "ttl": day, "renewable": true, "period": day, "explicit_max_ttl": 10 * day });
        assert_eq!(kinds(bounded), [Kind::VaultTokenMaxTtl]);
        assert_eq!(kinds(json!({ "ttl": 0, "num_uses": 5 })), [Kind::VaultTokenUses]);
        assert_eq!(kinds(json!({ "ttl": 0, "policies": ["root"] })), [Kind::VaultRootToken]);
    }
}
