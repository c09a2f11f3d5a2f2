//! Handshakes within this process, each with one thing wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::kind::Kind;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{Ssl, SslAcceptor, SslVersion};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use tokio::io::AsyncReadExt;

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

/// What a certificate is to be like.
struct Wish {
    name: &'static str,
    /// Alternative names, each a DNS name or an address.
    names: &'static [&'static str],
    is_ca: bool,
    bits: u32,
    digest: MessageDigest,
    /// Days from now.
    valid: (i64, i64),
    for_clients_only: bool,
}

impl Wish {
    fn ca(name: &'static str) -> Self {
        Wish { name, is_ca: true, names: &[], ..Wish::server() }
    }

    fn server() -> Self {
        Wish {
            name: "server",
            names: &["db.internal"],
            is_ca: false,
            bits: 2048,
            digest: MessageDigest::sha256(),
            valid: (-1, 10),
            for_clients_only: false,
        }
    }
}

#[derive(Clone)]
struct Issued {
    certificate: X509,
    key: PKey<Private>,
}

/// Signed by `issuer`, or by itself.
fn issue(wish: &Wish, issuer: Option<&Issued>) -> Issued {
    let key = PKey::from_rsa(Rsa::generate(wish.bits).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", wish.name).unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(issuer.map_or(&*name, |issuer| issuer.certificate.subject_name())).unwrap();
    let day = |days: i64| {
        let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        Asn1Time::from_unix(now + days * 86_400).unwrap()
    };
    builder.set_not_before(&day(wish.valid.0)).unwrap();
    builder.set_not_after(&day(wish.valid.1)).unwrap();
    builder.set_pubkey(&key).unwrap();
    if wish.is_ca {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    if wish.for_clients_only {
        builder.append_extension(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
    }
    if !wish.names.is_empty() {
        let mut names = SubjectAlternativeName::new();
        for name in wish.names {
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
        }
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), wish.digest).unwrap();
    Issued { certificate: builder.build(), key }
}

/// A server of one test.
#[derive(Default)]
struct Serving {
    /// Sent after its own certificate.
    also: Vec<X509>,
    asks_for_certificate: bool,
    requires_certificate: bool,
    most: Option<SslVersion>,
}

/// Shakes hands with a server that has `own`, trusting `trusted`, which lies in a file.
async fn shake(
    own: &Issued,
    serving: Serving,
    trusted: &[u8],
    host: &str,
    kind: Product,
) -> Result<TlsStream, Cause> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.pem"), trusted).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_security_level(0);
    acceptor.set_certificate(&own.certificate).unwrap();
    acceptor.set_private_key(&own.key).unwrap();
    serving.also.into_iter().for_each(|certificate| acceptor.add_extra_chain_cert(certificate).unwrap());
    acceptor.set_max_proto_version(serving.most).unwrap();
    if serving.asks_for_certificate || serving.requires_certificate {
        let mut mode = SslVerifyMode::PEER;
        mode.set(SslVerifyMode::FAIL_IF_NO_PEER_CERT, serving.requires_certificate);
        acceptor.set_verify(mode);
    }
    let (here, there) = tokio::io::duplex(64 * 1024);
    let ssl = Ssl::new(acceptor.build().context()).unwrap();
    let server = tokio::spawn(async move {
        let mut stream = SslStream::new(ssl, there).unwrap();
        if std::pin::Pin::new(&mut stream).accept().await.is_ok() {
            let _ = stream.read(&mut [0]).await;
        }
    });
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    let server_name = Server { host, address: None, port: 5432 };
    let terms = Terms {
        verify: if trusted.is_empty() { Verify::Nothing } else { Verify::Name },
        authorities: Authorities::File("/ca.pem".into()),
        ..Terms::anything(kind)
    };
    let root = Root::new(directory.path());
    let limit = Duration::from_secs(60);
    let outcome = handshake(&terms, &root, &server_name, Box::new(here), limit).await;
    server.abort();
    outcome
}

async fn verdict(own: &Issued, also: Vec<X509>, trusted: &Issued) -> Cause {
    let trusted = trusted.certificate.to_pem().unwrap();
    let serving = Serving { also, ..Serving::default() };
    match shake(own, serving, &trusted, "db.internal", Product::Postgres).await {
        Err(cause) => cause,
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn whether_a_client_certificate_was_asked_for_is_known() {
    let own = issue(&Wish::server(), None);
    for most in [None, Some(SslVersion::TLS1_2)] {
        for asks in [false, true] {
            let serving = Serving { asks_for_certificate: asks, most, ..Serving::default() };
            let stream = shake(&own, serving, b"", "db.internal", Product::Mongo).await.unwrap();
            assert_eq!(asked_for_certificate(&stream), asks, "{most:?}");
        }
    }
    // In TLS 1.2 the refusal is part of the handshake.
    let serving =
        Serving { requires_certificate: true, most: Some(SslVersion::TLS1_2), ..Serving::default() };
    let cause = shake(&own, serving, b"", "db.internal", Product::Mongo).await.err().unwrap();
    assert_eq!(cause.kind, Kind::TlsClientCertificateRequired);
}

#[tokio::test]
async fn a_chain_is_judged_by_what_is_missing() {
    let root = issue(&Wish::ca("Example Root"), None);
    let stranger = issue(&Wish::ca("Stranger Root"), None);
    let middle = issue(&Wish::ca("Example Issuing CA"), Some(&root));
    let own = issue(&Wish::server(), Some(&middle));
    let cause = verdict(&own, Vec::new(), &root).await;
    assert_eq!(cause.kind, Kind::TlsIncompleteChain);
    assert!(cause.next_step.contains("ssl_cert_file"), "{cause:?}");
    let pem = root.certificate.to_pem().unwrap();
    let serving = Serving { also: vec![middle.certificate.clone()], ..Serving::default() };
    shake(&own, serving, &pem, "db.internal", Product::Postgres).await.unwrap();
    // The chain is whole, and leads elsewhere.
    let cause = verdict(&own, vec![middle.certificate.clone()], &stranger).await;
    assert_eq!(cause.kind, Kind::TlsUnknownCa);
    let cause = verdict(&own, vec![middle.certificate, root.certificate.clone()], &stranger).await;
    assert_eq!(cause.kind, Kind::TlsUnknownCa);

    // Nothing tells a root that is not trusted from an intermediate without a telling name: both are said.
    let direct = issue(&Wish::server(), Some(&root));
    let cause = verdict(&direct, Vec::new(), &stranger).await;
    assert_eq!(cause.kind, Kind::TlsUnknownCa);
    assert!(cause.next_step.contains("root CA") && cause.next_step.contains("intermediate"), "{cause:?}");
    let again = issue(&Wish::ca("Example Root"), None);
    let cause = verdict(&direct, Vec::new(), &again).await;
    assert!(cause.sentence.contains("key of the trusted CA"), "{cause:?}");
    let alone = issue(&Wish::server(), None);
    let cause = verdict(&alone, Vec::new(), &root).await;
    assert!(cause.kind == Kind::TlsUnknownCa && cause.sentence.contains("self-signed"), "{cause:?}");
}

#[tokio::test]
async fn each_objection_has_a_cause_of_its_own() {
    let root = issue(&Wish::ca("Example Root"), None);
    for (wish, kind) in [
        (Wish { valid: (-10, -1), ..Wish::server() }, Kind::TlsExpired),
        (Wish { valid: (1, 10), ..Wish::server() }, Kind::TlsNotYetValid),
        (Wish { names: &["other.internal"], ..Wish::server() }, Kind::TlsWrongName),
        (Wish { bits: 1024, ..Wish::server() }, Kind::TlsWeakKey),
        (Wish { digest: MessageDigest::md5(), ..Wish::server() }, Kind::TlsWeakKey),
        (Wish { for_clients_only: true, ..Wish::server() }, Kind::TlsCertificatePurpose),
    ] {
        let cause = verdict(&issue(&wish, Some(&root)), Vec::new(), &root).await;
        assert_eq!(cause.kind, kind, "{cause:?}");
    }
    let old = issue(&Wish { valid: (-10, -1), ..Wish::ca("Old Root") }, None);
    let cause = verdict(&issue(&Wish::server(), Some(&old)), Vec::new(), &old).await;
    assert!(cause.kind == Kind::TlsExpired && cause.sentence.contains("CN=Old Root"), "{cause:?}");
    let no_ca = issue(&Wish { name: "somebody", ..Wish::server() }, Some(&root));
    let mut chain = no_ca.certificate.to_pem().unwrap();
    chain.extend(root.certificate.to_pem().unwrap());
    let own = issue(&Wish::server(), Some(&no_ca));
    let cause =
        shake(&own, Serving::default(), &chain, "db.internal", Product::Postgres).await.err().unwrap();
    assert_eq!(cause.kind, Kind::TlsNotACa, "{cause:?}");
}

#[tokio::test]
async fn an_address_is_looked_for_where_libpq_looks() {
    let root = issue(&Wish::ca("Example Root"), None);
    let pem = root.certificate.to_pem().unwrap();
    for (name, names, postgres, mongo) in [
        ("server", &["10.0.0.1"][..], true, true),
        ("10.0.0.1", &[][..], true, false),
        ("10.0.0.1", &["db.internal"][..], false, false),
        ("server", &[][..], false, false),
    ] {
        let own = issue(&Wish { name, names, ..Wish::server() }, Some(&root));
        for (kind, good) in [(Product::Postgres, postgres), (Product::Mongo, mongo)] {
            let outcome = shake(&own, Serving::default(), &pem, "10.0.0.1", kind).await;
            assert_eq!(outcome.is_ok(), good, "{name} {names:?} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_ca_file_is_named_for_what_it_is() {
    let own = issue(&Wish::server(), None);
    let key = own.key.private_key_to_pem_pkcs8().unwrap();
    for (content, words) in [
        (b"\n".to_vec(), "is empty"),
        (own.certificate.to_der().unwrap(), "DER"),
        (key, "private key"),
        (b"<!DOCTYPE html><html>".to_vec(), "HTML"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec(), "cannot be decoded"),
        (vec![b'x'; 5_000_000], "cannot be read"),
        (b"CN=ca".to_vec(), "contains no PEM certificate"),
    ] {
        let outcome = shake(&own, Serving::default(), &content, "db.internal", Product::Postgres).await;
        let cause = outcome.err().unwrap();
        assert!(cause.kind == Kind::TlsCaFile && cause.sentence.contains(words), "{words}: {cause:?}");
    }
}
