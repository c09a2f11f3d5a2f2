//! A CA in the bundle is trusted by the box before anything is asked that has a certificate of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::front::Front;
use super::harness::agent::Finished;
use super::harness::certificates::Authority;
use super::scene::SOON;

const DEBIAN: &str = "/usr/local/share/ca-certificates/internal.crt";
const DEBIAN_STORE: &str = "/etc/ssl/certs/ca-certificates.crt";
const DEBIAN_PROGRAM: &str = "/usr/sbin/update-ca-certificates";
const AMAZON: &str = "/etc/pki/ca-trust/source/anchors/internal.pem";
const AMAZON_STORE: &str = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
const AMAZON_PROGRAM: &str = "/usr/bin/update-ca-trust";

/// A bundle with a CA that is to lie at `path`, and its certificate.
fn front(path: &str) -> (Front<'static>, String) {
    let front = Front::new();
    let certificate = fs::read_to_string(Authority::new().certificate()).unwrap();
    front.s3.put(&front.bucket, "services-box/ca/internal.crt", &certificate);
    front.settings(&format!("[[extra]]\nobject = \"ca/internal.crt\"\npath = \"{path}\"\nmode = \"0644\"\n"));
    (front, certificate)
}

fn program(front: &Front<'_>, path: &str, content: &[u8]) {
    front.world.write(path, content);
    fs::set_permissions(front.world.path(path), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Debian's own, and what it needs.
fn debian(front: &Front<'_>) {
    program(front, DEBIAN_PROGRAM, &fs::read(DEBIAN_PROGRAM).unwrap());
    front.world.write("/etc/ca-certificates.conf", "# none of the distribution's\n");
    for directory in ["/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/ca-certificates/update.d"] {
        fs::create_dir_all(front.world.path(directory)).unwrap();
    }
}

fn boots_past_place(front: &Front<'_>) -> Finished {
    let mut boot = front.boot().spawn();
    boot.wait_for_line("databases  waiting", SOON);
    boot.kill()
}

fn fails(front: &Front<'_>, kind: &str) -> Finished {
    let finished = front.boots();
    finished.assert_code(1).assert_says("place      FAILED");
    assert_eq!(front.record()["cause"]["kind"], kind, "{finished}");
    finished
}

#[test]
fn debians_store_is_rebuilt_whenever_the_ca_is_missing_from_it() {
    let (front, certificate) = front(DEBIAN);
    debian(&front);
    let dry = front.boot().arg("--dry-run").run(SOON);
    dry.assert_says("would run update-ca-certificates");
    assert!(!front.world.exists(DEBIAN_STORE));

    boots_past_place(&front).assert_says("trust store rebuilt by update-ca-certificates");
    assert!(front.world.read(DEBIAN_STORE).contains(certificate.trim()));
    boots_past_place(&front).assert_says("all files are in place").assert_silent_about("rebuilt");
    // What a boot leaves that is killed after it has placed the file.
    front.world.write(DEBIAN_STORE, "");
    boots_past_place(&front).assert_says("all files are in place; trust store rebuilt");
    assert!(front.world.read(DEBIAN_STORE).contains(certificate.trim()));
}

#[test]
fn amazon_linux_extracts_its_anchors() {
    let (front, certificate) = front(AMAZON);
    let script = "#!/bin/sh\n[ \"$1\" = extract ] || exit 2\nroot=${0%/usr/bin/update-ca-trust}\nmkdir -p \"$root/etc/pki/ca-trust/extracted/pem\"\ncat \"$root\"/etc/pki/ca-trust/source/anchors/* >\"$root/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem\"\n";
    program(&front, AMAZON_PROGRAM, script.as_bytes());
    boots_past_place(&front).assert_says("trust store rebuilt by update-ca-trust extract");
    assert_eq!(front.world.read(AMAZON_STORE).trim(), certificate.trim());
}

#[test]
fn a_store_that_is_not_rebuilt_is_the_cause() {
    let (other, _) = front(AMAZON);
    debian(&other);
    fails(&other, "trust.other_distribution").assert_says("/usr/local/share/ca-certificates/internal.pem");

    let (without, _) = front(DEBIAN);
    fails(&without, "trust.no_program").assert_says("ca-certificates");

    let (failing, _) = front(DEBIAN);
    program(&failing, DEBIAN_PROGRAM, b"#!/bin/sh\necho no room for it >&2\nexit 3\n");
    fails(&failing, "trust.rebuild_failed").assert_says("no room for it").assert_says("exit status: 3");

    let (idle, _) = front(DEBIAN);
    program(&idle, DEBIAN_PROGRAM, b"#!/bin/sh\nexit 0\n");
    fails(&idle, "trust.not_added").assert_says("update-ca-certificates --verbose");
}

#[test]
fn what_is_no_ca_is_a_finding_of_the_bundle() {
    for (path, content, kind) in [
        (DEBIAN, "<html>not found</html>", "trust.not_a_certificate"),
        ("/usr/local/share/ca-certificates/internal.pem", "", "trust.file_name"),
    ] {
        let (front, certificate) = front(path);
        let content = if content.is_empty() { certificate.as_str() } else { content };
        front.s3.put(&front.bucket, "services-box/ca/internal.crt", content);
        front.boots().assert_code(1).assert_says(kind);
        assert!(front.nothing_is_placed());
    }
}
