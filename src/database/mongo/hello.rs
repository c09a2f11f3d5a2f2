//! The rung tls of one MongoDB server: the TLS handshake, if any, and the response to `isMaster`.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::connect::{self, Place, Reached, Stream};
use super::super::listener::{self, Listener};
use super::super::rung::LadderProbe;
use super::super::tls::{self, Authorities, ClientCertificate, Terms, Verify};
use super::super::uri::{MongoUri, Product, Server};
use super::bson::Document;
use super::errors;
use super::wire::{Failure, Wire};
use crate::cause::Cause;
use crate::kind::Kind;

/// Timeout of the connections that diagnose why the first one failed.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

/// A server that responded, with its connection.
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) place: Place,
    pub(super) hello: Hello,
    pub(super) wire: Wire,
    /// TLS or none, in words.
    pub(super) channel: String,
}

/// A server's response to `isMaster`.
#[derive(Debug, Clone, Default)]
pub(super) struct Hello {
    pub(super) set_name: Option<String>,
    /// Every member that it advertises, as `host:port`.
    pub(super) members: Vec<String>,
    pub(super) primary: Option<String>,
    pub(super) me: Option<String>,
    /// A primary, a server on its own, or a mongos.
    pub(super) is_writable: bool,
    pub(super) is_secondary: bool,
    pub(super) is_arbiter: bool,
    /// Not advertised to drivers; a delayed member always is.
    pub(super) is_hidden: bool,
    /// The member's configured delay in seconds.
    pub(super) delay: i64,
    pub(super) is_mongos: bool,
    /// Started for a replica set and without a valid configuration of one: never initiated, still reading it, or removed
    /// from the set.
    pub(super) is_unconfigured: bool,
    pub(super) wire_version: i64,
    /// The time of its last write, in milliseconds since 1970; from 3.4 on.
    pub(super) last_write: Option<i64>,
    /// The SCRAM mechanisms that the user has credentials for; from 4.0 on.
    pub(super) mechanisms: Vec<String>,
}

impl Hello {
    fn read(reply: &Document) -> Self {
        let lists = ["hosts", "passives", "arbiters"];
        Hello {
            set_name: reply.text("setName").map(str::to_owned),
            members: lists.iter().flat_map(|list| reply.texts(list)).collect(),
            primary: reply.text("primary").map(str::to_owned),
            me: reply.text("me").map(str::to_owned),
            is_writable: reply.is("ismaster") || reply.is("isWritablePrimary"),
            is_secondary: reply.is("secondary"),
            is_arbiter: reply.is("arbiterOnly"),
            is_hidden: reply.is("hidden"),
            // The name since 5.0, and the one before.
            delay: reply.number("secondaryDelaySecs").or_else(|| reply.number("slaveDelay")).unwrap_or(0),
            is_mongos: reply.text("msg") == Some("isdbgrid"),
            is_unconfigured: reply.is("isreplicaset"),
            wire_version: reply.number("maxWireVersion").unwrap_or(0),
            last_write: reply.document("lastWrite").and_then(|write| write.time("lastWriteDate")),
            mechanisms: reply.texts("saslSupportedMechs"),
        }
    }

    /// The member's state as a person would say it.
    pub(super) fn state(&self) -> String {
        let state = match self {
            hello if hello.is_mongos => "mongos",
            hello if hello.is_writable && hello.set_name.is_some() => "primary",
            hello if hello.is_writable => "standalone",
            hello if hello.is_secondary && hello.delay > 0 => {
                return format!("secondary, delayed by {} s", hello.delay);
            }
            hello if hello.is_secondary && hello.is_hidden => "hidden secondary",
            hello if hello.is_secondary => "secondary",
            hello if hello.is_arbiter => "arbiter",
            hello if hello.is_unconfigured => "without a replica set configuration",
            _ => "starting up or recovering",
        };
        state.to_owned()
    }

    /// Neither a replica set's member nor a mongos.
    pub(super) fn is_standalone(&self) -> bool {
        self.is_writable && self.set_name.is_none() && !self.is_mongos
    }

    /// Whether it answers queries.
    pub(super) fn serves(&self) -> bool {
        self.is_writable || self.is_secondary || self.is_mongos
    }

    /// Whether it knows every user. A delayed member may not know a new user yet, and one that serves no clients may
    /// reject every login.
    pub(super) fn knows_users(&self) -> bool {
        self.serves() && self.delay == 0
    }
}

