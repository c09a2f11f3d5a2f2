//! PostgreSQL over TLS: certificates of both sides, and what is wrong with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use boot_agent::cause::Class::{Config, External, Host};
use boot_agent::database::ladder::Rung;

use super::diagnosis::{Node, PASSWORD, WORD, WRONG, shows};
use super::diagnosis_postgres::{allow, server, uri};
use super::harness::certificates::{Authority, Certificate};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_servers_certificate() {
    let authority = Authority::new();
    let mut postgres = server(None);
    let node = Node::new("127.0.0.1 db.internal\n");
    let uri = uri(&postgres);
    for mode in ["require", "verify-ca&sslrootcert=/etc/hosts"] {
        let uri = format!("{uri}?sslmode={mode}");
        node.breaks(&uri, Rung::Tls, "tls.refused", Config, "ssl = on");
    }

    postgres.use_certificate(&authority.issue("server", &["IP:127.0.0.1"], 10));
    let verified = |mode: &str, ca: &Authority| {
        format!("{uri}?sslmode={mode}&sslrootcert={}", ca.certificate().display())
    };
    let stranger = Authority::new();
    // With a root certificate named, libpq verifies it for sslmode=require as well.
    for mode in ["verify-ca", "verify-full", "require"] {
        let uri = verified(mode, &stranger);
        let cause = node.breaks(&uri, Rung::Tls, "tls.unknown_ca", Config, "sslrootcert");
        shows(&cause, "issuer", "test authority");
    }
    let by_name = verified("verify-full", &authority).replace("@127.0.0.1:", "@db.internal:");
    node.breaks(&by_name, Rung::Tls, "tls.wrong_name", Config, "a name from the certificate");
    node.holds(&by_name.replace("verify-full", "verify-ca"));
    let file = "tls.ca_file";
    node.breaks(&format!("{uri}?sslmode=verify-full"), Rung::Tls, file, Config, "sslrootcert");
    let missing = format!("{uri}?sslmode=verify-ca&sslrootcert=/no/such/file");
    node.breaks(&missing, Rung::Tls, file, Config, "sslrootcert");
    node.world().write("/etc/no-certificate.pem", format!("not a certificate: {WORD}\n"));
    let garbage = missing.replace("/no/such/file", "/etc/no-certificate.pem");
    node.breaks(&garbage, Rung::Tls, file, Config, "sslrootcert");
    let system = format!("{uri}?sslrootcert=system");
    node.breaks(&system, Rung::Tls, "tls.no_authorities", Host, "ca-certificates");
    // Public authorities, which do not vouch for it.
    let public = fs::read(stranger.certificate()).unwrap();
    node.world().write("/etc/ssl/certs/ca-certificates.crt", public);
    node.breaks(&system, Rung::Tls, "tls.unknown_ca", Config, "sslrootcert");

    postgres.use_certificate(&authority.issue_expired("expired", &["IP:127.0.0.1"]));
    for mode in ["verify-ca", "verify-full"] {
        node.breaks(&verified(mode, &authority), Rung::Tls, "tls.expired", External, "Renew");
    }
    // Nobody looks at the dates without a root certificate.
    node.holds(&format!("{uri}?sslmode=require"));
}

