//! The rungs dns and tcp: from a server's name to an open connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::rung::{LadderProbe, Progress, Rung};
pub(super) use super::stream::{FirstBytes, LimitedStream, Stream};
use super::uri::{Host, Product, Server};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::race::{GRACE, race};
use unreached::Failure;

mod unreached;

/// How long one address is given. A database in the same region answers in milliseconds; two seconds let one lost SYN
/// be sent again.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long the other names are given once one has been resolved. A name that no cache has may take some hundred
/// milliseconds, and is not dead.
const DNS_GRACE: Duration = Duration::from_secs(1);

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
    /// Other addresses of the server that did not accept.
    pub(super) warnings: Vec<Cause>,
}

impl LadderProbe {
    /// Resolves one server; the time is bounded by the resolver.
    pub(super) async fn resolve_one(&self, kind: Product, server: Server) -> Result<Resolved, Cause> {
        let places = self.places(kind, &server).await?;
        Ok(Resolved { server, places })
    }

    async fn places(&self, kind: Product, server: &Server) -> Result<Vec<Place>, Cause> {
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
    ladder_probe: &LadderProbe,
    kind: Product,
    servers: Vec<Server>,
    progress: &mut Progress,
) -> Option<Vec<Resolved>> {
    let started = Instant::now();
    let questions = servers.iter().map(|server| ladder_probe.resolve_one(kind, server.clone()));
    let answers = race(questions, Result::is_ok, DNS_GRACE).await;
    let took = started.elapsed();
    progress.prolong(took);
    let (mut resolved, mut failures) = (Vec::new(), Vec::new());
    for (server, answer) in servers.into_iter().zip(answers) {
        match answer {
            Some(Ok(one)) => resolved.push(one),
            Some(Err(cause)) => failures.push((server, cause)),
            None => {
                let cause = still_unresolved(&server, took);
                failures.push((server, cause));
            }
        }
    }
    if resolved.is_empty() {
        progress.failed(Rung::Dns, first_with_others(without_servers(failures))?, took);
        return None;
    }
    progress.unreached(failures);
    let detail = resolved.iter().map(resolution).collect::<Vec<_>>().join("; ");
    progress.good(Rung::Dns, detail, took);
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

fn still_unresolved(server: &Server, took: Duration) -> Cause {
    Cause::external(
        Kind::DnsTimeout,
        format!(
            "{server} could not be resolved within {} ms, although another name could.",
            took.as_millis()
        ),
        "Check this name's zone and the name servers in /etc/resolv.conf.",
    )
    .with("name", server)
}

/// The rung tcp: connects to every server at the same time. It holds when one of them accepts; the others are given
/// [`GRACE`] from then on.
pub(super) async fn connect(
    kind: Product,
    resolved: Vec<Resolved>,
    progress: &mut Progress,
) -> Option<Vec<Reached>> {
    let started = Instant::now();
    let limit = progress.limit(CONNECT_LIMIT);
    let attempts = resolved.iter().map(|resolved| connect_server(kind, resolved.clone(), limit));
    let outcomes = race(attempts, Result::is_ok, GRACE).await;
    let took = started.elapsed();
    let (mut reached, mut failures) = (Vec::new(), Vec::new());
    for (Resolved { server, places }, outcome) in resolved.into_iter().zip(outcomes) {
        match outcome {
            Some(Ok(one)) => reached.push(one),
            Some(Err(cause)) => failures.push((server, cause)),
            None => {
                let late = places.into_iter().map(|place| Failure::unfinished(place, took));
                let cause = unreached::server(kind, &server, &late.collect::<Vec<_>>());
                failures.push((server, cause));
            }
        }
    }
    if reached.is_empty() {
        progress.failed(Rung::Tcp, first_with_others(without_servers(failures))?, started.elapsed());
        return None;
    }
    progress.unreached(failures);
    for reached in &mut reached {
        progress.warnings.append(&mut reached.warnings);
    }
    let detail = reached
        .iter()
        .map(|reached| format!("{} in {} ms", reached.place, reached.took.as_millis()))
        .collect::<Vec<_>>()
        .join(", ");
    progress.good(Rung::Tcp, detail, started.elapsed());
    Some(reached)
}

fn without_servers(failures: Vec<(Server, Cause)>) -> Vec<Cause> {
    failures.into_iter().map(|(_, cause)| cause).collect()
}

/// The cause to show when several servers failed: the first, with the others as evidence.
pub(super) fn first_with_others(causes: Vec<Cause>) -> Option<Cause> {
    let mut causes = causes.into_iter();
    let first = causes.next()?;
    Some(causes.fold(first, |first, other| first.with("also", other.sentence)))
}

/// Connects to a server: to all its addresses at the same time, each within `limit`. Once one has accepted, the others
/// are given [`GRACE`]; of those that accepted, the first in their order is kept.
pub(super) async fn connect_server(
    kind: Product,
    resolved: Resolved,
    limit: Duration,
) -> Result<Reached, Cause> {
    let Resolved { server, places } = resolved;
    let started = Instant::now();
    let attempts = places.iter().map(|place| async move {
        let outcome = timeout(limit, open(place)).await;
        (outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), started.elapsed())
    });
    let outcomes = race(attempts, |(outcome, _)| outcome.is_ok(), GRACE).await;
    let ended = started.elapsed();
    let mut winner = None;
    let mut failures = Vec::new();
    for (place, outcome) in places.into_iter().zip(outcomes) {
        match outcome {
            Some((Ok(stream), took)) if winner.is_none() => winner = Some((place, stream, took)),
            Some((Ok(_), _)) => {}
            Some((Err(error), took)) => failures.push(Failure { place, error, took }),
            None => failures.push(Failure::unfinished(place, ended)),
        }
    }
    let Some((place, stream, took)) = winner else {
        return Err(unreached::server(kind, &server, &failures));
    };
    let worth_a_word = failures.iter().filter(|failure| failure.matters_beside(&place));
    let warnings = worth_a_word.map(|failure| unreached::address(kind, &server, failure, &place)).collect();
    Ok(Reached { server, place, stream, took, warnings })
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
