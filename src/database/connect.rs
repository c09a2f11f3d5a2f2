//! The rungs dns and tcp: resolves a server's name and connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::rung::{LadderProbe, Progress, Rung};
pub(super) use super::stream::{FirstBytes, LimitedStream, Stream};
use super::uri::{Host, Product, Server};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::race::{GRACE, Grace, race};
use unreached::Failure;

mod unreached;

/// Connect timeout of one address. A database in the same region responds in milliseconds; two seconds tolerate one
/// lost SYN.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Network(SocketAddr),
    /// The socket as in the URI, and its file below the root.
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
    /// The server's other addresses.
    pub(super) others: Option<Others>,
}

/// Opens connections: real sockets, or a test's replacement.
#[derive(Clone)]
pub(super) struct Opener(pub(super) Arc<dyn Fn(Place) -> Opening + Send + Sync>);

pub(super) type Opening = BoxFuture<'static, io::Result<Box<dyn Stream>>>;

impl Default for Opener {
    fn default() -> Self {
        Opener(Arc::new(|place| Box::pin(async move { open(&place).await })))
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

/// The progress of connecting to one server, for a caller that stops waiting.
#[derive(Debug, Default)]
pub(super) struct Trail {
    resolved: OnceLock<(Vec<Place>, Duration)>,
    accepted: OnceLock<(Place, Duration)>,
}

impl Trail {
    /// The server's addresses, once its name is resolved.
    pub(super) fn places(&self) -> Option<&[Place]> {
        self.resolved.get().map(|(places, _)| places.as_slice())
    }

    /// Whether one of its addresses has accepted a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.accepted.get().is_some()
    }
}

/// One address that was tried: its index, the result and the time it took.
type Attempt = (usize, io::Result<Box<dyn Stream>>, Duration);

/// The result for one address; `None` while pending.
type Fate = Option<Result<(), (io::Error, Duration)>>;

/// The other addresses of a server.
pub(super) struct Others {
    places: Vec<Place>,
    fates: Vec<Fate>,
    running: JoinSet<Attempt>,
    began: Instant,
}

impl LadderProbe {
    /// Resolves one server's name; the time is bounded by the resolver.
    pub(super) async fn resolve(
        &self,
        kind: Product,
        server: &Server,
        trail: &Trail,
    ) -> Result<Vec<Place>, Cause> {
        let started = Instant::now();
        let places = self.places(kind, server).await?;
        let _ = trail.resolved.set((places.clone(), started.elapsed()));
        Ok(places)
    }

    /// Connects to all addresses of a server concurrently, each within [`CONNECT_LIMIT`]. The first to accept is used.
    ///
    /// # Errors
    /// `tcp.…`, when none does.
    pub(super) async fn connect(
        &self,
        kind: Product,
        server: &Server,
        places: Vec<Place>,
        trail: &Trail,
    ) -> Result<Reached, Cause> {
        let mut others = Others::begin(&self.opener, places);
        while let Some((index, stream, took)) = others.next().await {
            if let (Some(stream), Some(place)) = (stream, others.places.get(index).cloned()) {
                let _ = trail.accepted.set((place.clone(), took));
                let others = Some(others);
                return Ok(Reached { server: server.clone(), place, stream, others });
            }
        }
        Err(unreached::server(kind, server, &others.failures()))
    }

