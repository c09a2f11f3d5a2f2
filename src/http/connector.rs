//! Connections for the AWS SDK: names by this program's own resolver, addresses raced (RFC 8305), proxies as the
//! environment says, and a limit on whatever is read into memory.
//!
//! The SDK's own connector counts resolving a name as a part of connecting: behind a slow or dead DNS server either no
//! request would succeed, or a black hole would be waited for as long as for DNS. Here each has its own limit.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Limited;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use super::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::dns::Resolver;
use crate::race::{Grace, race};

/// The longest answer that is read into memory, in bytes: everything but an object of S3, which is streamed and has a
/// limit of its own. A page of a listing has at most a hundred keys of 1024 bytes, each of which may be escaped. What is
/// read becomes several times as large in memory, where it is a long list of short items.
const LONGEST_ANSWER: usize = 512 * 1024;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// What the SDK sends its requests by.
pub(super) struct SdkConnector {
    client: Client<Route, SdkBody>,
    proxies: Arc<Matcher>,
    lookups: watch::Receiver<usize>,
}

impl SdkConnector {
    pub(super) fn new(names: Resolver, tls: ClientConfig) -> Self {
        let (running, lookups) = watch::channel(0);
        let proxies = Arc::new(Matcher::from_env());
        let direct = over_tls(tls.clone(), Dial { names, running: Arc::new(running) });
        let route = Route { direct, tls, proxies: proxies.clone() };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(route);
        SdkConnector { client, proxies, lookups }
    }

    /// Plain HTTP by way of a proxy needs the proxy's password in each request; a tunnel, when it is opened.
    fn authorize(&self, request: &mut Request<SdkBody>) {
        if request.uri().scheme_str() == Some("http")
            && let Some(proxy) = self.proxies.intercept(request.uri())
            && let Some(password) = proxy.basic_auth()
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, password.clone());
        }
    }
}

impl fmt::Debug for SdkConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkConnector").finish_non_exhaustive()
    }
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        self.authorize(&mut request);
        let is_object = is_object(&request);
        let response = self.client.request(request);
        let lookups = self.lookups.clone();
        HttpConnectorFuture::new(async move {
            let response = tokio::select! {
                biased;
                response = response => response.map_err(|error| of_connector(error.into()))?,
                () = elapsed(REQUEST_TIMEOUT, lookups) => {
                    let said = format!("no response within {} s", REQUEST_TIMEOUT.as_secs());
                    return Err(ConnectorError::timeout(said.into()));
                }
            };
            let is_streamed = is_object && response.status().is_success();
            let response = response.map(|body| match is_streamed {
                true => SdkBody::from_body_1_x(body),
                false => SdkBody::from_body_1_x(Limited::new(body, LONGEST_ANSWER)),
            });
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The SDK names the operation in the query.
fn is_object(request: &Request<SdkBody>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::GET && query.split('&').any(|part| part == "x-id=GetObject")
}

fn of_connector(error: BoxError) -> ConnectorError {
    let mut next: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(one) = next {
        if one.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::TimedOut) {
            return ConnectorError::timeout(error);
        }
        next = one.source();
    }
    ConnectorError::io(error)
}

/// Ends when `limit` has passed, not counting the time in which names were being resolved: that has a limit of its own.
async fn elapsed(limit: Duration, mut lookups: watch::Receiver<usize>) {
    let mut left = limit;
    loop {
        // Without a sender there is no lookup.
        let _ = lookups.wait_for(|running| *running == 0).await;
        let started = Instant::now();
        tokio::select! {
            () = sleep(left) => return,
            Ok(_) = lookups.wait_for(|running| *running > 0) => {
                left = left.saturating_sub(started.elapsed());
            }
        }
    }
}

/// Opens TCP connections.
#[derive(Debug, Clone)]
struct Dial {
    names: Resolver,
    /// How many names are being resolved.
    running: Arc<watch::Sender<usize>>,
}

/// Counts as a lookup while it lives.
struct Lookup(Arc<watch::Sender<usize>>);

impl Lookup {
    fn begin(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|running| *running += 1);
        Lookup(running.clone())
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running = running.saturating_sub(1));
    }
}

