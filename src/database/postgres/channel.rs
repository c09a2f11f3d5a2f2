//! Negotiates TLS with a PostgreSQL server, and hands the connection to tokio-postgres.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{SslRef, SslVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_postgres::tls::{self as raw, TlsConnect};

use super::super::connect::{FirstBytes, Stream};
use super::super::rung::LadderProbe;
use super::super::tls::{self, Authorities, ClientCertificate, Terms, Verify};
use super::super::uri::postgres::{RootCert, SslMode};
use super::super::uri::{PostgresUri, Product, Server};
use super::errors;
use crate::cause::Cause;
use crate::forward::forward_writes;
use crate::kind::Kind;

/// The kind for a server without TLS when the URI requires it.
pub(super) const REFUSED: Kind = Kind::TlsRefused;

/// `SSLRequest` of the protocol: its length, and a code that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How one attempt wants to speak.
#[derive(Debug, Clone, Copy)]
pub(super) enum TlsPlan {
    /// Without TLS, and why.
    Plaintext(&'static str),
    /// With TLS if the server has it.
    Offered,
    /// With TLS.
    Required,
}

/// A connection on which the startup message may be sent.
pub(super) struct Channel {
    pub(super) stream: Box<dyn Stream>,
    /// Set when the connection is inside TLS.
    pub(super) handed: Option<Handed>,
    pub(super) detail: String,
    /// Whether the server asked for a client certificate.
    pub(super) asked_for_certificate: bool,
}

/// The URI's TLS requirements, as in libpq: the certificate is verified whenever there is a root certificate to verify
/// it with, also for `sslmode=require` and below.
pub(super) fn terms(ladder_probe: &LadderProbe, uri: &PostgresUri) -> Terms {
    let home = |name: &str| ladder_probe.home.join(".postgresql").join(name);
    let exists = |path: &std::path::Path| ladder_probe.root.path(path).exists();
    let wanted = &uri.tls;
    let (authorities, known) = match &wanted.root_cert {
        RootCert::System => (Authorities::System, true),
        RootCert::File(path) => (Authorities::File(path.clone()), exists(path)),
        RootCert::Default => (Authorities::File(home("root.crt")), exists(&home("root.crt"))),
    };
    let verify = match wanted.mode {
        SslMode::VerifyFull => Verify::Name,
        SslMode::VerifyCa => Verify::Chain,
        _ if known => Verify::Chain,
        _ => Verify::Nothing,
    };
    let certificate =
        wanted.cert.clone().or_else(|| Some(home("postgresql.crt")).filter(|path| exists(path)));
    let identity = certificate.filter(|_| !wanted.send_no_cert).map(|certificate| ClientCertificate {
        key: wanted.key.clone().unwrap_or_else(|| home("postgresql.key")),
        certificate,
        key_password: wanted.key_password.clone(),
        key_must_be_private: true,
    });
    Terms {
        kind: Product::Postgres,
        verify,
        authorities,
        identity,
        revocation_list: wanted.revocation_list.clone(),
        send_name: wanted.server_name_indication,
        least: Some(version(wanted.min_version.as_deref()).unwrap_or(SslVersion::TLS1_2)),
        most: version(wanted.max_version.as_deref()),
        protocol: if wanted.direct { b"\x0apostgresql" } else { &[] },
    }
}

fn version(word: Option<&str>) -> Option<SslVersion> {
    match word? {
        "TLSV1" => Some(SslVersion::TLS1),
        "TLSV1.1" => Some(SslVersion::TLS1_1),
        "TLSV1.2" => Some(SslVersion::TLS1_2),
        "TLSV1.3" => Some(SslVersion::TLS1_3),
        _ => None,
    }
}

/// Negotiates TLS or plaintext with the server, within `limit`.
///
/// # Errors
/// `tls.…`, or the cause for a server that is silent, closes, or is not PostgreSQL.
pub(super) async fn negotiate(
    ladder_probe: &LadderProbe,
    terms: &Terms,
    wanted: TlsPlan,
    server: &Server,
    mut stream: Box<dyn Stream>,
    limit: Duration,
    direct: bool,
) -> Result<Channel, Cause> {
    if let TlsPlan::Plaintext(why) = wanted {
        return Ok(plaintext(stream, format!("no TLS, {why}")));
    }
    let deadline = Instant::now() + limit;
    if !direct {
        let answer = timeout(limit, request(&mut stream)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(errors::closed(server).with("error", error)),
            Err(_) => return Err(errors::silent(server, "the TLS request", limit)),
        };
        match (answer.first(), wanted) {
            (Some(b'S'), _) if answer.len() == 1 => {}
            (Some(b'N'), TlsPlan::Required) if answer.len() == 1 => return Err(refused(server)),
            (Some(b'N'), _) if answer.len() == 1 => {
                let detail =
                    "no TLS: the server does not support it, and the URI does not require it".to_owned();
                return Ok(plaintext(stream, detail));
            }
            _ => return Err(errors::not_postgres(server, &answer)),
        }
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let handshake = tls::handshake(terms, &ladder_probe.root, server, stream, left).await;
    let stream = handshake.map_err(|cause| match cause.kind {
        // Before 17, PostgreSQL takes the handshake for garbage.
        Kind::TlsClosed if direct => no_direct(server, &cause),
        _ => cause,
    })?;
    let session = stream.ssl();
    let detail = tls::described(session, terms.verify);
    let handed = Handed { binding: server_end_point(session) };
    let asked_for_certificate = tls::asked_for_certificate(&stream);
    Ok(Channel { stream: Box::new(stream), handed: Some(handed), detail, asked_for_certificate })
}

fn plaintext(stream: Box<dyn Stream>, detail: String) -> Channel {
    Channel { stream, handed: None, detail, asked_for_certificate: false }
}

/// Sends SSLRequest. PostgreSQL responds with one byte; of anything else, the beginning is returned.
async fn request(stream: &mut Box<dyn Stream>) -> io::Result<Vec<u8>> {
    stream.write_all(&SSL_REQUEST).await?;
    stream.flush().await?;
    let mut answer = vec![0; FirstBytes::MOST];
    let length = stream.read(&mut answer).await?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    answer.truncate(length);
    Ok(answer)
}

fn refused(server: &Server) -> Cause {
    Cause::config(
        REFUSED,
        format!("{server} does not support TLS, but the URI requires it."),
        "Enable TLS in PostgreSQL (ssl = on), or use a weaker sslmode in the URI.",
    )
}

fn no_direct(server: &Server, closed: &Cause) -> Cause {
    let mut cause = Cause::config(
        Kind::TlsDirect,
        format!(
            "{server} does not take TLS without being asked first (sslnegotiation=direct): PostgreSQL does from 17 on."
        ),
        "Remove sslnegotiation=direct from the URI.",
    );
    cause.evidence.clone_from(&closed.evidence);
    cause
}

/// Channel binding's `tls-server-end-point` (RFC 5929): the digest of the certificate by its own algorithm, where that
/// is not weaker than SHA-256.
fn server_end_point(session: &SslRef) -> Option<Vec<u8>> {
    let certificate = session.peer_certificate()?;
    let algorithm = certificate.signature_algorithm().object().nid().signature_algorithms()?.digest;
    let digest = match algorithm {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        other => MessageDigest::from_nid(other)?,
    };
    Some(certificate.digest(digest).ok()?.to_vec())
}

/// Hands tokio-postgres a connection whose TLS handshake is over.
#[derive(Debug, Default)]
pub(super) struct Handed {
    binding: Option<Vec<u8>>,
}

impl TlsConnect<Box<dyn Stream>> for Handed {
    type Stream = HandedStream;
    type Error = io::Error;
    type Future = Ready<io::Result<HandedStream>>;

    fn connect(self, stream: Box<dyn Stream>) -> Self::Future {
        ready(Ok(HandedStream { stream, binding: self.binding }))
    }
}

/// The connection as tokio-postgres wants it.
pub(super) struct HandedStream {
    stream: Box<dyn Stream>,
    binding: Option<Vec<u8>>,
}

impl raw::TlsStream for HandedStream {
    fn channel_binding(&self) -> raw::ChannelBinding {
        match &self.binding {
            Some(digest) => raw::ChannelBinding::tls_server_end_point(digest.clone()),
            None => raw::ChannelBinding::none(),
        }
    }
}

impl AsyncRead for HandedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

forward_writes!(HandedStream);
