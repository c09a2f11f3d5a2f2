//! TLS to a database with OpenSSL; its verification errors become causes.
//!
//! OpenSSL, because MongoDB 3.2 offers no ECDHE, and because libpq uses it too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{ConnectConfiguration, SslConnector, SslMethod, SslRef, SslVerifyMode};
use openssl::x509::store::X509StoreBuilder;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::connect::Stream;
use super::uri::{Host, Product, Server};
use crate::cause::Cause;
use crate::files::Root;
use crate::kind::Kind;

mod chain;
mod files;
mod stepwise;
mod terms;
mod verdict;

use chain::Objection;
use stepwise::Stepwise;

pub(super) use terms::{Authorities, ClientCertificate, Terms, Verify};
pub(super) use verdict::after_handshake;

/// A connection inside TLS.
pub(super) type TlsStream = SslStream<Stepwise>;

/// Whether the server requested a client certificate during the handshake, required or not. May miss a request if a
/// server packs several handshake messages into one record (OpenSSL does not).
pub(super) fn asked_for_certificate(stream: &TlsStream) -> bool {
    stream.get_ref().asked_for_certificate()
}

type Seen = Arc<Mutex<Option<Objection>>>;

/// Shakes hands over an open connection.
///
/// # Errors
/// `tls.…`: a file that cannot be read, the certificate, or a rejection by the server.
pub(super) async fn handshake(
    terms: &Terms,
    root: &Root,
    server: &Server,
    stream: Box<dyn Stream>,
    limit: Duration,
) -> Result<TlsStream, Cause> {
    let seen = Seen::default();
    let configuration = configure(terms, root, server, seen.clone())?;
    let ssl = configuration.into_ssl(&host_name(server)).map_err(|error| unusable(&error))?;
    let mut stream = SslStream::new(ssl, Stepwise::new(stream)).map_err(|error| unusable(&error))?;
    let outcome = timeout(limit, stepwise::connect(&mut stream)).await;
    match outcome {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(error)) => {
            let objection = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(match objection {
                Some(objection) => verdict::of_certificate(terms, server, &objection),
                None => verdict::of_handshake(terms, server, asked_for_certificate(&stream), &error),
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

/// The name that the server's certificate must carry.
fn host_name(server: &Server) -> String {
    match &server.host {
        Host::Name(name) => name.trim_end_matches('.').to_owned(),
        Host::Address(address) => address.to_string(),
        Host::Socket(_) => "localhost".to_owned(),
    }
}

fn configure(terms: &Terms, root: &Root, server: &Server, seen: Seen) -> Result<ConnectConfiguration, Cause> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| unusable(&error))?;
    if terms.verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    } else {
        let mut store = X509StoreBuilder::new().map_err(|error| unusable(&error))?;
        let trusted = files::authorities(terms, root)?;
        let known: Vec<String> =
            trusted.iter().map(|authority| chain::distinguished(authority.subject_name())).collect();
        for certificate in trusted {
            store.add_cert(certificate).map_err(|error| unusable(&error))?;
        }
        if let Some(list) = &terms.revocation_list {
            files::add_revocation_list(&mut store, &root.path(list)).map_err(|error| unusable(&error))?;
        }
        builder.set_cert_store(store.build());
        // The drivers of MongoDB are as strict as OpenSSL.
        let is_lenient = terms.kind == Product::Postgres;
        let libpq_name = is_lenient.then(|| host_name(server));
        builder.set_verify_callback(SslVerifyMode::PEER, move |good, context| {
            if good || libpq_name.as_ref().is_some_and(|text| chain::is_good_for_libpq(context, text)) {
                return true;
            }
            let objection = Objection::new(context, &known);
            seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(objection);
            false
        });
    }
    if let Some(identity) = &terms.identity {
        let (chain, key) = files::identity(identity, root)?;
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
            files::client_certificate(&identity.certificate, "does not fit its private key", &error)
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

fn unusable(error: &ErrorStack) -> Cause {
    Cause::host(Kind::TlsUnusable, "OpenSSL could not be initialized.", "Report this as a bug in boot-agent.")
        .with("error", error)
}

#[cfg(test)]
mod tests;
