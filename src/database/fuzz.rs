//! What databases answer, and how they are addressed, as [`crate::fuzz`] tries it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use super::ladder::Request;
use super::rung::LadderProbe;
use super::uri::vault::VaultUri;
use super::uri::{self, Parsed, Product};
use crate::dns::Resolver;
use crate::files::Root;
use crate::fuzz::{answered, http};

pub(crate) use super::mongo::fuzz::{answer as mongo_answer, bson};

/// The text as the address of either, whatever it begins with.
pub(crate) fn uri(text: &str) {
    let _ = uri::parse(text);
    for kind in [Product::Postgres, Product::Mongo] {
        match uri::parse_as(kind, text) {
            Ok(parsed) => assert_eq!(parsed.kind(), kind),
            Err(error) => assert!(error.sentence.ends_with('.'), "{error}"),
        }
    }
}

pub(crate) fn postgres_answer(bytes: &[u8]) {
    let uri = |address| {
        let text = format!("postgres://circle:fuzz-password@{address}/circle?sslmode=disable");
        uri::parse(&text).unwrap()
    };
    climb(bytes, uri);
}

pub(crate) fn vault_answer(bytes: &[u8]) {
    let uri = |address: SocketAddr| {
        let uri = VaultUri::new(false, "127.0.0.1", address.port(), "fuzz-token", "transit");
        Parsed::Vault(uri.unwrap())
    };
    climb(&http(bytes), uri);
}

/// Climbs to a server that says these bytes and hangs up.
fn climb(bytes: &[u8], uri: impl Fn(SocketAddr) -> Parsed) {
    answered(bytes, async |address| {
        let root = Root::new("/nonexistent");
        let uri = uri(address);
        let request = Request { name: "fuzz".to_owned(), kind: uri.kind(), uri: Ok(uri) };
        let result = LadderProbe::new(Resolver::new(root.clone()), root, "/root").climb(&request).await;
        assert_eq!(result.steps.len(), request.kind.rungs().len());
    });
}
