//! TLS to a database, by OpenSSL, with its verdict on the certificate turned into a cause.
//!
//! OpenSSL because MongoDB 3.2 offers no ECDHE, and because its verdicts are the ones that libpq would give.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{ConnectConfiguration, SslConnector, SslMethod, SslRef, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref};
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::reach::Stream;
use super::uri::{Host, Kind, Password, Server};
use crate::cause::Cause;
use crate::files::{self, Root};

mod verdict;

pub(super) use verdict::after_handshake;

/// Where the certificates of the known authorities are, by distribution: Debian, Red Hat, SUSE, Alpine.
const SYSTEM_STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connection inside TLS.
pub(super) type TlsStream = SslStream<Box<dyn Stream>>;

/// Whether the server asked for a client certificate during the handshake. Not yet known: to be taken from the handshake.
pub(super) fn asked_for_certificate(_: &TlsStream) -> bool {
    true
}

/// How much of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verify {
    Nothing,
    /// It was issued by a known authority.
    Chain,
    /// And it carries the server's name.
    Name,
}

/// Which authorities are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authorities {
    System,
    File(PathBuf),
}

/// The client's own certificate, as paths of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) key_password: Option<Password>,
    /// libpq refuses a key that others can read; the MongoDB drivers do not look.
    pub(super) key_must_be_private: bool,
}

/// What a URI demands of TLS, in terms common to both kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) kind: Kind,
    pub(super) verify: Verify,
    pub(super) authorities: Authorities,
    pub(super) identity: Option<Identity>,
    pub(super) send_name: bool,
    pub(super) least: Option<SslVersion>,
    pub(super) most: Option<SslVersion>,
    /// The application protocol to announce, length first; empty for none.
    pub(super) protocol: &'static [u8],
}

impl Terms {
    /// Terms that any server meets which speaks TLS at all, to learn whether one does.
    pub(super) fn anything(kind: Kind) -> Self {
        Terms {
            kind,
            verify: Verify::Nothing,
            authorities: Authorities::System,
            identity: None,
            send_name: true,
            least: None,
            most: None,
            protocol: &[],
        }
    }

    /// The setting that names the authorities, for next steps.
    fn authorities_setting(&self) -> &'static str {
        match self.kind {
            Kind::Postgres => "sslrootcert",
            Kind::Mongo => "tlsCAFile",
            Kind::Vault => "the system's trust store",
        }
    }
}

/// What OpenSSL did not like about a certificate.
#[derive(Debug, Clone)]
struct Objection {
    code: i32,
    words: &'static str,
    subject: String,
    issuer: String,
    names: String,
    valid: String,
}

type Seen = Arc<Mutex<Option<Objection>>>;

/// Shakes hands over an open connection.
///
/// # Errors
/// `tls.…`, by what went wrong: a file that cannot be read, the certificate, or the server's own refusal.
pub(super) async fn handshake(
    terms: &Terms,
    root: &Root,
    server: &Server,
    stream: Box<dyn Stream>,
    limit: Duration,
) -> Result<TlsStream, Cause> {
    let seen = Seen::default();
    let configuration = configure(terms, root, seen.clone())?;
    let name = match &server.host {
        Host::Name(name) => name.trim_end_matches('.').to_owned(),
        Host::Address(address) => address.to_string(),
        Host::Socket(_) => "localhost".to_owned(),
    };
    let ssl = configuration.into_ssl(&name).map_err(|error| unusable(&error))?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| unusable(&error))?;
    let outcome = timeout(limit, Pin::new(&mut stream).connect()).await;
    match outcome {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => {
            let objection = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(match objection {
                Some(objection) => verdict::of_certificate(terms, server, &objection),
                None => verdict::of_handshake(terms, server, &error),
            })
        }
        Err(_) => Err(verdict::silent(server, limit)),
    }
}

/// A finished handshake in words.
pub(super) fn described(session: &SslRef, verified: Verify) -> String {
    let cipher = session.current_cipher().map(|cipher| cipher.name()).unwrap_or("unknown cipher");
    let verified = match verified {
        Verify::Nothing => "certificate not verified",
        Verify::Chain => "certificate of a known CA",
        Verify::Name => "certificate of a known CA, with this name",
    };
    format!("{}, {cipher}, {verified}", session.version_str())
}

fn configure(terms: &Terms, root: &Root, seen: Seen) -> Result<ConnectConfiguration, Cause> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| unusable(&error))?;
    if terms.verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    } else {
        let mut store = X509StoreBuilder::new().map_err(|error| unusable(&error))?;
        for certificate in authorities(terms, root)? {
            store.add_cert(certificate).map_err(|error| unusable(&error))?;
        }
        builder.set_cert_store(store.build());
        builder.set_verify_callback(SslVerifyMode::PEER, move |good, context| {
            if !good {
                let objection = Objection::new(
                    context.error().as_raw(),
                    context.error().error_string(),
                    context.current_cert(),
                );
                seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(objection);
            }
            good
        });
    }
    if let Some(identity) = &terms.identity {
        let (chain, key) = read_identity(identity, root)?;
        let mut chain = chain.into_iter();
        let outcome = (|| {
            if let Some(own) = chain.next() {
                builder.set_certificate(&own)?;
            }
            chain.try_for_each(|issuer| builder.add_extra_chain_cert(issuer))?;
            builder.set_private_key(&key)?;
            builder.check_private_key()
        })();
        outcome.map_err(|error: ErrorStack| {
            client_certificate(&identity.certificate, "does not fit its private key", &error)
        })?;
    }
    let versions = builder
        .set_min_proto_version(terms.least)
        .and_then(|()| builder.set_max_proto_version(terms.most))
        .and_then(
            |()| if terms.protocol.is_empty() { Ok(()) } else { builder.set_alpn_protos(terms.protocol) },
        );
    versions.map_err(|error| unusable(&error))?;
    let mut configuration = builder.build().configure().map_err(|error| unusable(&error))?;
    configuration.set_use_server_name_indication(terms.send_name);
    configuration.set_verify_hostname(terms.verify == Verify::Name);
    Ok(configuration)
}

