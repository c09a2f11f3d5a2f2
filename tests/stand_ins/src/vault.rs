//! Vault's HTTP API as far as a client that only looks sees it: health, the token's own data, mounts, capabilities. Its
//! words and codes are those of 0.7 and of the 1.x releases where these agree.
//!
//! Every answer but that of `sys/health` needs a token, each use of a token with a limited number of uses counts, and
//! nothing that a caller sends changes anything else.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::server::{Server, lock};

/// What the node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Unsealed, active.
    Active,
    /// A standby that forwards.
    Standby,
    /// A standby that redirects to this address, `http://host:port`.
    Redirecting(String),
    /// A standby of a cluster without an active node.
    Orphaned,
    /// A standby that serves reads.
    PerformanceStandby,
    /// A disaster recovery secondary.
    DrSecondary,
    /// Sealed.
    Sealed,
    /// Not initialized.
    Uninitialized,
    /// Not Vault at all: whatever is asked, this status and body.
    Foreign(u16, String),
}

/// A token that Vault knows.
#[derive(Clone, Debug)]
pub struct Token {
    /// Seconds left; 0 is for ever.
    pub ttl: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Seconds; 0 for a token that is not periodic.
    pub period: u64,
    /// Seconds; 0 for none.
    pub explicit_max_ttl: u64,
    /// How often it may still be used; `None` is for ever.
    pub uses: Option<u64>,
    /// Its policies.
    pub policies: Vec<String>,
    /// What it may do, by the beginning of the path; what is not here is denied.
    pub capabilities: BTreeMap<String, Vec<String>>,
}

impl Default for Token {
    /// A periodic token that may use the engine at `transit/` and asks about itself, as the default policy allows.
    fn default() -> Self {
        let of = |capabilities: &[&str]| capabilities.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        Self {
            ttl: 86_000,
            renewable: true,
            period: 86_400,
            explicit_max_ttl: 0,
            uses: None,
            policies: vec!["circleci".into(), "default".into()],
            capabilities: BTreeMap::from([
                ("transit/".into(), of(&["create", "read", "update", "list"])),
                ("sys/capabilities-self".into(), of(&["update"])),
                ("auth/token/lookup-self".into(), of(&["read"])),
            ]),
        }
    }
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the node is.
    pub node: Node,
    /// The tokens.
    pub tokens: BTreeMap<String, Token>,
    /// Path, with a slash at the end, and type of each secrets engine.
    pub mounts: BTreeMap<String, String>,
    /// Certificate and key, both PEM, for HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether plain HTTP on a port of HTTPS is told so, as Vault does; a load balancer that terminates TLS closes.
    pub tells_plain_http: bool,
    /// Releases before 0.10 ask about one path at a time.
    pub version: String,
}

impl Config {
    /// An active node that knows one token.
    #[must_use]
    pub fn with_token(name: &str, token: Token) -> Self {
        Self {
            node: Node::Active,
            tokens: BTreeMap::from([(name.to_owned(), token)]),
            mounts: BTreeMap::from([
                ("cubbyhole/".into(), "cubbyhole".into()),
                ("sys/".into(), "system".into()),
                ("transit/".into(), "transit".into()),
            ]),
            tls: None,
            tells_plain_http: true,
            version: "0.7.0".into(),
        }
    }
}

/// One request: method, path, and whether it carried a token.
pub type Call = (String, String, bool);

struct Shared {
    config: Mutex<Config>,
    calls: Mutex<Vec<Call>>,
}

/// A running Vault; dropping it stops it.
pub struct Handle {
    server: Server,
    shared: Arc<Shared>,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes what it is, without a restart.
    pub fn change(&self, change: impl FnOnce(&mut Config)) {
        change(&mut lock(&self.shared.config));
    }

    /// Every request so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }
}

