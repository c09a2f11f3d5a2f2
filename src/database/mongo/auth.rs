//! The rung auth: logs in as the URI specifies, and finds out why it failed.

use tokio::task::spawn_blocking;

use super::super::uri::mongo::Credentials;
use super::super::uri::{MongoUri, Server};
use super::bson::Document;
use super::errors;
use super::hello::{self, Member};
use super::scram::{Exchange, Fault, Mechanism};
use super::wire::{Failure, Wire};
use crate::cause::Cause;
use crate::kind::Kind;

/// The wire version of MongoDB 4.0, the first with SCRAM-SHA-256 and `saslSupportedMechs`.
const FIRST_WITH_SHA256: i64 = 7;

/// A login that was accepted.
pub(super) struct Admission {
    /// How, in words.
    pub(super) detail: String,
    /// Whether with the credentials as current drivers parse them.
    pub(super) as_today: bool,
}

impl From<String> for Admission {
    fn from(detail: String) -> Self {
        Admission { detail, as_today: true }
    }
}

/// Logs in, and describes the login. Without credentials, checks whether the server requires a login.
///
/// # Errors
/// `mongo.…`, by what was refused.
pub(super) async fn login(
    uri: &MongoUri,
    databases: &[Option<String>],
    member: &mut Member,
) -> Result<Admission, Cause> {
    let Some(credentials) = &uri.credentials else {
        return anonymous(databases, member).await.map(Admission::from);
    };
    let source = credentials.source.as_str();
    let user = credentials.user.as_deref().unwrap_or_default();
    match credentials.mechanism {
        Some("MONGODB-X509") if !uri.tls.on => return Err(x509_without_tls()),
        Some("MONGODB-X509") => return x509(credentials, member).await.map(Admission::from),
        Some(other) if scram_of(other).is_none() => return Err(not_had(other)),
        _ => {}
    }
    if credentials.source == "$external" {
        return Err(no_passwords_outside(&member.server, user));
    }
    let mechanism = choose(credentials, &member.hello, &member.server)?;
    let server = member.server.clone();
    let failure = match scram(&mut member.wire, mechanism, credentials, source).await {
        Ok(()) => return Ok(format!("logged in as {user} of {source}, {}", mechanism.name()).into()),
        Err(Broken::Wire(failure)) => failure,
        Err(Broken::Scram(fault)) => return Err(unproven(&server, fault)),
    };
    if !errors::is_rejected_login(&failure) {
        return Err(errors::of(&server, &failure));
    }
    let cause = rejected(&server, credentials, &failure);
    // The app's driver may read other credentials.
    if let Some(old) = &uri.old_driver.credentials {
        let user = old.user.as_deref().unwrap_or_default();
        if scram(&mut member.wire, mechanism, old, &old.source).await.is_ok() {
            return Ok(Admission {
                detail: format!(
                    "logged in as {user} of {}, {}, as older Java drivers read the URI",
                    old.source,
                    mechanism.name()
                ),
                as_today: false,
            });
        }
    }
    match elsewhere(databases, credentials, member).await {
        Some(right) => Err(wrong_source(&server, credentials, &right, &failure)),
        None => Err(cause),
    }
}

fn x509_without_tls() -> Cause {
    Cause::config(
        Kind::MongoX509WithoutTls,
        "The MongoDB URI logs in by a client certificate (MONGODB-X509) and has no TLS, in which alone there is one.",
        "Add ssl=true, tlsCertificateKeyFile and tlsCAFile to the URI.",
    )
}

fn no_passwords_outside(server: &Server, user: &str) -> Cause {
    Cause::config(
        Kind::MongoWrongAuthSource,
        format!("The URI looks for {user} in $external, where {server} keeps no passwords."),
        "Write the database where the user was created, usually authSource=admin.",
    )
}

fn scram_of(mechanism: &str) -> Option<Mechanism> {
    [Mechanism::Sha1, Mechanism::Sha256].into_iter().find(|known| known.name() == mechanism)
}

