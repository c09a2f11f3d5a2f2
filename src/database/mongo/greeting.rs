//! The rung tls of one MongoDB server: TLS or none, and who it says that it is.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::reach::{self, Place, Reached, Stream};
use super::super::rung::Climber;
use super::super::tls::{self, Authorities, Identity, Terms, Verify};
use super::super::uri::{Kind, MongoUri, Server};
use super::bson::Document;
use super::refusal;
use super::wire::{Failure, Wire};
use crate::cause::Cause;

/// How long the second look is given, which tells why the first failed.
const SECOND_LOOK: Duration = Duration::from_millis(1500);

/// A server that was greeted, with the connection on which it was.
pub(super) struct Member {
    pub(super) server: Server,
    pub(super) hello: Hello,
    pub(super) wire: Wire,
    /// TLS or none, in words.
    pub(super) channel: String,
}

/// What a server says of itself in answer to `isMaster`.
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
    pub(super) is_mongos: bool,
    /// Started for a replica set that was never initiated.
    pub(super) is_uninitiated: bool,
    pub(super) wire_version: i64,
    /// When the last write it has seen was made, in milliseconds since 1970; 3.4 and later say so.
    pub(super) last_write: Option<i64>,
    /// The SCRAM mechanisms that the user has credentials for; 4.0 and later say so.
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
            is_mongos: reply.text("msg") == Some("isdbgrid"),
            is_uninitiated: reply.is("isreplicaset"),
            wire_version: reply.number("maxWireVersion").unwrap_or(0),
            last_write: reply.document("lastWrite").and_then(|write| write.time("lastWriteDate")),
            mechanisms: reply.texts("saslSupportedMechs"),
        }
    }

    /// The member's state as a person would say it.
    pub(super) fn state(&self) -> &'static str {
        match self {
            hello if hello.is_mongos => "mongos",
            hello if hello.is_writable && hello.set_name.is_some() => "primary",
            hello if hello.is_writable => "a server on its own",
            hello if hello.is_secondary => "secondary",
            hello if hello.is_arbiter => "arbiter",
            hello if hello.is_uninitiated => "not initiated",
            _ => "recovering",
        }
    }
}

/// The arguments of `isMaster`, with the word on the client that may be said once in a connection. `user` is
/// `source.name` and makes 4.0 and later name the user's mechanisms.
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

/// Asks again on a connection that is open already, for the mechanisms of another user.
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
        identity: wanted.certificate_key_file.as_ref().map(|file| Identity {
            certificate: file.clone(),
            key: file.clone(),
            key_password: wanted.key_password.clone(),
            key_must_be_private: false,
        }),
        ..Terms::anything(Kind::Mongo)
    }
}

/// Shakes hands as the URI says and asks who the server is, within `limit`; a failure is looked into a little longer.
pub(super) async fn greet(
    climber: &Climber,
    uri: &MongoUri,
    reached: Reached,
    limit: Duration,
) -> Result<Member, Cause> {
    let Reached { server, place, stream, .. } = reached;
    let started = Instant::now();
    let terms = terms(uri);
    let (stream, channel): (Box<dyn Stream>, String) = if uri.tls.on {
        match tls::handshake(&terms, &climber.root, &server, stream, limit).await {
            Ok(stream) => {
                let channel = tls::described(stream.ssl(), terms.verify);
                (Box::new(stream), channel)
            }
            Err(cause) => return Err(perhaps_plaintext(uri, &server, &place, cause).await),
        }
    } else {
        (stream, "no TLS, as the URI says".to_owned())
    };
    let mut wire = Wire::new(stream);
    let left = limit.saturating_sub(started.elapsed());
    let failure = match timeout(left, wire.hello(question(uri))).await {
        Ok(Ok(reply)) => return Ok(Member { server, hello: Hello::read(&reply), wire, channel }),
        Ok(Err(failure)) => failure,
        Err(_) => return Err(refusal::silent(&server, "isMaster", limit)),
    };
    if let Failure::Connection(error) = &failure {
        if let Some(cause) = tls::after_handshake(&terms, &server, error) {
            return Err(cause);
        }
        if uri.tls.on && refusal::is_end(error) {
            return Err(match uri.tls.certificate_key_file {
                Some(_) => refusal::certificate_rejected(&server),
                None => refusal::certificate_required(&server),
            });
        }
        if !uri.tls.on && speaks_tls(climber, &server, &place).await {
            return Err(refusal::tls_required(&server));
        }
    }
    Err(refusal::of(&server, &failure))
}

/// A server without TLS takes the handshake for garbage and closes. It then answers in plaintext.
async fn perhaps_plaintext(uri: &MongoUri, server: &Server, place: &Place, cause: Cause) -> Cause {
    if !["tls.closed", "tls.not_tls", "tls.handshake", "tls.silent"].contains(&cause.kind.as_ref()) {
        return cause;
    }
    let answers = timeout(SECOND_LOOK, async {
        let stream = reach::open(place).await.ok()?;
        Wire::new(stream).hello(question(uri)).await.ok()
    });
    match answers.await {
        Ok(Some(_)) => refusal::tls_refused(server),
        _ => cause,
    }
}

async fn speaks_tls(climber: &Climber, server: &Server, place: &Place) -> bool {
    let handshake = timeout(SECOND_LOOK, async {
        let stream = reach::open(place).await.ok()?;
        let terms = Terms::anything(Kind::Mongo);
        match tls::handshake(&terms, &climber.root, server, stream, SECOND_LOOK).await {
            Ok(_) => Some(()),
            // Only a server that speaks TLS asks for a certificate in it.
            Err(cause) if cause.kind == "tls.client_certificate_required" => Some(()),
            Err(_) => None,
        }
    });
    matches!(handshake.await, Ok(Some(())))
}