/// Starts it on a free port of the loopback.
///
/// # Errors
/// When nothing can be bound, or the certificate cannot be used.
pub fn start(config: Config) -> io::Result<Handle> {
    let (tls, tells) = (config.tls.clone(), config.tells_plain_http);
    let shared = Arc::new(Shared { config: Mutex::new(config), calls: Mutex::default() });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = match tls {
        None => Server::start(listen, None, router)?,
        Some((certificate, key)) => Server::start_tls(listen, router, &certificate, &key, tells)?,
    };
    Ok(Handle { server, shared })
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = headers.get("x-vault-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    lock(&shared.calls).push((method.to_string(), uri.path().to_owned(), name.is_some()));
    let mut config = lock(&shared.config);
    if let Node::Foreign(status, text) = &config.node {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
        return (status, [(header::CONTENT_TYPE, "text/html")], text.clone()).into_response();
    }
    let Some(path) = uri.path().strip_prefix("/v1/") else { return errors(404, &[]) };
    if path == "sys/health" {
        return health(&config);
    }
    match &config.node {
        Node::Sealed => return errors(503, &["Vault is sealed"]),
        Node::Uninitialized => return errors(503, &["Vault is not initialized", "Vault is sealed"]),
        Node::Orphaned => return errors(500, &["local node not active but active cluster node not found"]),
        Node::Redirecting(active) => {
            let location = format!("{active}{}", uri.path());
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response();
        }
        _ => {}
    }
    let Some(name) = name else { return errors(400, &["missing client token"]) };
    let Some(token) = config.tokens.get_mut(&name) else { return errors(403, &["permission denied"]) };
    match &mut token.uses {
        Some(0) => return errors(403, &["permission denied"]),
        Some(left) => *left -= 1,
        None => {}
    }
    let token = token.clone();
    let allows = |path: &str| !capabilities(&token, path).iter().any(|it| it == "deny");
    if !allows(path) {
        return errors(403, &["1 error occurred:\n\n* permission denied\n\n"]);
    }
    match (method.as_str(), path) {
        ("GET", "auth/token/lookup-self") => whole(json!({
            "accessor": "5d1f0e3a-0c39-7b33-1f7e-7d2c1b6f3a11",
            "creation_time": 1_500_000_000,
            "creation_ttl": token.ttl,
            "display_name": "token",
            "explicit_max_ttl": token.explicit_max_ttl,
            "id": name,
            "meta": Value::Null,
            "num_uses": token.uses.unwrap_or(0),
            "orphan": true,
            "path": "auth/token/create",
            "period": token.period,
            "policies": token.policies,
            "renewable": token.renewable,
            "ttl": token.ttl,
        })),
        ("GET", "sys/mounts") => {
            let mounts = config.mounts.iter().map(|(path, kind)| {
                (path.clone(), json!({ "type": kind, "description": "", "config": { "max_lease_ttl": 0 } }))
            });
            whole(Value::Object(mounts.collect()))
        }
        ("POST" | "PUT", "sys/capabilities-self") => {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_old = config.version.starts_with("0.7");
            let paths: Vec<&str> = match (asked["paths"].as_array(), asked["path"].as_str()) {
                (Some(paths), _) if !is_old => paths.iter().filter_map(Value::as_str).collect(),
                (_, Some(path)) => vec![path],
                _ => return errors(400, &["missing path"]),
            };
            let mut found = serde_json::Map::new();
            for path in &paths {
                let capabilities = json!(capabilities(&token, path));
                if !is_old {
                    found.insert((*path).to_owned(), capabilities.clone());
                }
                found.insert("capabilities".to_owned(), capabilities);
            }
            whole(Value::Object(found))
        }
        _ => errors(404, &[&format!("no handler for route '{path}'")]),
    }
}

fn health(config: &Config) -> Response {
    let (status, initialized, sealed, standby) = match config.node {
        Node::Standby | Node::Redirecting(_) | Node::Orphaned => (429, true, false, true),
        Node::PerformanceStandby => (473, true, false, true),
        Node::DrSecondary => (472, true, false, true),
        Node::Sealed => (503, true, true, true),
        Node::Uninitialized => (501, false, true, true),
        Node::Active | Node::Foreign(..) => (200, true, false, false),
    };
    let body = json!({
        "initialized": initialized, "sealed": sealed, "standby": standby,
        "server_time_utc": 1_500_000_000, "version": config.version,
        "cluster_name": "vault-cluster-2a2bd4a6", "cluster_id": "9d0b4ba2-9d2c-1c0e-7d9e-2f1a4c1e9f11",
    });
    answered(status, &body)
}

/// What the token may do at a path: `root` for the root policy, `deny` where nothing allows anything.
fn capabilities(token: &Token, path: &str) -> Vec<String> {
    if token.policies.iter().any(|policy| policy == "root") {
        return vec!["root".into()];
    }
    let longest = token.capabilities.iter().filter(|(start, _)| path.starts_with(start.as_str()));
    let longest = longest.max_by_key(|(start, _)| start.len());
    longest.map_or_else(|| vec!["deny".into()], |(_, capabilities)| capabilities.clone())
}

/// Data as Vault wraps it: below `data`, and by releases before 0.8 at the top as well for `sys/`.
fn whole(data: Value) -> Response {
    let mut body = json!({
        "request_id": "3a7d2f7e-5a2b-9c1d-2b6a-4f1d7e8c9b0a", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": Value::Null, "warnings": Value::Null, "auth": Value::Null,
    });
    if let (Some(body), Some(data)) = (body.as_object_mut(), data.as_object())
        && !data.contains_key("ttl")
    {
        body.extend(data.clone());
    }
    answered(200, &body)
}

fn errors(status: u16, errors: &[&str]) -> Response {
    answered(status, &json!({ "errors": errors }))
}

fn answered(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
