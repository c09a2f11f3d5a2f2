//! The rungs dns and tcp: from a server's name to an open connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::rung::{Ascent, Climber, Rung};
use super::uri::mongo::Seeds;
use super::uri::{Host, Kind, MongoUri, Server};
use crate::cause::Cause;

/// How long one address is given. A database in the same region answers in milliseconds; two seconds let one lost SYN
/// be sent again.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long all questions to DNS are given; the resolver bounds each of them to four seconds itself.
const DNS_LIMIT: Duration = Duration::from_secs(5);

/// An open connection, TCP, Unix or TLS over either.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A connection that ends with an error once more than a number of bytes was read from it, so that a hostile server
/// cannot fill this process's memory, and that remembers how what was read began.
pub(super) struct Bounded {
    stream: Box<dyn Stream>,
    left: u64,
    heard: Heard,
}

/// The first bytes that a server sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// The longest beginning that is remembered.
    pub(super) const MOST: usize = 32;

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::MOST - heard.len();
        heard.extend(bytes.iter().take(room));
    }
}

impl Bounded {
    pub(super) fn new(stream: Box<dyn Stream>, most: u64) -> Self {
        Bounded { stream, left: most, heard: Heard::default() }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        self.heard.add(new);
        let read = u64::try_from(new.len()).unwrap_or(u64::MAX);
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the server sends without end");
                return Poll::Ready(Err(error));
            }
        }
        outcome
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A server with the places where it may be found; never empty.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) server: Server,
    pub(super) places: Vec<Place>,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Network(SocketAddr),
    /// The socket as the URI says it, and the file under the root.
    Socket(PathBuf, PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Network(address) => write!(f, "{address}"),
            Place::Socket(path, _) => write!(f, "{}", path.display()),
        }
    }
}

/// A server that a connection is open to.
pub(super) struct Reached {
    pub(super) server: Server,
    pub(super) place: Place,
    pub(super) stream: Box<dyn Stream>,
    pub(super) took: Duration,
}

impl Climber {
    /// The servers of a connection string; for `mongodb+srv` those of its `SRV` records, with the `TXT` record applied.
    pub(super) async fn seeds(&self, uri: &mut MongoUri, ascent: &mut Ascent) -> Option<Vec<Server>> {
        let started = Instant::now();
        let (name, service, at_most) = match &uri.seeds {
            Seeds::Servers(servers) => return Some(servers.clone()),
            Seeds::Srv { name, service, at_most } => (name.clone(), service.clone(), *at_most),
        };
        let found = timeout(ascent.limit(DNS_LIMIT), self.service_records(uri, &name, &service)).await;
        let outcome = found.unwrap_or_else(|_| Err(slow_dns(&name)));
        match outcome {
            Ok(mut servers) => {
                servers.truncate(if at_most == 0 { servers.len() } else { at_most });
                Some(servers)
            }
            Err(cause) => {
                ascent.failed(Rung::Dns, cause, started.elapsed());
                None
            }
        }
    }

    async fn service_records(
        &self,
        uri: &mut MongoUri,
        name: &str,
        service: &str,
    ) -> Result<Vec<Server>, Cause> {
        let record = format!("_{service}._tcp.{name}");
        let (services, texts) = tokio::join!(self.names.services(&record), self.names.texts(name));
        let services = services?;
        // The drivers accept only servers of the name's own domain, so that a forged record leads to no other.
        let domain = match name.matches('.').count() {
            0 | 1 => name,
            _ => name.split_once('.').map_or(name, |(_, domain)| domain),
        };
        let suffix = format!(".{}", domain.to_ascii_lowercase());
        if let Some(foreign) =
            services.iter().find(|service| !service.host.to_ascii_lowercase().ends_with(&suffix))
        {
            return Err(Cause::config(
                "mongo.srv_foreign",
                format!(
                    "The SRV record of {name} names a server outside {domain}, which every driver refuses."
                ),
                "Correct the SRV records, or list the servers in a mongodb:// URI.",
            )
            .with("record", record)
            .with("server", &foreign.host));
        }
        if services.is_empty() {
            return Err(Cause::config(
                "dns.no_such_name",
                format!("The name {record} has no SRV record."),
                "Correct the name in the URI, or use mongodb:// with the servers' names.",
            )
            .with("name", record));
        }
        let texts = texts?;
        if texts.len() > 1 {
            return Err(Cause::config(
                "mongo.uri",
                format!("The name {name} has more than one TXT record, which every driver refuses."),
                "Leave one TXT record.",
            ));
        }
        for text in texts {
            uri.apply_txt(&text)?;
        }
        let servers = services.into_iter();
        Ok(servers
            .map(|service| Server { host: Host::Name(service.host), address: None, port: service.port })
            .collect())
    }

