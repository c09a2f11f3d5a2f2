//! MongoDB over TLS: certificates of both sides, the ciphers of old servers, and what is wrong with them.

use std::thread;
use std::time::{Duration, Instant};

use boot_agent::cause::Class::{Config, External};
use boot_agent::database::ladder::Rung;

use super::diagnosis::{Node, PASSWORD, WORD, WRONG, shows};
use super::diagnosis_mongo::{server, uri};
use super::harness::certificates::{Authority, Certificate};
use super::harness::mongo::{Options, Version};

/// What 3.2 offers: key exchange by RSA alone.
pub(crate) const WITHOUT_ECDHE: [&str; 4] = [
    "--setParameter",
    "opensslCipherConfig=AES256-GCM-SHA384:AES128-SHA",
    "--tlsDisabledProtocols",
    "TLS1_3",
];

/// A server that demands TLS, and of clients no certificate.
pub(crate) fn with_tls(version: Version, authority: &Authority, certificate: &Certificate) -> Options {
    with_tls_mode("requireTLS", version, authority, certificate)
}

/// The same, in another of mongod's modes.
pub(crate) fn with_tls_mode(
    mode: &str,
    version: Version,
    authority: &Authority,
    certificate: &Certificate,
) -> Options {
    let ca = authority.certificate().display().to_string();
    Options::new(version)
        .args(&["--tlsMode", mode, "--tlsCAFile", &ca, "--tlsAllowConnectionsWithoutCertificates"])
        .args(&["--tlsCertificateKeyFile", certificate.both.to_str().unwrap()])
        .client_options(&format!("tls=true&tlsCAFile={ca}"))
}

#[test]
fn the_servers_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue("mongo", &["IP:127.0.0.1", "DNS:localhost"], 10);
    let ca = authority.certificate().display().to_string();
    let node = Node::new("127.0.0.1 db.internal\n");
    for (version, more) in [
        (Version::V6_0, &[][..]),
        (Version::V4_4, &WITHOUT_ECDHE[..]),
        (Version::V6_0, &WITHOUT_ECDHE[..]),
        (Version::V4_4, &[][..]),
    ] {
        let mongo = server(with_tls(version, &authority, &certificate).args(more));
        let uri = uri(&mongo, "circle_ghe");
        let found = node.holds(&uri);
        let suite = if more.is_empty() { "TLSv1.3" } else { "TLSv1.2, AES256-GCM-SHA384" };
        assert!(found.detail(Rung::Tls).starts_with(suite), "{found:?}");
        node.holds(&uri.replace("tls=true&tlsCAFile", "ssl=true&ssl_ca_certs"));

        let bare = uri.split("&tls=").next().unwrap();
        node.breaks(bare, Rung::Tls, "mongo.tls_required", Config, "ssl=true");
        let other = format!("{bare}&ssl=true&tlsCAFile={}", stranger.certificate().display());
        let cause = node.breaks(&other, Rung::Tls, "tls.unknown_ca", Config, "tlsCAFile");
        shows(&cause, "issuer", "test authority");
        node.holds(&format!("{other}&tlsAllowInvalidCertificates=true"));
        let by_name = uri.replace("@127.0.0.1:", "@db.internal:");
        node.breaks(&by_name, Rung::Tls, "tls.wrong_name", Config, "a name from the certificate");
        node.holds(&format!("{by_name}&tlsAllowInvalidHostnames=true"));
        let missing = uri.replace(&ca, "/no/such/ca.pem");
        node.breaks(&missing, Rung::Tls, "tls.ca_file", Config, "tlsCAFile");
        let mistyped = uri.replace(PASSWORD, WRONG);
        node.breaks(&mistyped, Rung::Auth, "mongo.login_rejected", Config, "Correct user");
    }
}

