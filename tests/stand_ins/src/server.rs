//! A server on its own thread, and the gate in front of it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_openssl::SslStream;

/// How long to wait before a failed accept or bind is tried again; both fail only when the machine is short of something.
const BREATH: Duration = Duration::from_millis(10);

/// The longest queue of connections not yet accepted; tests open few.
const BACKLOG: u32 = 128;

/// How long an order to the door may take; the thread that carries it out only serves small answers.
const ORDER_LIMIT: Duration = Duration::from_secs(2);

/// A running server. Dropping it ends the thread and cuts every connection.
pub(crate) struct Server {
    address: SocketAddr,
    gate: watch::Sender<Option<Instant>>,
    listening: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds before it returns, so that the address is known and holds even while connections are refused.
    ///
    /// # Errors
    /// When the address cannot be bound, or no thread can be had.
    pub(crate) fn start(
        listen: SocketAddr,
        refused_until: Option<Instant>,
        router: Router,
    ) -> io::Result<Self> {
        Self::run(listen, refused_until, router, |door| door)
    }

    fn run<L: Listener<Addr = SocketAddr>>(
        listen: SocketAddr,
        refused_until: Option<Instant>,
        router: Router,
        behind: impl FnOnce(Door) -> L,
    ) -> io::Result<Self> {
        let socket = bind(listen)?;
        let address = socket.local_addr()?;
        let (gate, watched) = watch::channel(refused_until);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Listening begins before the caller can know the address.
        let state = match refused_until {
            None => {
                let _context = runtime.enter();
                DoorState::Listening(socket.listen(BACKLOG)?)
            }
            Some(_) => DoorState::Bound(socket),
        };
        let listening = Arc::new(AtomicBool::new(refused_until.is_none()));
        let door = behind(Door { address, gate: watched, listening: Arc::clone(&listening), state });
        let thread = std::thread::Builder::new().name("stand-in".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // It ends only with the runtime: accept errors are retried inside the door.
                    _ = async { axum::serve(door, router).await } => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, gate, listening, stop: Some(stop), thread: Some(thread) })
    }

    /// The same over TLS, open from the start. A client that speaks plain HTTP is told so if the server `tells`.
    ///
    /// # Errors
    /// As for [`Server::start`], and when the certificate cannot be used.
    pub(crate) fn start_tls(
        listen: SocketAddr,
        router: Router,
        certificate: &Path,
        key: &Path,
        tells: bool,
    ) -> io::Result<Self> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_certificate_chain_file(certificate)?;
        acceptor.set_private_key_file(key, SslFiletype::PEM)?;
        let acceptor = acceptor.build();
        Self::run(listen, None, router, move |door| TlsDoor { door, acceptor, tells })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections until then; `None` opens the door. Connections already open stay open. Returns when
    /// it is so, or after [`ORDER_LIMIT`].
    pub(crate) fn refuse_until(&self, until: Option<Instant>) {
        self.gate.send_replace(until);
        let limit = Instant::now() + ORDER_LIMIT;
        let open = |now| until.is_none_or(|until| until <= now);
        while self.listening.load(Ordering::SeqCst) != open(Instant::now()) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A bound socket that does not listen makes the kernel refuse, while nobody else can take the port.
struct Door {
    address: SocketAddr,
    gate: watch::Receiver<Option<Instant>>,
    listening: Arc<AtomicBool>,
    state: DoorState,
}

enum DoorState {
    Bound(TcpSocket),
    Listening(TcpListener),
    /// Between the two, and while a bind is being retried.
    Neither,
}

impl Door {
    /// Marks the order as seen, so that a clone of the gate reports whatever comes after it.
    fn refused_until(&mut self) -> Option<Instant> {
        let until = *self.gate.borrow_and_update();
        until.filter(|at| *at > Instant::now())
    }

    async fn set(&mut self, listening: bool) {
        self.state = match std::mem::replace(&mut self.state, DoorState::Neither) {
            DoorState::Bound(socket) if listening => {
                socket.listen(BACKLOG).map_or(DoorState::Neither, DoorState::Listening)
            }
            DoorState::Listening(_) if !listening => DoorState::Neither,
            DoorState::Neither => match bind(self.address) {
                Ok(socket) => DoorState::Bound(socket),
                Err(_) => {
                    tokio::time::sleep(BREATH).await;
                    DoorState::Neither
                }
            },
            settled => settled,
        };
        self.listening.store(matches!(self.state, DoorState::Listening(_)), Ordering::SeqCst);
    }
}

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let until = self.refused_until();
            match (&self.state, until) {
                (DoorState::Listening(listener), None) => {
                    let mut gate = self.gate.clone();
                    tokio::select! {
                        accepted = listener.accept() => match accepted {
                            Ok((stream, from)) => {
                                let _ = stream.set_nodelay(true);
                                return (stream, from);
                            }
                            Err(_) => tokio::time::sleep(BREATH).await,
                        },
                        () = changed(&mut gate) => {}
                    }
                }
                (DoorState::Bound(_), Some(until)) => {
                    let mut gate = self.gate.clone();
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = changed(&mut gate) => {}
                    }
                }
                _ => self.set(until.is_none()).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// What a server written in Go answers to plain HTTP on a port of its HTTPS.
const NOT_HTTPS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A door whose guests speak TLS. Those who do not are told so, or shown out without a word.
struct TlsDoor {
    door: Door,
    acceptor: SslAcceptor,
    tells: bool,
}

impl TlsDoor {
    /// Whether the client begins a handshake; it is turned away otherwise.
    async fn begins_handshake(&self, stream: &mut TcpStream) -> bool {
        let mut first = [0];
        let peeked = tokio::time::timeout(ORDER_LIMIT, stream.peek(&mut first)).await;
        if matches!(peeked, Ok(Ok(1))) && first == [HANDSHAKE] {
            return true;
        }
        if self.tells {
            // What was sent is read first: closing with it unread would be a reset, which overtakes the answer.
            let mut request = [0; 4096];
            let _ = tokio::time::timeout(ORDER_LIMIT, stream.read(&mut request)).await;
            let _ = stream.write_all(NOT_HTTPS).await;
            let _ = stream.shutdown().await;
        }
        false
    }
}

impl Listener for TlsDoor {
    type Io = SslStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (mut stream, from) = self.door.accept().await;
            if !self.begins_handshake(&mut stream).await {
                continue;
            }
            let accepted = Ssl::new(self.acceptor.context()).and_then(|ssl| SslStream::new(ssl, stream));
            let Ok(mut stream) = accepted else { continue };
            let handshake = tokio::time::timeout(ORDER_LIMIT, Pin::new(&mut stream).accept());
            if matches!(handshake.await, Ok(Ok(()))) {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.door.local_addr()
    }
}

/// Ends when the gate is told something new; never, once nobody is left to tell it.
async fn changed(gate: &mut watch::Receiver<Option<Instant>>) {
    if gate.changed().await.is_err() {
        pending::<()>().await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port that was listened on a moment ago is taken again, although its connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A lock whose holder panicked still guards plain data: a failed test must not hide behind a second panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