    /// Resolves one server; the time is bounded by the resolver.
    pub(super) async fn resolve_one(&self, kind: Kind, server: Server) -> Result<Resolved, Cause> {
        let places = self.places(kind, &server).await?;
        Ok(Resolved { server, places })
    }

    async fn places(&self, kind: Kind, server: &Server) -> Result<Vec<Place>, Cause> {
        if let Some(socket) = server.socket_path(kind) {
            // An abstract socket is no file, so the root has no say in it.
            let file = match socket.to_str().and_then(|path| path.strip_prefix('@')) {
                Some(name) => PathBuf::from(format!("\0{name}")),
                None => self.root.path(&socket),
            };
            return Ok(vec![Place::Socket(socket, file)]);
        }
        let addresses: Vec<IpAddr> = match (&server.address, &server.host) {
            (Some(address), _) | (None, Host::Address(address)) => vec![*address],
            (None, Host::Name(name)) => self.names.addresses(name).await?,
            (None, Host::Socket(_)) => Vec::new(),
        };
        Ok(addresses
            .into_iter()
            .map(|address| Place::Network(SocketAddr::new(address, server.port)))
            .collect())
    }
}

/// The rung dns: resolves every server at the same time. It holds when one of them has an address.
pub(super) async fn resolve(
    climber: &Climber,
    kind: Kind,
    servers: Vec<Server>,
    ascent: &mut Ascent,
) -> Option<Vec<Resolved>> {
    let started = Instant::now();
    let limit = ascent.limit(DNS_LIMIT);
    let answers = join_all(servers.into_iter().map(|server| async move {
        let name = server.to_string();
        timeout(limit, climber.resolve_one(kind, server)).await.unwrap_or_else(|_| Err(slow_dns(&name)))
    }))
    .await;
    let (resolved, failures) = apart(answers);
    if resolved.is_empty() {
        ascent.failed(Rung::Dns, foremost(failures)?, started.elapsed());
        return None;
    }
    ascent.warnings.extend(failures);
    let detail = resolved.iter().map(resolution).collect::<Vec<_>>().join("; ");
    ascent.good(Rung::Dns, detail, started.elapsed());
    Some(resolved)
}

fn resolution(resolved: &Resolved) -> String {
    match &resolved.server.host {
        Host::Name(name) => {
            let addresses = resolved.places.iter().map(|place| match place {
                Place::Network(address) => address.ip().to_string(),
                Place::Socket(..) => place.to_string(),
            });
            format!("{name} is {}", addresses.collect::<Vec<_>>().join(", "))
        }
        Host::Address(address) => format!("{address} needs no name"),
        Host::Socket(_) => "a Unix socket needs no name".to_owned(),
    }
}

fn slow_dns(name: &str) -> Cause {
    Cause::external(
        "dns.timeout",
        format!("DNS did not answer in time when asked for {name}."),
        "Check the DNS servers in /etc/resolv.conf and that UDP and TCP port 53 to them are open.",
    )
    .with("name", name)
}

/// The rung tcp: connects to every server at the same time. It holds when one of them accepts.
pub(super) async fn connect(
    kind: Kind,
    resolved: Vec<Resolved>,
    ascent: &mut Ascent,
) -> Option<Vec<Reached>> {
    let started = Instant::now();
    let limit = ascent.limit(CONNECT_LIMIT);
    let attempts = join_all(resolved.into_iter().map(|resolved| connect_server(kind, resolved, limit))).await;
    let (reached, failures) = apart(attempts);
    if reached.is_empty() {
        ascent.failed(Rung::Tcp, foremost(failures)?, started.elapsed());
        return None;
    }
    ascent.warnings.extend(failures);
    let detail = reached
        .iter()
        .map(|reached| format!("{} in {} ms", reached.place, reached.took.as_millis()))
        .collect::<Vec<_>>()
        .join(", ");
    ascent.good(Rung::Tcp, detail, started.elapsed());
    Some(reached)
}

/// The good and the bad.
pub(super) fn apart<T>(outcomes: Vec<Result<T, Cause>>) -> (Vec<T>, Vec<Cause>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(value) => good.push(value),
            Err(cause) => bad.push(cause),
        }
    }
    (good, bad)
}

/// The cause to show when several servers failed: the first, with the others as evidence.
pub(super) fn foremost(causes: Vec<Cause>) -> Option<Cause> {
    let mut causes = causes.into_iter();
    let first = causes.next()?;
    Some(causes.fold(first, |first, other| first.with("also", other.sentence)))
}