/// The arguments of `isMaster`, with the client metadata that may be sent once per connection. `user` is `source.name`
/// and makes 4.0 and later list the user's mechanisms.
fn arguments(user: Option<String>) -> Document {
    let client = Document::new()
        .with("application", Document::new().with("name", "boot-agent"))
        .with("driver", Document::new().with("name", "boot-agent").with("version", env!("CARGO_PKG_VERSION")))
        .with("os", Document::new().with("type", "Linux"));
    let arguments = Document::new().with("isMaster", 1).with("client", client);
    match user {
        Some(user) => arguments.with("saslSupportedMechs", user),
        None => arguments,
    }
}

/// The question for the user of this URI.
fn question(uri: &MongoUri) -> Document {
    let user = uri.credentials.as_ref().and_then(|credentials| {
        let user = credentials.user.as_ref()?;
        (credentials.source != "$external").then(|| format!("{}.{user}", credentials.source))
    });
    arguments(user)
}

/// Sends `isMaster` on a new connection, for no user.
pub(super) async fn ask(wire: &mut Wire) -> Result<Hello, Failure> {
    wire.hello(arguments(None)).await.map(|reply| Hello::read(&reply))
}

/// Sends `isMaster` again on an open connection, for another user's mechanisms.
pub(super) async fn ask_again(wire: &mut Wire, user: String) -> Result<Hello, Failure> {
    let question = Document::new().with("isMaster", 1).with("saslSupportedMechs", user);
    wire.hello(question).await.map(|reply| Hello::read(&reply))
}

fn terms(uri: &MongoUri) -> Terms {
    let wanted = &uri.tls;
    let verify = match (wanted.allow_invalid_certificates, wanted.allow_invalid_hostnames) {
        (true, _) => Verify::Nothing,
        (false, true) => Verify::Chain,
        (false, false) => Verify::Name,
    };
    Terms {
        verify,
        authorities: match &wanted.ca_file {
            Some(file) => Authorities::File(file.clone()),
            None => Authorities::System,
        },
        identity: wanted.certificate_key_file.as_ref().map(|file| ClientCertificate {
            certificate: file.clone(),
            key: file.clone(),
            key_password: wanted.key_password.clone(),
            key_must_be_private: false,
        }),
        ..Terms::anything(Product::Mongo)
    }
}

/// Performs the handshake as the URI specifies and sends `isMaster`, within `limit`; diagnosing a failure takes
/// slightly longer.
pub(super) async fn greet(
    ladder_probe: &LadderProbe,
    uri: &MongoUri,
    reached: Reached,
    limit: Duration,
) -> Result<Member, Cause> {
    let Reached { server, place, stream, .. } = reached;
    let started = Instant::now();
    let terms = terms(uri);
    let mut asked_for_certificate = false;
    let (stream, channel): (Box<dyn Stream>, String) = if uri.tls.on {
        match tls::handshake(&terms, &ladder_probe.root, &server, stream, limit).await {
            Ok(stream) => {
                asked_for_certificate = tls::asked_for_certificate(&stream);
                let channel = tls::described(stream.ssl(), terms.verify);
                (Box::new(stream), channel)
            }
            Err(cause) => return Err(instead_of_tls(uri, &server, &place, cause).await),
        }
    } else {
        (stream, "no TLS, per the URI".to_owned())
    };
    let mut wire = Wire::new(stream);
    let left = limit.saturating_sub(started.elapsed());
    let failure = match timeout(left, wire.hello(question(uri))).await {
        Ok(Ok(reply)) => return Ok(Member { server, place, hello: Hello::read(&reply), wire, channel }),
        Ok(Err(failure)) => failure,
        Err(_) => return Err(errors::silent(&server, "isMaster", limit)),
    };
    if !uri.tls.on {
        return Err(instead_of_plaintext(ladder_probe, &server, &place, &failure).await);
    }
    Err(match &failure {
        Failure::Connection(error) if errors::is_end(error) => match &uri.tls.certificate_key_file {
            // mongod verifies the certificate after the handshake, and only logs the result.
            Some(_) if asked_for_certificate => errors::certificate_rejected(&server),
            None if asked_for_certificate => errors::certificate_required(&server),
            _ => errors::nothing_behind_tls(&server, error),
        },
        Failure::Connection(error) => {
            let alert = tls::after_handshake(&terms, &server, error);
            alert.unwrap_or_else(|| errors::of(&server, &failure))
        }
        Failure::Foreign(bytes) => match listener::by_first_bytes(bytes) {
            Some(listener) => errors::other(&server, listener).with("TLS", "the handshake succeeds"),
            None => errors::of(&server, &failure),
        },
        failure => errors::of(&server, failure),
    })
}

