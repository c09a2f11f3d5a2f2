//! Every case of `libpq_cases.tsv`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use super::postgres::{DEFAULT_SOCKET_DIRECTORY, parse};
use super::{Host, PostgresUri};

const CASES: &str = include_str!("libpq_cases.tsv");

#[test]
fn each_is_read_as_libpq_reads_it_or_as_was_decided() {
    let mut count = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [text, libpq, agent, pgjdbc] = fields[..] else { panic!("not four fields: {line}") };
        assert!(!pgjdbc.is_empty(), "{line}");
        count += 1;
        let outcome = parse(text);
        if let Some(words) = agent.strip_prefix("! ") {
            let error = outcome.err().unwrap_or_else(|| panic!("{text} was understood"));
            assert!(error.sentence.contains(words), "{text}: {error}");
            continue;
        }
        let uri = outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
        let kinds: Vec<&str> = uri.warnings.iter().map(|warning| warning.kind.as_str()).collect();
        match agent.strip_prefix("~ ") {
            Some(kind) => assert!(kinds.contains(&kind), "{text}: {kinds:?}"),
            None => assert_eq!((agent, kinds.len()), ("=", 0), "{text}: {kinds:?}"),
        }
        if libpq != "!" {
            same(text, libpq, &uri);
        }
    }
    assert!(count > 100, "{count}");
}

/// Whether what was read is what libpq would use.
fn same(text: &str, libpq: &str, uri: &PostgresUri) {
    let keywords: BTreeMap<&str, &str> = match libpq {
        "-" => BTreeMap::new(),
        _ => libpq.split(' ').map(|pair| pair.split_once('=').unwrap()).collect(),
    };
    let get = |name: &str| keywords.get(name).copied().filter(|value| !value.is_empty());
    assert_eq!(uri.user.as_deref(), get("user"), "{text}");
    assert_eq!(uri.password.as_ref().map(super::Password::expose), get("password"), "{text}");
    let database = get("dbname").map(|name| name.replace("%20", " "));
    assert_eq!(uri.database, database, "{text}");
    if let Some(mode) = get("sslmode") {
        assert_eq!(uri.tls.mode.as_str(), mode, "{text}");
    }
    let hosts: Vec<&str> = keywords.get("host").copied().unwrap_or_default().split(',').collect();
    let ports: Vec<&str> = keywords.get("port").copied().unwrap_or_default().split(',').collect();
    let address = get("hostaddr").map(|address| address.parse().unwrap());
    assert_eq!(uri.servers.len(), hosts.len(), "{text}");
    for (at, (server, host)) in uri.servers.iter().zip(hosts).enumerate() {
        let expected = match (host, address) {
            ("", Some(address)) => Host::Address(address),
            ("", None) => Host::Socket(DEFAULT_SOCKET_DIRECTORY.into()),
            (path, _) if path.starts_with('/') => Host::Socket(path.into()),
            (name, _) => name.parse().map_or_else(|_| Host::Name(name.to_owned()), Host::Address),
        };
        assert_eq!((&server.host, server.address), (&expected, address), "{text}");
        let port = ports.get(at).or(ports.first().filter(|_| ports.len() == 1)).copied().unwrap_or_default();
        assert_eq!(server.port, port.parse().unwrap_or(5432), "{text}");
    }
}
