//! The instance metadata service, version 2: tokens are enforced.
//!
//! A request without a token, or with one that is unknown or has expired, is answered 401. A token request that
//! came through a proxy (`X-Forwarded-For`) is answered 403, as the real service does.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::record::{Recorded, Recorder};
use crate::server::{Server, lock};
use faults::{Faults, Verdict};
use items::Items;

mod faults;
mod items;

pub use faults::Fault;

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The longest life of a token that the real service grants: six hours.
const LONGEST_TTL: u64 = 21_600;

/// Where a running server takes its orders, as `PUT`: the body holds one fault in a line and replaces those in
/// force (see [`Fault::from_str`](std::str::FromStr::from_str)); an empty body cures everything.
pub const FAULTS_PATH: &str = "/stand-in/faults";

/// The instance that the service describes.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `instance-id`.
    pub id: String,
    /// `placement/region`.
    pub region: String,
    /// `placement/availability-zone`.
    pub availability_zone: String,
    /// `local-ipv4`.
    pub local_ipv4: String,
    /// The account of the identity document and of the role's ARN.
    pub account: String,
    /// The role that gives credentials; with none, `iam/` is 404.
    pub role: Option<String>,
    /// The role's access key id.
    pub access_key: String,
    /// The role's secret key.
    pub secret_key: String,
    /// The role's session token.
    pub session_token: String,
    /// `autoscaling/target-lifecycle-state`; 404 when none.
    pub lifecycle_state: Option<String>,
    /// `user-data`; 404 when none.
    pub user_data: Option<Vec<u8>>,
    /// `public-keys/0/openssh-key`.
    pub public_key: Option<String>,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            id: "i-0a1b2c3d4e5f60718".into(),
            region: "us-east-1".into(),
            availability_zone: "us-east-1a".into(),
            local_ipv4: "10.0.1.23".into(),
            account: "123456789012".into(),
            role: Some("services-box".into()),
            access_key: "ASIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: "IQoJb3JpZ2luX2VjEXAMPLE//TOKEN==".into(),
            lifecycle_state: None,
            user_data: None,
            public_key: None,
        }
    }
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where calls are recorded as JSON lines.
    pub record: Option<PathBuf>,
    /// Faults in force from the start.
    pub faults: Vec<Fault>,
    /// What it answers.
    pub instance: Instance,
}

impl Default for Config {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, record: None, faults: Vec::new(), instance: Instance::default() }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// `GET`, `PUT`.
    pub method: String,
    /// The path as received.
    pub path: String,
    /// Whether a token was sent, good or not.
    pub token: bool,
    /// Whether it came as to a proxy: an absolute request target, or `X-Forwarded-For` or `Via`.
    pub proxied: bool,
    /// What was answered; nothing, when the request is left without an answer for now.
    pub status: Option<u16>,
}

/// A running metadata service; dropping it stops it.
pub struct Handle {
    server: Server,
    shared: Arc<Shared>,
}

impl Handle {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Adds a fault to those in force; its time starts now.
    pub fn inject(&self, fault: Fault) {
        let mut state = lock(&self.shared.state);
        state.faults.inject(fault, Instant::now());
        self.server.refuse_until(state.faults.refused_until());
    }

    /// Removes every fault.
    pub fn cure(&self) {
        lock(&self.shared.state).faults.cure();
        self.server.refuse_until(None);
    }

    /// Sets an item, named as in [`Fault::Missing`].
    pub fn set(&self, item: &str, value: impl Into<Vec<u8>>) {
        lock(&self.shared.state).items.set(item, value);
    }

    /// Removes an item and what lies below it.
    pub fn remove(&self, item: &str) {
        lock(&self.shared.state).items.remove(item);
    }

