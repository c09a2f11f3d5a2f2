//! One honest question to each real part. When one of these fails, a part is missing or broken, not the program.

use std::time::Duration;

use super::harness::agent::{Agent, CommandContext};
use super::harness::certificates::Authority;
use super::harness::engine;
use super::harness::mongo::{Mongo, Options, Version};
use super::harness::postgres::Postgres;
use super::harness::registry::Registry;
use super::harness::s3::{self, S3Server};
use super::harness::{parts, shell};

#[test]
fn engine_runs_a_container() {
    let engine = engine::lease();
    let said = engine.docker(&["run", "--rm", "--network=none", "busybox", "echo", "hello"]);
    assert_eq!(said, "hello");
}

#[test]
fn engine_is_clean_at_each_lease() {
    let engine = engine::lease();
    let images = engine.docker(&["image", "ls", "--quiet"]);
    engine.docker(&["tag", "busybox", "left-over:1"]);
    engine.docker(&["rmi", "--no-prune", "busybox"]);
    engine.docker(&["run", "--detach", "--network=none", "left-over:1", "sleep", "600"]);
    drop(engine);
    let every: Vec<_> = (0..4).map(|_| engine::lease()).collect();
    for engine in every {
        assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
        assert_eq!(engine.docker(&["image", "ls", "--quiet", "left-over"]), "");
        let now = engine.docker(&["image", "ls", "--quiet"]);
        assert_eq!(now.lines().count(), images.lines().count());
    }
}

#[test]
fn engine_goes_silent_dies_and_comes_back() {
    use std::io::{Read, Write};
    let mut engine = engine::lease();
    engine.docker(&["run", "--detach", "--network=none", "busybox", "sleep", "600"]);

    engine.pause();
    let mut silent = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    silent.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").unwrap();
    assert!(silent.read(&mut [0; 1]).is_err(), "it answers");
    engine.resume();
    engine.docker(&["version"]);

    engine.stop();
    assert!(!engine.socket().exists());
    engine.start();
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]).lines().count(), 1);
}

#[test]
fn registry_gives_by_digest_what_was_pushed() {
    let (engine, registry) = (engine::lease(), Registry::start());
    let reference = registry.push(&engine, "busybox", "library/thing:1.0");
    let pulled = engine.docker(&["pull", &reference]);
    assert!(pulled.contains("Status: "), "{pulled}");
    assert!(registry.requests().contains("/v2/library/thing/manifests/sha256:"));
}

#[test]
fn registry_with_login_refuses_strangers() {
    let (engine, registry) = (engine::lease(), Registry::with_login());
    let reference = format!("{}/thing:1", registry.address());
    let refused = engine.try_docker(&["pull", &reference]);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("no basic auth credentials"), "{why}");
    registry.login(&engine);
    registry.push(&engine, "busybox", "thing:1");
}

#[test]
fn moto_keeps_an_object() {
    let s3 = s3::moto();
    let bucket = s3.bucket();
    s3.put(&bucket, "services-box/settings.conf", "{}");
    assert_eq!(s3.get(&bucket, "services-box/settings.conf"), "{}");
    s3.bucket_in("eu-west-1");
}

