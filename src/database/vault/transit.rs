//! The rung transit: whether the secrets engine is mounted, and whether the token has the capabilities that the app
//! needs.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::uri::Server;
use super::errors;
use super::session::Session;
use crate::cause::Cause;
use crate::kind::Kind;

/// A key that the app would create and use; it need not exist to be checked.
const SOME_KEY: &str = "boot-agent-check";

/// What the app does with the engine: makes keys, encrypts, decrypts.
const PATHS: [&str; 3] = ["keys", "encrypt", "decrypt"];

/// Asks, within `limit` for all requests.
pub(super) async fn ask(
    session: &mut Session,
    server: &Server,
    mount: &str,
    limit: Duration,
) -> Result<String, Cause> {
    let deadline = Instant::now() + limit;
    let left = || deadline.saturating_duration_since(Instant::now());
    let is_listed = is_mounted(session, server, mount, left()).await?;
    let mut denied = Vec::new();
    for path in PATHS {
        let path = format!("{mount}/{path}/{SOME_KEY}");
        // Before 0.10, one path is checked at a time, under the first name.
        let question = json!({ "path": &path, "paths": [&path] });
        let answer = session.post("/v1/sys/capabilities-self", &question, left()).await?;
        match answer.status {
            200 => {
                if !may_write(answer.data().as_ref(), &path) {
                    denied.push(path);
                }
            }
            // The default policy allows this query; a token without it may still use the engine.
            403 => return Ok(format!("{mount}/: Vault does not let this token query its capabilities")),
            _ => return Err(errors::unexpected(server, &answer)),
        }
    }
    if !denied.is_empty() {
        return Err(Cause::config(
            Kind::VaultNoCapability,
            format!("The Vault token lacks capabilities on the transit engine at {mount}/ that the app needs."),
            format!("Add to its policy: path \"{mount}/*\" {{ capabilities = [\"create\", \"read\", \"update\", \"list\"] }}"),
        )
        .with("denied", denied.join(", ")));
    }
    Ok(match is_listed {
        true => format!("{mount}/ is mounted; the token can create keys, encrypt and decrypt"),
        false => {
            format!("the token can create keys, encrypt and decrypt at {mount}/; it cannot list mounts")
        }
    })
}

/// Whether the list of mounts has it; `false` when this token may not see the list.
async fn is_mounted(
    session: &mut Session,
    server: &Server,
    mount: &str,
    limit: Duration,
) -> Result<bool, Cause> {
    let answer = session.get_as_client("/v1/sys/mounts", limit).await?;
    match answer.status {
        200 => {}
        403 => return Ok(false),
        _ => return Err(errors::unexpected(server, &answer)),
    }
    let mounts = answer.data().unwrap_or_default();
    let found = mounts.get(format!("{mount}/")).and_then(|mount| mount.get("type")).and_then(Value::as_str);
    let enable = format!(
        "Enable it: vault secrets enable -path={mount} transit (before 0.9: vault mount -path={mount} transit); or correct VAULT__TRANSIT_MOUNT."
    );
    match found {
        Some("transit") => Ok(true),
        Some(other) => Err(Cause::config(
            Kind::VaultNotTransit,
            format!("The secrets engine at {mount}/ is of type {other}, not transit."),
            enable,
        )),
        None => {
            let others = mounts.as_object().into_iter().flatten().filter_map(|(path, mount)| {
                (mount.get("type").and_then(Value::as_str) == Some("transit")).then_some(path.as_str())
            });
            let others: Vec<&str> = others.take(5).collect();
            let cause = Cause::config(
                Kind::VaultNoTransit,
                format!("The Vault at {server} has no secrets engine at {mount}/."),
                enable,
            );
            Err(if others.is_empty() { cause } else { cause.with("transit engines", others.join(", ")) })
        }
    }
}

/// Whether a `capabilities-self` response allows writing to `path`.
fn may_write(data: Option<&Value>, path: &str) -> bool {
    let capabilities = data.and_then(|data| data.get(path).or_else(|| data.get("capabilities")));
    let allowed = capabilities.and_then(Value::as_array);
    allowed.is_some_and(|allowed| {
        allowed.iter().any(|capability| matches!(capability.as_str(), Some("root" | "create" | "update")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_as_old_and_new_releases_give_them() {
        for (data, expected) in [
            (json!({ "capabilities": ["root"] }), true),
            (json!({ "capabilities": ["read", "update"] }), true),
            (json!({ "capabilities": ["deny"] }), false),
            (json!({ "t/keys/k": ["create"], "capabilities": ["create"] }), true),
            (json!({ "t/keys/k": ["read"], "capabilities": ["read"] }), false),
            (json!({}), false),
        ] {
            assert_eq!(may_write(Some(&data), "t/keys/k"), expected, "{data}");
        }
        assert!(!may_write(None, "t/keys/k"));
    }
}