    /// Forgets every token, as though all had expired.
    pub fn expire_tokens(&self) {
        lock(&self.shared.state).tokens.clear();
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded<Call>> {
        self.shared.calls.calls()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.shared.calls.clear();
    }

    /// Waits until the calls satisfy the question; false when the deadline passed first.
    pub fn wait_for(&self, deadline: Duration, question: impl Fn(&[Recorded<Call>]) -> bool) -> bool {
        self.shared.calls.wait_for(deadline, question)
    }
}

struct Shared {
    state: Mutex<Service>,
    calls: Recorder<Call>,
}

struct Service {
    items: Items,
    faults: Faults,
    tokens: HashMap<String, Instant>,
    issued: u64,
}

/// Starts the service on a thread of its own.
///
/// # Errors
/// When the address cannot be bound or the record cannot be opened.
pub fn start(config: Config) -> io::Result<Handle> {
    let mut faults = Faults::default();
    let now = Instant::now();
    for fault in config.faults {
        faults.inject(fault, now);
    }
    let refused_until = faults.refused_until();
    let items = Items::of(&config.instance);
    let state = Mutex::new(Service { items, faults, tokens: HashMap::new(), issued: 0 });
    let shared = Arc::new(Shared { state, calls: Recorder::new(config.record.as_deref())? });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    Ok(Handle { server: Server::start(config.listen, refused_until, router)?, shared })
}

enum Decision {
    Answer(Response),
    SilentUntil(Instant),
    Silent,
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == FAULTS_PATH {
        return control(&shared, &body);
    }
    let call = |status: Option<StatusCode>| Call {
        method: method.to_string(),
        path: uri.path().to_owned(),
        token: headers.contains_key(TOKEN),
        proxied: uri.scheme().is_some()
            || headers.contains_key("x-forwarded-for")
            || headers.contains_key(header::VIA),
        status: status.map(|status| status.as_u16()),
    };
    loop {
        let decision = lock(&shared.state).decide(&method, &uri, &headers, Instant::now());
        match decision {
            Decision::Answer(response) => {
                shared.calls.add(call(Some(response.status())));
                return response;
            }
            Decision::SilentUntil(time) => {
                shared.calls.add(call(None));
                tokio::time::sleep_until(time.into()).await;
            }
            Decision::Silent => {
                shared.calls.add(call(None));
                return pending().await;
            }
        }
    }
}

/// A fault that refuses connections is not in force here before the next start: the door is the handle's.
fn control(shared: &Shared, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.map(str::parse::<Fault>).collect::<Result<Vec<_>, _>>() {
        Ok(faults) => {
            let state = &mut lock(&shared.state);
            state.faults.cure();
            for fault in faults {
                state.faults.inject(fault, Instant::now());
            }
            StatusCode::NO_CONTENT.into_response()
        }
        Err(sentence) => (StatusCode::BAD_REQUEST, sentence).into_response(),
    }
}

impl Service {
    fn decide(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, now: Instant) -> Decision {
        let token_request = uri.path() == TOKEN_PATH;
        match self.faults.judge(token_request, now) {
            Verdict::Serve => {}
            Verdict::SilentUntil(time) => return Decision::SilentUntil(time),
            Verdict::Silent => return Decision::Silent,
            Verdict::Status(status) => {
                return Decision::Answer(page(
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                ));
            }
        }
        Decision::Answer(match (method, token_request) {
            (&Method::PUT, true) => self.issue(headers, now),
            (&Method::GET | &Method::HEAD, false) => self.item(uri.path(), headers, now),
            _ => page(StatusCode::METHOD_NOT_ALLOWED),
        })
    }

    fn issue(&mut self, headers: &HeaderMap, now: Instant) -> Response {
        if headers.contains_key("x-forwarded-for") {
            return page(StatusCode::FORBIDDEN);
        }
        let ttl = headers
            .get(TOKEN_TTL)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TTL).contains(ttl)) else {
            return page(StatusCode::BAD_REQUEST);
        };
        self.issued += 1;
        let token = format!("AQAEAStandIn{:032x}==", self.issued);
        self.tokens.insert(token.clone(), now + Duration::from_secs(ttl));
        ([(TOKEN_TTL, ttl.to_string())], token).into_response()
    }

    fn item(&mut self, path: &str, headers: &HeaderMap, now: Instant) -> Response {
        if !self.faults.without_tokens() {
            let token = headers.get(TOKEN).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if self.tokens.get(token).is_none_or(|expires| *expires <= now) {
                return page(StatusCode::UNAUTHORIZED);
            }
            if self.faults.expire_token() {
                self.tokens.remove(token);
                return page(StatusCode::UNAUTHORIZED);
            }
        }
        match self.items.get(path, &self.faults, now) {
            Some(value) => ([(header::CONTENT_TYPE, "text/plain")], value).into_response(),
            None => page(StatusCode::NOT_FOUND),
        }
    }
}

/// An error as the real service words it: a page of XHTML, whatever was asked for.
fn page(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
         \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html xmlns=\"http://www.w3.org/1999/xhtml\" \
         xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{code} - {reason}</title>\n </head>\n <body>\n  \
         <h1>{code} - {reason}</h1>\n </body>\n</html>\n",
        code = status.as_u16(),
    );
    (status, [(header::CONTENT_TYPE, "text/html")], body).into_response()
}
