//! How the engine is reached: a connection for each request, and a limit on what comes over it.
//!
//! The client library reads an answer whole, however long it is, and a line of a stream until it ends. What it is given
//! here ends with an error when more has come than the engine of this box has to say. The two lists and the events of a
//! pull are read here: by item and by line, since a small text can become a large list in memory.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::engine::Address;
use crate::forward::forward_writes;

/// The longest answer to one question, in bytes.
pub(super) const ANSWER: u64 = 512 * 1024;

/// The most that a container's log or a command may give, in bytes: 1000 lines of the 16 KiB at which the engine splits.
pub(super) const OUTPUT: u64 = 16 * 1024 * 1024;

/// The longest list, in bytes; each of some hundred images or containers takes some kilobytes.
const LIST: usize = 2 * 1024 * 1024;

/// The most items of a list.
const ITEMS: usize = 10_000;

/// The longest line of a stream of events, in bytes.
const LINE: usize = 64 * 1024;

/// The time limit that is handed to the client library, which counts in whole seconds. It bounds only what the engine's
/// module does not bound itself, so it has to be longer than every limit of its own.
const LIBRARY_TIMEOUT: u64 = 24 * 3600;

/// The client library, over connections on which at most `limit` bytes come.
pub(super) fn client(address: &Address, limit: u64) -> Result<Docker, Error> {
    let dial = Dial { address: address.clone(), limit };
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(dial);
    let send = move |request: BollardRequest| {
        let response = client.request(request);
        async move { response.await.map_err(Error::from) }
    };
    Docker::connect_with_custom_transport(send, Some("http://docker"), LIBRARY_TIMEOUT, API_DEFAULT_VERSION)
}

/// One of the engine's lists.
pub(super) async fn list<T: DeserializeOwned>(address: &Address, path: &str) -> Result<Vec<T>, Error> {
    let response = send(address, Method::GET, path, None).await?;
    let response = accepted(response).await?;
    let body = Limited::new(response.into_body(), LIST).collect().await.map_err(of_body)?.to_bytes();
    let Few(items) = serde_json::from_slice(&body).map_err(of_json)?;
    Ok(items)
}

/// The events that a request is answered with, one JSON object in a line.
pub(super) struct Events {
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    /// Sends a request without a body; `login` is the header for the registry.
    pub(super) async fn post(address: &Address, path: &str, login: Option<&str>) -> Result<Self, Error> {
        let response = send(address, Method::POST, path, login).await?;
        Ok(Events { body: accepted(response).await?.into_body(), buffer: BytesMut::new() })
    }

    /// The next event; `None` at the end.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, Error>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Some(serde_json::from_slice(&line).map_err(of_json));
            }
            if self.buffer.len() > LINE {
                return Some(Err(of_io(TooMuch(LINE as u64).into())));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Some(Err(error.into())),
                None if self.buffer.trim_ascii().is_empty() => return None,
                None => {
                    let line = self.buffer.split();
                    return Some(serde_json::from_slice(&line).map_err(of_json));
                }
            }
        }
    }
}

async fn send(
    address: &Address,
    method: Method,
    path: &str,
    login: Option<&str>,
) -> Result<Response<Incoming>, Error> {
    let dial = Dial { address: address.clone(), limit: u64::MAX };
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(dial);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = format!("http://docker{path}").parse::<Uri>().map_err(http::Error::from)?;
    if let Some(login) = login {
        let mut login = HeaderValue::from_str(login).map_err(http::Error::from)?;
        login.set_sensitive(true);
        request.headers_mut().insert("x-registry-auth", login);
    }
    client.request(request).await.map_err(Error::from)
}

async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = Limited::new(response.into_body(), LINE).collect().await.map_err(of_body)?.to_bytes();
    let message = match serde_json::from_slice::<Said>(&body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    Err(Error::DockerResponseServerError { status_code: status.as_u16(), message })
}

fn of_io(err: io::Error) -> Error {
    Error::IOError { err }
}

fn of_body(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::from(*error),
        Err(error) => of_io(io::Error::other(error)),
    }
}

fn of_json(error: serde_json::Error) -> Error {
    Error::JsonDataError { message: error.to_string(), column: error.column() }
}

/// A list of at most [`ITEMS`].
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Few<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {ITEMS} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == ITEMS {
                        return Err(serde::de::Error::invalid_length(ITEMS + 1, &self));
                    }
                    items.push(item);
                }
                Ok(Few(items))
            }
        }
        deserializer.deserialize_seq(Reader(std::marker::PhantomData))
    }
}

/// More has come than there can be.
#[derive(Debug)]
struct TooMuch(u64);

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes", self.0)
    }
}

impl std::error::Error for TooMuch {}

impl From<TooMuch> for io::Error {
    fn from(error: TooMuch) -> Self {
        io::Error::other(error)
    }
}

/// Connects to the engine, whatever the URL says.
#[derive(Debug, Clone)]
struct Dial {
    address: Address,
    limit: u64,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Measured>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Dial { address, limit } = self.clone();
        Box::pin(async move {
            let stream: Box<dyn Io> = match &address {
                Address::Socket(path) => Box::new(UnixStream::connect(path).await?),
                Address::Tcp(host) => Box::new(TcpStream::connect(host).await?),
            };
            Ok(TokioIo::new(Measured { stream, left: limit, limit }))
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// A connection on which so much may come.
struct Measured {
    stream: Box<dyn Io>,
    left: u64,
    limit: u64,
}

impl Connection for Measured {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(TooMuch(self.limit).into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().len().saturating_sub(before) as u64;
        self.left = self.left.saturating_sub(came);
        read
    }
}

forward_writes!(Measured);
