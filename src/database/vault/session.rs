//! HTTP/1.1 to one Vault, over one connection.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::connect::{FirstBytes, LimitedStream, Stream};
use super::super::uri::{Password, Server};
use super::answer::Response;
use super::errors;
use crate::cause::Cause;

/// Limit on what Vault may send in one climb, in bytes. Its list of mounts has some kilobytes.
const MOST_READ: u64 = 1024 * 1024;

/// The longest body of one answer, in bytes.
const LONGEST_BODY: usize = 256 * 1024;

/// Size limit of a response head, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;

/// One connection; dropping it closes it.
pub(super) struct Session {
    server: Server,
    token: Password,
    sender: SendRequest<Full<Bytes>>,
    heard: FirstBytes,
    _connection: JoinSet<()>,
}

impl Session {
    pub(super) async fn open(
        server: &Server,
        stream: Box<dyn Stream>,
        token: &Password,
    ) -> Result<Self, Cause> {
        let stream = LimitedStream::new(stream, MOST_READ);
        let heard = stream.heard();
        let opened = Builder::new().max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| errors::broken(server, &error, &heard.bytes()))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The pending request fails too, with the reason.
            let _ = connection.await;
        });
        Ok(Session { server: server.clone(), token: token.clone(), sender, heard, _connection: tasks })
    }

    /// Without the token.
    pub(super) async fn get(&mut self, path: &str, limit: Duration) -> Result<Response, Cause> {
        self.send(Method::GET, path, None, false, limit).await
    }

    /// With the token.
    pub(super) async fn get_as_client(&mut self, path: &str, limit: Duration) -> Result<Response, Cause> {
        self.send(Method::GET, path, None, true, limit).await
    }

    /// With the token and a body of JSON.
    pub(super) async fn post(
        &mut self,
        path: &str,
        body: &serde_json::Value,
        limit: Duration,
    ) -> Result<Response, Cause> {
        self.send(Method::POST, path, Some(body.to_string()), true, limit).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
        with_token: bool,
        limit: Duration,
    ) -> Result<Response, Cause> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.server.to_string());
        request = request.header(USER_AGENT, concat!("boot-agent/", env!("CARGO_PKG_VERSION")));
        if with_token {
            request = request.header("x-vault-token", self.token.expose());
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|error| errors::unsendable(&error))?;
        let exchange = async {
            self.sender.ready().await.map_err(|error| self.broken(&error))?;
            let answer = self
                .sender
                .send_request(request)
                .await
                .map_err(|error| errors::broken(&self.server, &error, &self.heard.bytes()))?;
            let (head, body) = answer.into_parts();
            let location =
                head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = Limited::new(body, LONGEST_BODY).collect().await;
            let body = body.map_err(|error| errors::unreadable(&self.server, error.as_ref()))?;
            Ok::<_, Cause>(Response {
                status: head.status.as_u16(),
                location,
                body: body.to_bytes().to_vec(),
            })
        };
        match timeout(limit, exchange).await {
            Ok(answer) => {
                let answer = answer?;
                // In the words of Vault itself, and of nginx.
                let words = answer.words();
                if answer.status == 400
                    && ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port"]
                        .iter()
                        .any(|known| words.contains(known))
                {
                    return Err(errors::tls_required(&self.server));
                }
                Ok(answer)
            }
            Err(_) => Err(errors::silent(&self.server, path, limit)),
        }
    }

    fn broken(&self, error: &hyper::Error) -> Cause {
        errors::broken(&self.server, error, &self.heard.bytes())
    }
}