/// Identifies a server that does not speak TLS. A mongod without TLS closes on the handshake, but responds in
/// plaintext.
async fn instead_of_tls(uri: &MongoUri, server: &Server, place: &Place, cause: Cause) -> Cause {
    if ![Kind::TlsClosed, Kind::TlsNotTls, Kind::TlsHandshake, Kind::TlsSilent].contains(&cause.kind) {
        return cause;
    }
    let in_plaintext = timeout(SECOND_LOOK, async {
        let stream = connect::open(place).await.ok()?;
        Some(Wire::new(stream).hello(question(uri)).await)
    });
    let (in_plaintext, listener) = tokio::join!(in_plaintext, listener::identify(place, SECOND_LOOK));
    match (in_plaintext, listener) {
        (Ok(Some(Ok(_) | Err(Failure::Refused(_)))), _) => match uri.old_driver.in_plaintext {
            true => errors::tls_refused(server)
                .with("older Java drivers", "ignore tls=true and connect without TLS"),
            false => errors::tls_refused(server),
        },
        (_, None | Some(Listener::Tls | Listener::MongoDb)) => cause,
        (_, Some(Listener::ClosesAtOnce)) => errors::nothing_behind(server, cause),
        (_, Some(listener)) => errors::other(server, listener),
    }
}

/// What answers in place of a mongod without TLS.
async fn instead_of_plaintext(
    ladder_probe: &LadderProbe,
    server: &Server,
    place: &Place,
    failure: &Failure,
) -> Cause {
    let cause = errors::of(server, failure);
    let answered = |cause: Cause| match failure {
        Failure::Foreign(_) => cause.with("answer", failure),
        _ => cause,
    };
    let told = match failure {
        Failure::Foreign(bytes) => listener::by_first_bytes(bytes),
        Failure::Connection(error) if errors::is_end(error) => None,
        _ => return cause,
    };
    // Many servers that expect TLS respond with HTTP.
    if let Some(listener) = told
        && !matches!(listener, Listener::Tls | Listener::Http)
    {
        return answered(errors::other(server, listener));
    }
    let (in_tls, listener) =
        tokio::join!(in_tls(ladder_probe, server, place), listener::identify(place, SECOND_LOOK));
    match (in_tls, told.or(listener)) {
        (Some(InTls::Mongo), _) => {
            errors::tls_required(server, "the handshake succeeds, and MongoDB answers")
        }
        (Some(InTls::WantsCertificate), _) => {
            errors::tls_required(server, "the server asks for a client certificate")
        }
        (Some(InTls::Other(listener)), _) => {
            errors::other(server, listener).with("TLS", "the handshake succeeds")
        }
        // Whatever is behind it, it takes TLS alone.
        (Some(InTls::Closes), None | Some(Listener::Tls)) => {
            errors::tls_required(server, "the handshake succeeds, and the connection is closed after it")
        }
        (_, Some(Listener::ClosesAtOnce)) => errors::nothing_behind(server, cause),
        (_, Some(listener)) => answered(errors::other(server, listener)),
        (_, None) => cause,
    }
}

/// How a server that did not respond in plaintext behaves within TLS.
enum InTls {
    Mongo,
    WantsCertificate,
    Closes,
    Other(Listener),
}

async fn in_tls(ladder_probe: &LadderProbe, server: &Server, place: &Place) -> Option<InTls> {
    let looked = timeout(SECOND_LOOK, async {
        let stream = connect::open(place).await.ok()?;
        let terms = Terms::anything(Product::Mongo);
        let stream = match tls::handshake(&terms, &ladder_probe.root, server, stream, SECOND_LOOK).await {
            Ok(stream) => stream,
            // Only a server that speaks TLS asks for a certificate in it.
            Err(cause) if cause.kind == Kind::TlsClientCertificateRequired => {
                return Some(InTls::WantsCertificate);
            }
            Err(_) => return None,
        };
        let asked = tls::asked_for_certificate(&stream);
        match Wire::new(Box::new(stream)).hello(arguments(None)).await {
            Ok(_) | Err(Failure::Refused(_)) => Some(InTls::Mongo),
            Err(Failure::Foreign(bytes)) => listener::by_first_bytes(&bytes).map(InTls::Other),
            Err(_) if asked => Some(InTls::WantsCertificate),
            Err(_) => Some(InTls::Closes),
        }
    });
    looked.await.ok().flatten()
}