/// The mechanism in the URI, or else the strongest that the user has credentials for.
fn choose(credentials: &Credentials, hello: &hello::Hello, server: &Server) -> Result<Mechanism, Cause> {
    let offered = &hello.mechanisms;
    let named = credentials.mechanism.and_then(scram_of);
    match named {
        Some(named) if !offered.is_empty() && !offered.iter().any(|name| name == named.name()) => {
            Err(Cause::config(
                Kind::MongoMechanism,
                format!(
                    "The URI specifies the mechanism {}, for which the user has no credentials on {server}.",
                    named.name()
                ),
                "Remove authMechanism from the URI, or set the user's password again with this mechanism.",
            )
            .with("the user has", offered.join(", ")))
        }
        Some(named) => Ok(named),
        None if offered.iter().any(|name| name == Mechanism::Sha256.name()) => Ok(Mechanism::Sha256),
        None => Ok(Mechanism::Sha1),
    }
}

fn not_had(mechanism: &str) -> Cause {
    let why = match mechanism {
        "PLAIN" => "it sends the password in the clear, and the app's databases do not use it",
        "MONGODB-CR" => "MongoDB removed it in 4.0",
        _ => "it requires an external service",
    };
    Cause::config(
        Kind::MongoMechanismUnsupported,
        format!("boot-agent cannot test a login with {mechanism}: {why}."),
        "Use SCRAM (without authMechanism) or MONGODB-X509, or test this login with the mongo shell.",
    )
}

enum Broken {
    Wire(Failure),
    Scram(Fault),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Wire(failure)
    }
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Broken::Scram(fault)
    }
}

async fn scram(
    wire: &mut Wire,
    mechanism: Mechanism,
    credentials: &Credentials,
    source: &str,
) -> Result<(), Broken> {
    let user = credentials.user.as_deref().unwrap_or_default();
    let password = credentials.password.as_ref().map(|password| password.expose()).unwrap_or_default();
    let exchange = Exchange::new(mechanism, user, password)?;
    let start = Document::new()
        .with("saslStart", 1)
        .with("mechanism", mechanism.name())
        .with("payload", exchange.first().into_bytes())
        .with("options", Document::new().with("skipEmptyExchange", true));
    let reply = wire.command(source, start).await?;
    let conversation = reply.number("conversationId").and_then(|id| i32::try_from(id).ok()).unwrap_or(1);
    let server_first = payload(&reply)?;
    // Thousands of digest iterations would block everything else on this thread.
    let proof = spawn_blocking(move || exchange.prove(&server_first));
    let proof = proof.await.map_err(|_| Fault::Server("a challenge that could not be answered"))??;
    let go_on = |payload: Vec<u8>| {
        Document::new().with("saslContinue", 1).with("conversationId", conversation).with("payload", payload)
    };
    let reply = wire.command(source, go_on(proof.message.clone().into_bytes())).await?;
    proof.verify(&payload(&reply)?)?;
    if reply.is("done") {
        return Ok(());
    }
    // Servers before 4.4 want to be told once more.
    let reply = wire.command(source, go_on(Vec::new())).await?;
    if reply.is("done") { Ok(()) } else { Err(Fault::Server("an exchange that does not complete").into()) }
}

fn payload(reply: &Document) -> Result<String, Fault> {
    let bytes = reply.binary("payload").ok_or(Fault::Server("no payload"))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Server("a payload that is not text"))
}

fn unproven(server: &Server, fault: Fault) -> Cause {
    let suspicious = |what: &str| {
        Cause::config(
            Kind::MongoAuthExchange,
            format!("{server} failed to prove that it knows the password: it may not be the right server."),
            "Check that the address is the database itself and not something in between.",
        )
        .with("server sent", what)
    };
    match fault {
        Fault::Impostor => suspicious("an invalid proof"),
        Fault::Server(what) => suspicious(what),
        Fault::Password => Cause::config(
            Kind::MongoPasswordCharacters,
            "The password contains characters that SCRAM-SHA-256 does not allow, such as control characters.",
            "Set another password.",
        ),
        Fault::Crypto(error) => Cause::host(
            Kind::TlsUnusable,
            "OpenSSL failed to compute a proof.",
            "Report this as a bug in boot-agent.",
        )
        .with("error", error),
    }
}