fn authorities(terms: &Terms, root: &Root) -> Result<Vec<X509>, Cause> {
    let setting = terms.authorities_setting();
    let path = match &terms.authorities {
        Authorities::File(path) => path.clone(),
        Authorities::System => {
            let found = SYSTEM_STORES.iter().find(|store| root.path(store).exists());
            PathBuf::from(found.ok_or_else(|| {
                Cause::host(
                    "tls.no_authorities",
                    "This machine has no store of certificate authorities, so no certificate can be verified.",
                    format!("Install the package ca-certificates, or name the database's CA with {setting}."),
                )
            })?)
        }
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        Cause::config(
            "tls.ca_file",
            format!("The CA file {} that the URI verifies the server with cannot be used.", path.display()),
            format!("Put the CA's certificate in PEM form there (an extra file of the bundle), or correct {setting}."),
        )
        .with("file", path.display())
        .with("error", error)
    };
    let text = fs::read(root.path(&path)).map_err(|error| unreadable(&error))?;
    let certificates = X509::stack_from_pem(&text).map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(unreadable(&"it holds no PEM certificate"));
    }
    Ok(certificates)
}

fn read_identity(identity: &Identity, root: &Root) -> Result<(Vec<X509>, PKey<Private>), Cause> {
    let read = |path: &Path| {
        let file = root.path(path);
        fs::read(&file).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => files::failed("read", &file, &error),
            _ => client_certificate(path, "cannot be read", &error),
        })
    };
    let certificate = read(&identity.certificate)?;
    let chain = X509::stack_from_pem(&certificate)
        .map_err(|error| client_certificate(&identity.certificate, "is not in PEM form", &error))?;
    if chain.is_empty() {
        let what = "holds no PEM certificate";
        return Err(client_certificate(&identity.certificate, what, &"no certificate found"));
    }
    let key_text = read(&identity.key)?;
    if identity.key_must_be_private
        && let Ok(metadata) = fs::metadata(root.path(&identity.key))
    {
        // libpq: u=rw at most for one's own key, u=rw,g=r for root's.
        let too_open = if metadata.uid() == 0 { 0o027 } else { 0o077 };
        if metadata.mode() & too_open != 0 {
            let mode = format!("mode {:o}", metadata.mode() & 0o777);
            return Err(client_certificate(
                &identity.key,
                "can be read by others, which libpq refuses",
                &mode,
            ));
        }
    }
    // A callback, since without one OpenSSL would ask the terminal for the passphrase of an encrypted key.
    let passphrase = identity.key_password.as_ref().map(Password::expose).unwrap_or_default();
    let key = PKey::private_key_from_pem_passphrase(&key_text, passphrase.as_bytes()).map_err(|error| {
        client_certificate(&identity.key, "holds no private key that can be read", &error)
    })?;
    Ok((chain, key))
}

fn client_certificate(path: &Path, what: &str, error: &dyn std::fmt::Display) -> Cause {
    Cause::config(
        "tls.client_certificate",
        format!("The client certificate's file {} {what}.", path.display()),
        "Correct the file, its mode or its passphrase, or the URI's settings for the client certificate.",
    )
    .with("file", path.display())
    .with("error", error)
}

fn unusable(error: &ErrorStack) -> Cause {
    Cause::host(
        "tls.unusable",
        "OpenSSL cannot be set up in this process.",
        "Report this as a fault of boot-agent.",
    )
    .with("error", error)
}

impl Objection {
    fn new(code: i32, words: &'static str, certificate: Option<&X509Ref>) -> Self {
        let Some(certificate) = certificate else {
            let empty = String::new;
            return Objection {
                code,
                words,
                subject: empty(),
                issuer: empty(),
                names: empty(),
                valid: empty(),
            };
        };
        let alternatives = certificate.subject_alt_names().into_iter().flatten();
        let names = alternatives.filter_map(|name| {
            let address = name.ipaddress().and_then(|bytes| match bytes.len() {
                4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            });
            name.dnsname().map(str::to_owned).or(address)
        });
        Objection {
            code,
            words,
            subject: distinguished(certificate.subject_name()),
            issuer: distinguished(certificate.issuer_name()),
            names: names.collect::<Vec<_>>().join(", "),
            valid: format!("{} to {}", certificate.not_before(), certificate.not_after()),
        }
    }
}

fn distinguished(name: &openssl::x509::X509NameRef) -> String {
    let entries = name.entries().map(|entry| {
        let key = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string();
        format!("{key}={}", value.as_deref().unwrap_or("?"))
    });
    entries.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn openssl_knows_that_there_are_threads() {
        // Built without thread support, it has one error queue for all of them, no locks, and counts references as if
        // nobody else did: climbs beside each other would then corrupt the heap.
        PKey::private_key_from_pem(b"no key").unwrap_err().put();
        let elsewhere = std::thread::spawn(ErrorStack::get).join().unwrap();
        let here = ErrorStack::get();
        assert!(!here.errors().is_empty() && elsewhere.errors().is_empty(), "{here:?}, {elsewhere:?}");
    }
}