    async fn places(&self, kind: Product, server: &Server) -> Result<Vec<Place>, Cause> {
        if let Some(socket) = server.socket_path(kind) {
            // An abstract socket is not a file, so the root does not apply.
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

impl Others {
    /// Begins to connect to all of them.
    fn begin(opener: &Opener, places: Vec<Place>) -> Self {
        let began = Instant::now();
        let mut running = JoinSet::new();
        for (index, place) in places.iter().enumerate() {
            let opening = (opener.0)(place.clone());
            running.spawn(async move {
                let outcome = timeout(CONNECT_LIMIT, opening).await;
                (index, outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), began.elapsed())
            });
        }
        Others { fates: places.iter().map(|_| None).collect(), places, running, began }
    }

    /// The next attempt to finish, with its stream if it was accepted.
    async fn next(&mut self) -> Option<(usize, Option<Box<dyn Stream>>, Duration)> {
        loop {
            // Only a panic leaves an attempt without a result.
            let Ok((index, outcome, took)) = self.running.join_next().await? else { continue };
            let (stream, fate) = match outcome {
                Ok(stream) => (Some(stream), Ok(())),
                Err(error) => (None, Err((error, took))),
            };
            if let Some(known) = self.fates.get_mut(index) {
                *known = Some(fate);
            }
            return Some((index, stream, took));
        }
    }

    /// Those that have not accepted, in their order.
    fn failures(self) -> Vec<Failure> {
        let waited = self.began.elapsed();
        let failures = self.places.into_iter().zip(self.fates).filter_map(|(place, fate)| match fate {
            Some(Ok(())) => None,
            Some(Err((error, took))) => Some(Failure { place, error, took }),
            None => Some(Failure::unfinished(place, waited)),
        });
        failures.collect()
    }

    /// Waits for them until `grace` is over, and warns about relevant ones that did not accept.
    pub(super) async fn settle(
        mut self,
        kind: Product,
        server: &Server,
        used: Place,
        grace: &Grace,
    ) -> Vec<Cause> {
        loop {
            tokio::select! {
                biased;
                attempt = self.next() => if attempt.is_none() { break },
                () = grace.over() => break,
            }
        }
        let failures = self.failures();
        let worth_a_word = failures.iter().filter(|failure| failure.matters_beside(&used));
        worth_a_word.map(|failure| unreached::address(kind, server, failure, &used)).collect()
    }
}

/// One server of a URI, and the result of connecting to it.
pub(super) struct Way {
    pub(super) server: Server,
    pub(super) trail: Arc<Trail>,
    /// Why it could not be resolved or connected to.
    pub(super) failure: Option<Cause>,
}

impl Way {
    pub(super) fn to(server: Server) -> Self {
        Way { server, trail: Arc::default(), failure: None }
    }

    /// Records that this one was abandoned after `waited`.
    pub(super) fn give_up(&mut self, kind: Product, waited: Duration) {
        self.failure = Some(match self.trail.places() {
            None => unresolved(&self.server, waited),
            Some(places) => {
                let late = places.iter().map(|place| Failure::unfinished(place.clone(), waited));
                unreached::server(kind, &self.server, &late.collect::<Vec<_>>())
            }
        });
    }
}

fn unresolved(server: &Server, waited: Duration) -> Cause {
    Cause::external(
        Kind::DnsTimeout,
        format!(
            "{server} could not be resolved within {} ms, while another server answered.",
            waited.as_millis()
        ),
        "Check this name's zone and the name servers in /etc/resolv.conf.",
    )
    .with("name", server)
}

/// Resolves and connects to all servers concurrently. The rungs dns and tcp pass once one server accepts; the other
/// names and addresses then get [`GRACE`].
pub(super) async fn reach(
    ladder_probe: &LadderProbe,
    kind: Product,
    servers: Vec<Server>,
    progress: &mut Progress,
) -> Option<Vec<Reached>> {
    let started = Instant::now();
    let grace = Grace::new(GRACE);
    let mut ways: Vec<Way> = servers.into_iter().map(Way::to).collect();
    let attempts = ways.iter().map(|way| async {
        let places = ladder_probe.resolve(kind, &way.server, &way.trail).await?;
        ladder_probe.connect(kind, &way.server, places, &way.trail).await
    });
    let outcomes = race(attempts, Result::is_ok, &grace).await;
    let waited = started.elapsed();
    let mut reached = Vec::new();
    for (way, outcome) in ways.iter_mut().zip(outcomes) {
        match outcome {
            Some(Ok(one)) => reached.push(one),
            Some(Err(cause)) => way.failure = Some(cause),
            None => way.give_up(kind, waited),
        }
    }
    let settling = reached
        .iter_mut()
        .filter_map(|one| Some(one.others.take()?.settle(kind, &one.server, one.place.clone(), &grace)));
    let warnings = join_all(settling).await.concat();
    note(ways, started.elapsed(), progress)?;
    progress.warnings.extend(warnings);
    Some(reached)
}

/// Records the rungs dns and tcp, which took `elapsed` in total; `None` if one of them failed.
pub(super) fn note(ways: Vec<Way>, elapsed: Duration, progress: &mut Progress) -> Option<()> {
    let resolved: Vec<_> =
        ways.iter().filter_map(|way| Some((&way.server, way.trail.resolved.get()?))).collect();
    let naming = resolved.iter().map(|(_, (_, took))| *took).max().unwrap_or(elapsed).min(elapsed);
    progress.prolong(naming);
    if resolved.is_empty() {
        let causes = ways.into_iter().filter_map(|way| way.failure).collect();
        progress.failed(Rung::Dns, first_with_others(causes)?, elapsed);
        return None;
    }
    let detail = resolved.iter().map(|(server, (places, _))| resolution(server, places)).collect::<Vec<_>>();
    progress.good(Rung::Dns, detail.join("; "), naming);
    let accepted: Vec<_> = ways.iter().filter_map(|way| way.trail.accepted.get()).collect();
    let connecting = accepted.iter().map(|(_, took)| *took).max();
    let detail = accepted.iter().map(|(place, took)| format!("{place} in {} ms", took.as_millis()));
    let detail = detail.collect::<Vec<_>>().join(", ");
    let (unresolved, unreached): (Vec<Way>, Vec<Way>) =
        ways.into_iter().filter(|way| way.failure.is_some()).partition(|way| way.trail.places().is_none());
    let causes = |ways: Vec<Way>| ways.into_iter().filter_map(|way| way.failure).collect::<Vec<_>>();
    progress.warnings.extend(causes(unresolved));
    match connecting {
        None => {
            let cause = first_with_others(causes(unreached))?;
            progress.failed(Rung::Tcp, cause, elapsed.saturating_sub(naming));
            None
        }
        Some(connecting) => {
            progress.warnings.extend(causes(unreached));
            progress.good(Rung::Tcp, detail, connecting);
            Some(())
        }
    }
}

fn resolution(server: &Server, places: &[Place]) -> String {
    match &server.host {
        Host::Name(name) => {
            let addresses = places.iter().map(|place| match place {
                Place::Network(address) => address.ip().to_string(),
                Place::Socket(..) => place.to_string(),
            });
            format!("{name} is {}", addresses.collect::<Vec<_>>().join(", "))
        }
        Host::Address(address) => format!("{address} needs no name"),
        Host::Socket(_) => "a Unix socket needs no name".to_owned(),
    }
}

/// The cause if several servers failed: the first, with the others as evidence.
pub(super) fn first_with_others(causes: Vec<Cause>) -> Option<Cause> {
    let mut causes = causes.into_iter();
    let first = causes.next()?;
    Some(causes.fold(first, |first, other| first.with("also", other.sentence)))
}

/// Connects to one endpoint; the caller bounds the time.
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