fn rejected(server: &Server, credentials: &Credentials, failure: &Failure) -> Cause {
    let user = credentials.user.as_deref().unwrap_or_default();
    let source = &credentials.source;
    let next_step = if credentials.source_written {
        format!("Correct user and password, and check that {user} was created in {source} (authSource).")
    } else {
        format!(
            "Correct user and password; without authSource, the server looks the user up in {source}: add authSource=admin if it was created there."
        )
    };
    let cause = Cause::config(
        Kind::MongoLoginRejected,
        format!("{server} rejects the login of {user}: wrong password, or no such user in {source}."),
        next_step,
    );
    words(cause, failure)
}

fn wrong_source(server: &Server, credentials: &Credentials, right: &str, failure: &Failure) -> Cause {
    let source = &credentials.source;
    let user = credentials.user.as_deref().unwrap_or_default();
    let cause = Cause::config(
        Kind::MongoWrongAuthSource,
        format!(
            "{server} has the user {user} with this password in {right}, but the URI logs in to {source}."
        ),
        format!("Write authSource={right} in the URI."),
    );
    words(cause, failure)
}

fn words(cause: Cause, failure: &Failure) -> Cause {
    match failure {
        Failure::Refused(refusal) => errors::with_words(cause, refusal),
        _ => cause,
    }
}

/// Where else the same credentials work: a wrong `authSource` looks like a wrong password to the app.
async fn elsewhere(
    databases: &[Option<String>],
    credentials: &Credentials,
    member: &mut Member,
) -> Option<String> {
    let user = credentials.user.as_deref()?;
    let mut candidates = vec!["admin"];
    candidates.extend(databases.iter().flatten().map(String::as_str));
    candidates.retain(|candidate| *candidate != credentials.source);
    candidates.dedup();
    for source in candidates {
        let hello = hello::ask_again(&mut member.wire, format!("{source}.{user}")).await.ok()?;
        if hello.wire_version >= FIRST_WITH_SHA256 && hello.mechanisms.is_empty() {
            // Such a server lists mechanisms for every existing user.
            continue;
        }
        let mechanism = choose(credentials, &hello, &member.server).ok()?;
        match scram(&mut member.wire, mechanism, credentials, source).await {
            Ok(()) => return Some(source.to_owned()),
            Err(Broken::Wire(Failure::Refused(_))) => {}
            Err(_) => return None,
        }
    }
    None
}

async fn x509(credentials: &Credentials, member: &mut Member) -> Result<String, Cause> {
    let mut command = Document::new().with("authenticate", 1).with("mechanism", "MONGODB-X509");
    if let Some(user) = &credentials.user {
        command = command.with("user", user.as_str());
    }
    match member.wire.command("$external", command).await {
        Ok(reply) => {
            let user =
                reply.text("user").or(credentials.user.as_deref()).unwrap_or("the certificate's subject");
            Ok(format!("logged in as {user} of $external, MONGODB-X509"))
        }
        Err(failure) if errors::is_rejected_login(&failure) => {
            let cause = Cause::config(
                Kind::MongoLoginRejected,
                format!("{} has no user with the subject of the client certificate.", member.server),
                "Create the subject as a user in $external, and set tlsCertificateKeyFile to the certificate.",
            );
            Err(words(cause, &failure))
        }
        Err(failure) => Err(errors::of(&member.server, &failure)),
    }
}

/// Without a user: good only if the server asks for none.
async fn anonymous(databases: &[Option<String>], member: &mut Member) -> Result<String, Cause> {
    let database = databases.iter().flatten().next().map_or("admin", String::as_str);
    let question = Document::new()
        .with("listCollections", 1)
        .with("filter", Document::new().with("name", "boot-agent needs no login"))
        .with("cursor", Document::new());
    let question = match member.hello.wire_version {
        // With OP_QUERY a flag says the same.
        ..6 => question,
        _ => question.with("$readPreference", Document::new().with("mode", "secondaryPreferred")),
    };
    match member.wire.command(database, question).await {
        Ok(_) => Ok("the server requires no login, and the URI has no user".to_owned()),
        Err(failure) if failure.code() == Some(errors::UNAUTHORIZED) => {
            let cause = Cause::config(
                Kind::MongoLoginRequired,
                format!("{} requires a login, but the URI has no user.", member.server),
                "Write mongodb://USER:PASSWORD@HOST:PORT/DATABASE?authSource=admin.",
            );
            Err(words(cause, &failure))
        }
        Err(failure) => Err(errors::of(&member.server, &failure)),
    }
}