/// Connects to a server: to all its addresses at the same time, keeping the first in their order that accepts.
pub(super) async fn connect_server(
    kind: Kind,
    resolved: Resolved,
    limit: Duration,
) -> Result<Reached, Cause> {
    let attempts = join_all(resolved.places.into_iter().map(|place| async move {
        let started = Instant::now();
        let outcome = timeout(limit, open(&place)).await;
        (place, outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), started.elapsed())
    }))
    .await;
    let mut failures = Vec::new();
    for (place, outcome, took) in attempts {
        match outcome {
            Ok(stream) => return Ok(Reached { server: resolved.server, place, stream, took }),
            Err(error) => failures.push((place, error, took)),
        }
    }
    Err(unreached(kind, &resolved.server, failures))
}

/// Connects to one place; bounding the time is the caller's part.
pub(super) async fn open(place: &Place) -> io::Result<Box<dyn Stream>> {
    match place {
        Place::Network(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Place::Socket(_, file) => Ok(Box::new(UnixStream::connect(file).await?)),
    }
}

/// What an error of connecting says about the way to the server, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Forbidden,
    Refused,
    Absent,
    Timeout,
    Unreachable,
    Other,
}

fn verdict(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Verdict::Refused,
        io::ErrorKind::NotFound => Verdict::Absent,
        io::ErrorKind::TimedOut => Verdict::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Verdict::Unreachable,
        io::ErrorKind::AddrNotAvailable => Verdict::Unreachable,
        io::ErrorKind::PermissionDenied => Verdict::Forbidden,
        _ => Verdict::Other,
    }
}

fn unreached(kind: Kind, server: &Server, failures: Vec<(Place, io::Error, Duration)>) -> Cause {
    let on_socket = matches!(server.host, Host::Socket(_));
    let worst = failures.iter().map(|(_, error, _)| verdict(error)).min().unwrap_or(Verdict::Other);
    let listens = match kind {
        Kind::Postgres => "listen_addresses in postgresql.conf",
        Kind::Mongo => "net.bindIp in mongod.conf",
    };
    let port = server.port;
    let product = kind.name();
    let cause = match worst {
        Verdict::Refused | Verdict::Absent if on_socket => Cause::external(
            "tcp.refused",
            format!("No {product} listens on the Unix socket {server}."),
            format!("Start {product} on this machine, or write the host of the database into the URI."),
        ),
        Verdict::Forbidden if on_socket => Cause::host(
            "tcp.forbidden",
            format!("This user may not open the Unix socket {server}."),
            "Run this as root, or as the user that the socket is for.",
        ),
        Verdict::Refused | Verdict::Absent => Cause::external(
            "tcp.refused",
            format!("{server} refuses connections: the host is up, and nothing listens on port {port}."),
            format!(
                "Start {product} there, and make it listen on this address and not on localhost alone ({listens})."
            ),
        ),
        Verdict::Timeout => Cause::external(
            "tcp.timeout",
            format!("{server} does not answer: the connection is neither accepted nor refused."),
            format!(
                "Open port {port} for this instance in the database's security group, and check network ACLs and routes."
            ),
        ),
        Verdict::Unreachable => Cause::external(
            "tcp.unreachable",
            format!("There is no route to {server}, or no host with its address."),
            "Check the route table of this subnet (peering, VPN) and that the address is right.",
        ),
        Verdict::Forbidden => Cause::host(
            "tcp.forbidden",
            format!("A firewall rule on this machine forbids connections to {server}."),
            "Look at the rules of this machine: nft list ruleset, iptables -S.",
        ),
        Verdict::Other => Cause::external(
            "tcp.failed",
            format!("The connection to {server} failed."),
            format!("Check that {product} runs there, and the network between."),
        ),
    };
    failures.into_iter().fold(cause, |cause, (place, error, took)| {
        let said = match verdict(&error) {
            Verdict::Timeout => format!("no answer in {} ms", took.as_millis()),
            _ => format!("{error}, after {} ms", took.as_millis()),
        };
        cause.with("address", format!("{place}: {said}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(error: io::ErrorKind) -> Cause {
        let host = Host::Name("db.internal".into());
        let server = Server { host, address: None, port: 5432 };
        let place = Place::Network(SocketAddr::from(([10, 0, 0, 1], 5432)));
        let failures = [(place.clone(), error.into()), (place, io::ErrorKind::NetworkUnreachable.into())];
        let failures = failures.map(|(place, error)| (place, error, Duration::from_millis(3)));
        unreached(Kind::Postgres, &server, failures.into())
    }

    #[test]
    fn the_most_telling_address_decides() {
        assert_eq!(cause(io::ErrorKind::ConnectionRefused).kind, "tcp.refused");
        assert_eq!(cause(io::ErrorKind::TimedOut).kind, "tcp.timeout");
        assert_eq!(cause(io::ErrorKind::HostUnreachable).kind, "tcp.unreachable");
        assert_eq!(cause(io::ErrorKind::PermissionDenied).class, crate::cause::Class::Host);
        assert_eq!(cause(io::ErrorKind::TimedOut).evidence[0].value, "10.0.0.1:5432: no answer in 3 ms");
    }
}