#[test]
fn tls_where_there_is_none_and_where_it_is_over() {
    let authority = Authority::new();
    let node = Node::new("");
    // mongod starts with no certificate that has expired already.
    let seconds = 12;
    let short = authority.issue_until("short", &["IP:127.0.0.1"], seconds);
    let expiry = Instant::now() + Duration::from_secs(seconds + 1);
    let arguments = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", short.both.to_str().unwrap()];
    let old = Options::new(Version::V4_4).args(&arguments).without_login().start_without_users();
    let ca = authority.certificate();
    let expiring =
        format!("mongodb://127.0.0.1:{}/circle_ghe?tls=true&tlsCAFile={}", old.port(), ca.display());
    node.holds(&expiring);

    for version in [Version::V6_0, Version::V4_4] {
        let plain = server(Options::new(version));
        let uri = format!("{}&ssl=true&tlsInsecure=true", uri(&plain, "circle_ghe"));
        node.breaks(&uri, Rung::Tls, "tls.refused", Config, "remove ssl=true");
    }
    thread::sleep(expiry.saturating_duration_since(Instant::now()));
    node.breaks(&expiring, Rung::Tls, "tls.expired", External, "Renew");
    node.holds(&format!("{expiring}&tlsAllowInvalidCertificates=true"));
}

#[test]
fn the_clients_certificate() {
    let authority = Authority::new();
    let certificate = authority.issue("mongo", &["IP:127.0.0.1"], 10);
    let client = authority.issue("circle", &["DNS:circle"], 10);
    let ca = authority.certificate();
    let arguments =
        ["--tlsMode", "requireTLS", "--tlsCAFile", ca.to_str().unwrap(), "--tlsCertificateKeyFile"];
    let file = client.both.display().to_string();
    let options = format!("tls=true&tlsCAFile={}&tlsCertificateKeyFile={file}", ca.display());
    let mongo = server(
        Options::new(Version::V6_0)
            .args(&arguments)
            .args(&[certificate.both.to_str().unwrap()])
            .client_options(&options),
    );
    let node = Node::new("");
    let uri = uri(&mongo, "circle_ghe");
    node.holds(&uri);
    let without = uri.split("&tlsCertificateKeyFile").next().unwrap().to_owned();
    let required = "tls.client_certificate_required";
    node.breaks(&without, Rung::Tls, required, Config, "tlsCertificateKeyFile");
    let no_tls = without.split("&tls=").next().unwrap();
    node.breaks(no_tls, Rung::Tls, "mongo.tls_required", Config, "ssl=true");
    let authority = Authority::new();
    let stranger = authority.issue("stranger", &["DNS:circle"], 10).both.display().to_string();
    let rejected = "tls.client_certificate_rejected";
    node.breaks(&uri.replace(&file, &stranger), Rung::Tls, rejected, Config, "a CA that the server trusts");

    let x509 =
        format!("mongodb://127.0.0.1:{}/circle_ghe?authMechanism=MONGODB-X509&{options}", mongo.port());
    node.breaks(&x509, Rung::Auth, "mongo.login_rejected", Config, "$external");
    let subject = "CN=circle,O=boot-agent circle";
    mongo.command(
        "$external",
        &[&format!(
            r#"{{"createUser": "{subject}", "roles": [{{"role": "readWrite", "db": "circle_ghe"}}]}}"#
        )],
    );
    let found = node.holds(&x509);
    assert!(found.detail(Rung::Auth).contains(subject), "{found:?}");

    // What stands in the file, and its password, are secrets like the user's own.
    let unusable = "tls.client_certificate";
    let encrypted = std::fs::read_to_string(client.encrypted_key(PASSWORD)).unwrap();
    let certificate = std::fs::read_to_string(&client.certificate).unwrap();
    node.world().write("/etc/circle.pem", encrypted + &certificate);
    let locked = uri.replace(&file, "/etc/circle.pem");
    node.holds(&format!("{locked}&tlsCertificateKeyFilePassword={PASSWORD}"));
    node.holds(&format!("{locked}&ssl_pem_passphrase={PASSWORD}"));
    for password in [WRONG, &format!("{WRONG}%40%2F%3A")] {
        let locked = format!("{locked}&tlsCertificateKeyFilePassword={password}");
        node.breaks(&locked, Rung::Tls, unusable, Config, "its passphrase");
    }
    node.breaks(&locked, Rung::Tls, unusable, Config, "its passphrase");
    node.world().write("/etc/circle.pem", format!("-----BEGIN PRIVATE KEY-----\n{WORD}\n"));
    node.breaks(&locked, Rung::Tls, unusable, Config, "its passphrase");
}