#[test]
fn moto_denies_what_the_policy_does_not_allow() {
    let s3 = S3Server::moto();
    let bucket = s3.bucket();
    s3.put(&bucket, "open/a", "a");
    s3.put(&bucket, "closed/a", "a");
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/open/*"}}]}}"#
    );
    let (key, secret) = s3.user("reader", &policy);
    s3.enforce_iam();
    let get = |path: &str| {
        let mut command = s3::signing_curl(&key, &secret, "us-east-1", "s3");
        shell::must(command.arg(format!("{}/{bucket}/{path}", s3.url())))
    };
    assert_eq!(get("open/a"), "a");
    assert!(get("closed/a").contains("<Code>AccessDenied</Code>"));
}

#[test]
fn s3_faults_stand_in_front_of_moto() {
    use stand_ins::s3_faults::{self, Config, Fault, Rule};
    let s3 = s3::moto();
    let bucket = s3.bucket();
    s3.put(&bucket, "license.rli", "a licence");
    let faults = s3_faults::start(Config::before(&s3.url())).unwrap();
    faults.rule(Rule::key("license.rli", Fault::SlowDown).times(1));
    let get = || {
        let mut command = s3::signing_curl(s3::ACCESS_KEY, s3::SECRET_KEY, "us-east-1", "s3");
        shell::must(command.arg(format!("{}/{bucket}/license.rli", faults.url())))
    };
    assert!(get().contains("<Code>SlowDown</Code>"));
    assert_eq!(get(), "a licence");
}

#[test]
fn s3s_refuses_a_wrong_signature() {
    let s3 = S3Server::verifying();
    let bucket = s3.bucket();
    s3.put(&bucket, "a/b", "content");
    assert_eq!(s3.get(&bucket, "a/b"), "content");
    let mut forged = s3::signing_curl(s3::ACCESS_KEY, "another-secret", "us-east-1", "s3");
    let answer = shell::must(forged.arg(format!("{}/{bucket}/a/b", s3.url())));
    assert!(answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
}

#[test]
fn postgres_lets_circle_in_and_nobody_with_another_password() {
    let postgres = Postgres::start();
    let ask = |uri: &str| {
        let mut command = std::process::Command::new("psql");
        shell::run(command.args(["--no-psqlrc", "-Atc", "select current_user", uri]))
    };
    let answer = ask(&postgres.uri());
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "circle\n", "{}", postgres.log());
    let refused = ask(&postgres.uri().replace(Postgres::PASSWORD, "wrong"));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("password authentication failed"), "{why}");
}

#[test]
fn postgres_speaks_tls_under_a_certificate_of_our_own() {
    let authority = Authority::new();
    let good = authority.issue("good", &["DNS:localhost", "IP:127.0.0.1"], 30);
    let mut postgres = Postgres::with_tls(&good);
    let root = authority.certificate();
    let uri = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.uri(), root.display());
    let ask = || {
        let mut command = std::process::Command::new("psql");
        let command = command.args([
            "--no-psqlrc",
            "-Atc",
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
            &uri,
        ]);
        shell::run(command)
    };
    assert_eq!(String::from_utf8_lossy(&ask().stdout), "t\n");
    postgres.use_certificate(&authority.issue("other", &["DNS:elsewhere.example"], 30));
    let why = String::from_utf8_lossy(&ask().stderr).into_owned();
    assert!(why.contains("does not match host name"), "{why}");
}

#[test]
fn mongo_6_0_lets_circle_in_and_nobody_with_another_password() {
    mongo_lets_circle_in(Version::V6_0, "6.0.5", 17);
}

#[test]
fn mongo_4_4_lets_circle_in_and_nobody_with_another_password() {
    mongo_lets_circle_in(Version::V4_4, "4.4.2", 9);
}

fn mongo_lets_circle_in(version: Version, release: &str, wire: u32) {
    let mongo = Options::new(version).start();
    let build = mongo.command("admin", &[r#"{"buildInfo": 1}"#]);
    assert!(build.contains(&format!("\"version\": \"{release}\"")), "{build}");
    let hello = mongo.command("admin", &[r#"{"isMaster": 1}"#]);
    assert!(hello.contains(&format!("\"maxWireVersion\": {wire},")), "{hello}");

    let uri = mongo.uri("circle_ghe");
    let insert = r#"{"insert": "canary", "documents": [{"a": 1}]}"#;
    let allowed = Mongo::try_command(&uri, "circle_ghe", &[insert]);
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    let refused = Mongo::try_command(&uri.replace("circle-password", "wrong"), "circle_ghe", &[insert]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("Authentication failed"), "{why}");
}

#[test]
fn agent_runs_in_a_world_of_its_own() {
    let world = CommandContext::new();
    let run = Agent::new(&world).run(super::scene::SOON);
    assert!(run.code.is_some(), "{run}");
    assert!(world.exists("/etc/group"));
}

#[test]
fn a_server_ends_when_its_value_does() {
    use super::harness::process::{Server, bound};
    use nix::sys::signal::{Signal, kill};
    let directory = parts::directory("canary");
    let mut command = bound("sleep", Signal::SIGTERM);
    command.arg("600");
    let server = Server::start("sleep", command, Signal::SIGTERM, directory.path());
    let pid = server.pid();
    kill(pid, None).unwrap();
    drop(server);
    assert!(kill(pid, None).is_err(), "it is still there");
}