#[test]
fn chains_and_ca_files() {
    let root = Authority::named("Example Root CA");
    let middle = root.intermediate("Example Issuing CA");
    let own = middle.issue("server", &["IP:127.0.0.1"], 10);
    let mut postgres = server(Some(&own));
    let node = Node::new("");
    let uri = uri(&postgres);
    let verified = |mode: &str, ca: &Path| format!("{uri}?sslmode={mode}&sslrootcert={}", ca.display());
    for mode in ["verify-full", "verify-ca", "require"] {
        let uri = verified(mode, &root.certificate());
        let cause = node.breaks(&uri, Rung::Tls, "tls.incomplete_chain", Config, "ssl_cert_file");
        assert!(cause.sentence.contains("Example Issuing CA"), "{cause:?}");
    }
    postgres.use_certificate(&own.chained(&middle));
    node.holds(&verified("verify-full", &root.certificate()));
    // Another root: nothing is missing from what the server sends.
    let stranger = Authority::named("Stranger Root CA");
    let unknown = "tls.unknown_ca";
    let cause = node.breaks(
        &verified("verify-ca", &stranger.certificate()),
        Rung::Tls,
        unknown,
        Config,
        "sslrootcert",
    );
    shows(&cause, "issuer", "Example Root CA");
    postgres.use_certificate(&root.issue("direct", &["IP:127.0.0.1"], 10));
    let cause =
        node.breaks(&verified("verify-ca", &stranger.certificate()), Rung::Tls, unknown, Config, "root CA");
    assert!(cause.sentence.contains("Example Root CA"), "{cause:?}");

    postgres.use_certificate(&root.as_server());
    let cause = node.breaks(
        &verified("verify-ca", &stranger.certificate()),
        Rung::Tls,
        unknown,
        Config,
        "sslrootcert",
    );
    assert!(cause.sentence.contains("self-signed"), "{cause:?}");
    node.holds(&verified("verify-ca", &root.certificate()));

    for (name, content, words) in [
        ("empty.pem", Vec::new(), "is empty"),
        ("ca.der", der(&root), "DER format"),
        ("ca.key", fs::read(root.as_server().key).unwrap(), "private key"),
        ("ca.html", b"<html><body>404</body></html>".to_vec(), "HTML"),
    ] {
        let path = format!("/etc/{name}");
        node.world().write(&path, content);
        let cause =
            node.breaks(&verified("verify-ca", Path::new(&path)), Rung::Tls, "tls.ca_file", Config, "");
        assert!(cause.sentence.contains(words), "{cause:?}");
    }
    // A pipe would be waited for without end.
    nix::unistd::mkfifo(&node.world().path("/etc/ca.pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = verified("verify-ca", Path::new("/etc/ca.pipe"));
    let cause = node.breaks(&pipe, Rung::Tls, "tls.ca_file", Config, "PEM");
    shows(&cause, "error", "not a regular file");
}

fn der(authority: &Authority) -> Vec<u8> {
    let pem = fs::read(authority.certificate()).unwrap();
    openssl::x509::X509::from_pem(&pem).unwrap().to_der().unwrap()
}

#[test]
fn the_clients_certificate() {
    let authority = Authority::new();
    let postgres = server(Some(&authority.issue("server", &["IP:127.0.0.1"], 10)));
    fs::copy(authority.certificate(), postgres.data().join("ca.pem")).unwrap();
    mode(&postgres.data().join("ca.pem"), 0o644);
    postgres.set("ssl_ca_file = 'ca.pem'");
    allow(&postgres, "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
    let node = Node::new("");
    let uri = format!("{}?sslmode=require", uri(&postgres));
    node.breaks(&uri, Rung::Auth, "tls.client_certificate_required", Config, "sslcert");
    let client = authority.issue("circle", &["DNS:circle"], 10);
    let with = |certificate: &Path, key: &Path| {
        format!("{uri}&sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    let unusable = "tls.client_certificate";
    mode(&client.key, 0o644);
    let own = with(&client.certificate, &client.key);
    node.breaks(&own, Rung::Tls, unusable, Config, "its mode");
    mode(&client.key, 0o600);
    node.holds(&own);
    let strange_authority = Authority::new();
    let stranger = strange_authority.issue("stranger", &["DNS:circle"], 10);
    mode(&stranger.key, 0o600);
    let other = with(&stranger.certificate, &stranger.key);
    let rejected = "tls.client_certificate_rejected";
    node.breaks(&other, Rung::Tls, rejected, Config, "a CA that the server trusts");
    let expired = authority.issue_expired("circle-of-old", &["DNS:circle"]);
    mode(&expired.key, 0o600);
    let old = with(&expired.certificate, &expired.key);
    node.breaks(&old, Rung::Tls, rejected, Config, "unexpired");
    let mixed = with(&client.certificate, &stranger.key);
    node.breaks(&mixed, Rung::Tls, unusable, Config, "Correct");
    node.breaks(&with(Path::new("/no/such.crt"), &client.key), Rung::Tls, unusable, Config, "Correct");
    secrets_of_the_key(&node, &uri, &client);
    allow(&postgres, "hostssl all all 127.0.0.1/32 cert");
    let other = own.replace("circle:", "another:");
    node.breaks(&other, Rung::Auth, "postgres.auth_rejected", Config, "pg_hba.conf");
}

/// What stands in a key file, and the password of one, are secrets like the user's own.
fn secrets_of_the_key(node: &Node, uri: &str, client: &Certificate) {
    let encrypted = client.encrypted_key(PASSWORD);
    let with = |key: &str, password: &str| {
        format!("{uri}&sslcert={}&sslkey={key}&sslpassword={password}", client.certificate.display())
    };
    let encrypted = encrypted.display().to_string();
    node.holds(&with(&encrypted, PASSWORD));
    let unusable = "tls.client_certificate";
    for password in [WRONG, "", &format!("{WRONG}%40%2F%3A")] {
        node.breaks(&with(&encrypted, password), Rung::Tls, unusable, Config, "Correct");
    }
    let key = fs::read_to_string(&client.key).unwrap();
    let mut lines: Vec<&str> = key.lines().collect();
    // Letters that base64 knows, in place of a line of the key.
    let word = WORD.repeat(6);
    lines[3] = &word[..64];
    for content in [lines.join("\n"), format!("{WORD}\n{key}").replace("BEGIN", "BEGUN"), WORD.to_owned()] {
        node.world().write("/etc/circle.key", &content);
        mode(&node.world().path("/etc/circle.key"), 0o600);
        node.breaks(&with("/etc/circle.key", ""), Rung::Tls, unusable, Config, "Correct");
    }
}
