//! A proxy in front of a real S3 server that strikes where its rules say, and otherwise changes nothing: the `Host`
//! header goes through as received, since signatures cover it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::record::{Recorded, Recorder};
use crate::server::{Server, lock};
use crate::sigv4;
use refusals::Asked;

mod refusals;
mod rule;

pub use rule::{Fault, Rule, Scope};

/// Where a running server takes its orders, as `PUT`: the body holds one rule in a line and replaces those in
/// force (see [`Rule::from_str`](std::str::FromStr::from_str)); an empty body cures everything.
pub const RULES_PATH: &str = "/stand-in/rules";

/// Long enough for the server to send the beginning of a body that is cut short.
const FLUSH: Duration = Duration::from_millis(20);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `http://HOST:PORT` of the real server.
    pub upstream: String,
    /// Where requests are recorded as JSON lines.
    pub record: Option<PathBuf>,
    /// Rules in force from the start; the first that covers a request strikes.
    pub rules: Vec<Rule>,
}

impl Config {
    /// In front of this server, on a free port, without a rule.
    #[must_use]
    pub fn before(upstream: &str) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, upstream: upstream.to_owned(), record: None, rules: Vec::new() }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Percent-decoded.
    pub path: String,
    /// As received.
    pub query: String,
    /// The bytes that it asked for, if not for all.
    pub range: Option<String>,
    /// The region it was signed for; nothing when it was not signed.
    pub region: Option<String>,
    /// The access key it was signed with.
    pub access_key: Option<String>,
    /// What was answered; nothing, when it is left without an answer.
    pub status: Option<u16>,
    /// Whether a rule struck.
    pub struck: bool,
}

/// A running proxy; dropping it stops it.
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

    /// Adds a rule after those in force.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push((rule, 0));
    }

    /// Removes every rule.
    pub fn cure(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Every request so far, in the order of their answers' beginnings.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded<Call>> {
        self.shared.calls.calls()
    }

    /// Forgets the requests so far.
    pub fn forget_calls(&self) {
        self.shared.calls.clear();
    }

    /// Waits until the requests satisfy the question; false when the deadline passed first.
    pub fn wait_for(&self, deadline: Duration, question: impl Fn(&[Recorded<Call>]) -> bool) -> bool {
        self.shared.calls.wait_for(deadline, question)
    }
}

struct Shared {
    upstream: SocketAddr,
    rules: Mutex<Vec<(Rule, u32)>>,
    calls: Recorder<Call>,
    requests: Mutex<u64>,
}

/// Starts the proxy on a thread of its own.
///
/// # Errors
/// When the upstream is no `http://HOST:PORT`, the address cannot be bound, or the record cannot be opened.
pub fn start(config: Config) -> io::Result<Handle> {
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidInput, format!("not http://HOST:PORT: {}", config.upstream));
    let authority = config.upstream.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
    let upstream = authority.to_socket_addrs()?.next().ok_or_else(wrong)?;
    let rules = Mutex::new(config.rules.into_iter().map(|rule| (rule, 0)).collect());
    let calls = Recorder::new(config.record.as_deref())?;
    let shared = Arc::new(Shared { upstream, rules, calls, requests: Mutex::new(0) });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    Ok(Handle { server: Server::start(config.listen, None, router)?, shared })
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    if path == RULES_PATH {
        return control(&shared, request).await;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let scope = sigv4::Scope::of(request.headers());
    let region = scope.as_ref().map(|scope| scope.region.clone());
    let fault = shared.strike(&request, &path, &query, region.as_deref());
    let mut call = Call {
        method: request.method().to_string(),
        path,
        query,
        range: request.headers().get(header::RANGE).and_then(|it| it.to_str().ok()).map(str::to_owned),
        region,
        access_key: scope.as_ref().map(|scope| scope.access_key.clone()),
        status: None,
        struck: fault.is_some(),
    };
    if fault == Some(Fault::Silent) {
        shared.calls.add(call);
        return std::future::pending().await;
    }
    let date = request
        .headers()
        .get("x-amz-date")
        .and_then(|date| date.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let path = call.path.trim_start_matches('/');
    let asked = Asked { path, scope: scope.as_ref(), date: &date, number: shared.number() };
    let response = match fault.as_ref().and_then(|fault| refusals::refusal(fault, &asked)) {
        Some(refusal) => refusal,
        None => shared.forward(request, fault).await.unwrap_or_else(|sentence| bad_gateway(&sentence)),
    };
    call.status = Some(response.status().as_u16());
    shared.calls.add(call);
    response
}

async fn control(shared: &Shared, request: Request) -> Response {
    let Ok(body) = request.into_body().collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let body = body.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.map(str::parse::<Rule>).collect::<Result<Vec<_>, _>>() {
        Ok(rules) => {
            *lock(&shared.rules) = rules.into_iter().map(|rule| (rule, 0)).collect();
            StatusCode::NO_CONTENT.into_response()
        }
        Err(sentence) => (StatusCode::BAD_REQUEST, sentence).into_response(),
    }
}

/// The proxy's own failure, worded so that nobody takes it for S3's.
fn bad_gateway(sentence: &str) -> Response {
    (StatusCode::BAD_GATEWAY, format!("stand-in: the server behind cannot be asked: {sentence}"))
        .into_response()
}

impl Shared {
    fn number(&self) -> u64 {
        let mut requests = lock(&self.requests);
        *requests += 1;
        *requests
    }

    /// The fault of the first rule that covers the request and has not struck often enough.
    fn strike(&self, request: &Request, path: &str, query: &str, region: Option<&str>) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let (rule, struck) = rules.iter_mut().find(|(rule, struck)| {
            rule.times.is_none_or(|times| *struck < times)
                && rule.covers(request.method(), path, query, region)
        })?;
        *struck += 1;
        Some(rule.fault.clone())
    }

    async fn forward(&self, request: Request, fault: Option<Fault>) -> Result<Response, String> {
        if let Some(Fault::Delayed(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        // The body is whole by now, so nobody waits for a 100, and its length is known.
        parts.headers.remove(header::EXPECT);
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.remove(header::CONNECTION);
        let stream = TcpStream::connect(self.upstream).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = hyper::Request::from_parts(parts, Full::new(body));
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(header::CONNECTION);
        let body = match fault {
            Some(Fault::CutShort(bytes)) => {
                let whole = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                parts.headers.remove(header::TRANSFER_ENCODING);
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
                cut(whole, bytes)
            }
            Some(Fault::Corrupted) => {
                let mut whole = body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
                let middle = whole.len() / 2;
                if let Some(byte) = whole.get_mut(middle) {
                    *byte ^= 1;
                }
                Body::from(whole)
            }
            _ => Body::new(body),
        };
        Ok(Response::from_parts(parts, body))
    }
}

/// The beginning of the body, then an error, on which the server closes the connection.
fn cut(whole: Bytes, bytes: usize) -> Body {
    let beginning = whole.slice(..bytes.min(whole.len().saturating_sub(1)));
    let chunks = futures_util::stream::unfold(Some(beginning), |beginning| async {
        match beginning {
            Some(beginning) => Some((Ok(beginning), None)),
            None => {
                // An error at once would keep the server from sending what it has.
                tokio::time::sleep(FLUSH).await;
                Some((Err(io::Error::from(io::ErrorKind::BrokenPipe)), None))
            }
        }
    });
    Body::from_stream(chunks)
}