impl Dial {
    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let host = uri.host().ok_or("the URL has no host")?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let lookup = Lookup::begin(&self.running);
        let addresses = self.names.addresses(host).await?;
        drop(lookup);
        let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        let stream = connect(&addresses).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

/// How long one address is waited for before the next is tried too: the connection attempt delay of RFC 8305.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that accepts; a further one is tried whenever [`STAGGER`] has passed, all of them
/// within [`CONNECT_TIMEOUT`].
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let attempts = (0u32..).zip(addresses).map(|(turn, address)| async move {
        sleep(STAGGER * turn).await;
        let connected = TcpStream::connect(address).await;
        connected.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    });
    let Ok(outcomes) =
        timeout(CONNECT_TIMEOUT, race(attempts, Result::is_ok, &Grace::new(Duration::ZERO))).await
    else {
        let tried = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let said = format!("{tried}: no response within {} s", CONNECT_TIMEOUT.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, said));
    };
    let mut failure = None;
    for outcome in outcomes.into_iter().flatten() {
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// Goes straight to a server, or by way of the proxy that the environment names for it.
#[derive(Clone)]
struct Route {
    direct: HttpsConnector<Dial>,
    tls: ClientConfig,
    proxies: Arc<Matcher>,
}

impl Route {
    async fn connect(mut self, uri: Uri) -> Result<Stream, BoxError> {
        let Some(proxy) = self.proxies.intercept(&uri) else {
            return Ok(Stream::new(self.direct.call(uri).await?, false));
        };
        if uri.scheme_str() != Some("https") {
            return Ok(Stream::new(self.direct.call(proxy.uri().clone()).await?, true));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct);
        if let Some(password) = proxy.basic_auth() {
            let mut password: HeaderValue = password.clone();
            password.set_sensitive(true);
            tunnel = tunnel.with_auth(password);
        }
        Ok(Stream::new(over_tls(self.tls, tunnel).call(uri).await?, false))
    }
}

fn over_tls<C>(tls: ClientConfig, connector: C) -> HttpsConnector<C> {
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<Stream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

trait Io: Read + Write + Send + Unpin {}
impl<S: Read + Write + Send + Unpin> Io for S {}

/// A connection, whatever it leads through.
struct Stream {
    io: Box<dyn Io>,
    /// Whether requests go to a proxy, which needs the whole URL.
    by_proxy: bool,
}

impl Stream {
    fn new(io: impl Io + 'static, by_proxy: bool) -> Self {
        Stream { io: Box::new(io), by_proxy }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.by_proxy)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_while_names_are_resolved() {
        let (running, lookups) = watch::channel(0);
        let running = Arc::new(running);
        let started = Instant::now();
        let clock = tokio::spawn(elapsed(Duration::from_secs(10), lookups));
        sleep(Duration::from_secs(4)).await;
        let lookup = Lookup::begin(&running);
        sleep(Duration::from_secs(7)).await;
        drop(lookup);
        clock.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 17);
    }

    #[test]
    fn only_objects_are_streamed() {
        let request =
            |method, uri| Request::builder().method(method).uri(uri).body(SdkBody::empty()).unwrap();
        assert!(is_object(&request("GET", "https://b.s3.amazonaws.com/settings.conf?x-id=GetObject")));
        assert!(!is_object(&request("GET", "https://b.s3.amazonaws.com/?list-type=2&prefix=x")));
        assert!(!is_object(&request("POST", "https://autoscaling.us-east-1.amazonaws.com/")));
    }

    #[tokio::test]
    async fn a_refused_address_is_passed_over() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let bad = SocketAddr::new([127, 0, 0, 9].into(), good.port());
        assert_eq!(connect(&[bad, good]).await.unwrap().peer_addr().unwrap(), good);
        let error = connect(&[bad]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with("127.0.0.9:"), "{error}");
    }
}
