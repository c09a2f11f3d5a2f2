//! Where the bundle comes from, and every way in which S3 does not give it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use stand_ins::s3_faults::{self, Config, Fault, Rule};

use super::front::{FILES, Front};
use super::harness::agent::Agent;
use super::harness::dns::{Manner, Server};
use super::harness::s3::{self, S3Server};
use super::scene::{PLACED, SOON, Scene};

/// How long something may take that takes a moment, on a machine that runs other tests too.
const A_MOMENT: Duration = Duration::from_secs(90);

#[test]
fn s3_and_a_directory_both_lead_to_continue() {
    let scene = Scene::new();
    scene.boots().assert_code(0).assert_says("in service after");
    assert_eq!(scene.completions(), ["CONTINUE"]);
    let from_s3: Vec<String> = PLACED.iter().map(|path| scene.world.read(path)).collect();
    // Its engine may be what another test waits for that holds one too.
    drop(scene);

    let scene = Scene::new();
    for (name, content) in super::scene::good_bundle() {
        scene.world.write(&format!("/srv/bundle/{name}"), content);
    }
    let boot = super::harness::agent::Agent::new(&scene.world).args(["boot", "file:///srv/bundle"]);
    boot.run(SOON).assert_code(0).assert_says("in service after");
    assert_eq!(scene.completions(), ["CONTINUE"]);
    let from_directory: Vec<String> = PLACED.iter().map(|path| scene.world.read(path)).collect();
    assert_eq!(from_s3, from_directory);
}

#[test]
fn a_bucket_elsewhere_is_followed_once_with_a_warning() {
    for fault in [Fault::PermanentRedirect("eu-west-1".into()), Fault::WrongRegion("eu-west-1".into())] {
        let (front, faults) = behind_faults();
        faults.rule(Rule::all(fault));
        let said = front.boots_until_placed();
        assert!(
            said.contains("s3.wrong_region") && said.contains("is in eu-west-1, not in us-east-1"),
            "{said}"
        );
        // What was asked for in the wrong region was sent on once, and S3 was told the right region then.
        let calls = faults.calls();
        let of_region =
            |region: &str| calls.iter().filter(|call| call.region.as_deref() == Some(region)).count();
        // The four, and the listing of the directories that a bundle may have.
        assert!((1..=5).contains(&of_region("us-east-1")) && of_region("eu-west-1") == 5, "{calls:?}");
        assert_eq!(front.record()["warnings"][0]["kind"], "s3.wrong_region");
    }
}

#[test]
fn a_bucket_that_sends_on_for_ever_is_not_followed_for_ever() {
    let (front, faults) = behind_faults();
    faults.rule(Rule::all(Fault::WrongRegion("eu-west-1".into())).stubborn());
    front.fails_with("s3.wrong_region", "config");
    assert_eq!(faults.calls().len(), 10);
}

#[test]
fn slow_down_is_waited_out() {
    waited_out("settings.conf", Fault::SlowDown, "s3.slow_down");
}

#[test]
fn a_body_that_is_cut_short_is_fetched_again() {
    waited_out("license.rli", Fault::CutShort(5), "s3.body_cut");
}

#[test]
fn a_body_that_does_not_fit_its_checksum_is_fetched_again() {
    waited_out("replicated.conf", Fault::Corrupted, "s3.checksum");
}

/// The fault strikes twice, is shown and recorded as what is waited for, and what is placed is whole.
fn waited_out(object: &str, fault: Fault, kind: &str) {
    let (front, faults) = behind_faults();
    faults.rule(Rule::key(object, fault).times(2));
    let said = front.boots_until_placed();
    assert!(said.contains("fetch      waiting") && said.contains(kind) && said.contains(object), "{said}");
    assert_eq!(front.stage("fetch")["waits"][0]["cause"]["kind"], kind);
    let calls = faults.calls();
    assert_eq!(calls.iter().filter(|call| call.path.ends_with(object)).count(), 3);
}

#[test]
fn a_wait_that_is_too_long_ends_with_what_was_waited_for() {
    let (front, faults) = behind_faults();
    front.settings("[fetch]\nwait = \"1s\"");
    faults.rule(Rule::key("license.rli", Fault::SlowDown));
    let run = front.boots();
    run.assert_code(3).assert_says("s3.slow_down");
    let cause = &front.record()["cause"];
    assert_eq!((&cause["kind"], &cause["class"]), (&"s3.slow_down".into(), &"external".into()));
    assert!(cause["waited_seconds"].as_u64() >= Some(1), "{cause}");
    assert!(front.nothing_is_placed());
}

#[test]
fn a_clock_that_is_wrong_is_shown_with_both_times_and_the_boot_goes_on_once_it_is_right() {
    let (front, faults) = behind_faults();
    faults.rule(Rule::all(Fault::ClockSkew(3600)));
    let mut boot = front.boot().spawn();
    let line = boot.wait_for_line("s3.clock_skew", A_MOMENT);
    for words in ["waiting", "offset", "1h"] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
    // Both times, as S3 gave them: the request's in the compact form, the server's in the other.
    let year = jiff::Timestamp::now().strftime("%Y").to_string();
    assert!(line.matches(&year).count() >= 2, "{line}");
    faults.cure();
    boot.wait_for_line("place      done", A_MOMENT);
    boot.kill();
    assert!(front.everything_is_placed());
}

#[test]
fn a_refusal_by_s3_says_what_the_role_may_not_do() {
    let (front, faults) = behind_faults();
    faults.rule(Rule::key("settings.conf", Fault::AccessDenied(None)));
    let cause = front.fails_with("s3.access_denied", "config");
    let object = format!("s3://{}/services-box/settings.conf", front.bucket);
    assert!(text(&cause, "sentence").contains(&object), "{cause}");
    let next = text(&cause, "next_step");
    assert!(next.contains("s3:GetObject") && next.contains("s3:ListBucket"), "{cause}");

    // S3 itself says that only ListBucket lacks: then a missing object is the likelier reason.
    let (front, faults) = behind_faults();
    let words = "User: arn:aws:sts::1:assumed-role/box/i-1 is not authorized to perform: s3:ListBucket on resource: x";
    faults.rule(Rule::key("settings.conf", Fault::AccessDenied(Some(words.into()))));
    let cause = front.fails_with("s3.access_denied", "config");
    assert!(text(&cause, "sentence").contains("does not exist, or"), "{cause}");
    assert!(cause.to_string().contains(words), "S3's own words are quoted: {cause}");
}

#[test]
fn a_denial_by_kms_is_quoted_to_the_letter() {
    let (front, faults) = behind_faults();
    faults.rule(Rule::key("replicated.conf", Fault::KmsDenied));
    let run = front.boots();
    let arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let quoted = format!(
        "User: arn:aws:sts::123456789012:assumed-role/services-box/i-0a1b2c3d4e5f60718 is not authorized to perform: \
         kms:Decrypt on resource: {arn} because no identity-based policy allows the kms:Decrypt action"
    );
    run.assert_code(1).assert_says("s3.kms_denied").assert_says(&quoted);
    let cause = &front.record()["cause"];
    assert!(text(cause, "sentence").contains(&quoted), "{cause}");
    let evidence = |name: &str| {
        let all = cause["evidence"].as_array().unwrap();
        all.iter().find(|item| item["name"] == name).map(|item| item["value"].clone()).unwrap_or_default()
    };
    assert_eq!((evidence("KMS action"), evidence("KMS key")), ("kms:Decrypt".into(), arn.into()));
    assert!(text(cause, "next_step").contains(&format!("\"Resource\":\"{arn}\"")), "{cause}");
}

/// moto's own IAM decides here, by the policies of a user.
#[test]
fn what_a_role_may_not_do_is_told_apart_from_what_is_missing() {
    let s3 = S3Server::moto();
    let (denied, missing) = (Front::before(&s3), Front::before(&s3));
    let policy = |statements: &str| format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    let list = r#"{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::*"}"#;
    let get = r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}"#;
    let lister = s3.user("lister", &policy(list));
    let reader = s3.user("reader", &policy(&format!("{list}, {get}")));
    s3.delete(&missing.bucket, "services-box/license.rli");
    s3.enforce_iam();
    let cause_for = |front: &Front<'_>, (key, secret): &(String, String)| {
        let boot = front.boot().env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
        boot.run(A_MOMENT).assert_code(1).assert_silent_about(secret);
        front.record()["cause"].clone()
    };

    let cause = cause_for(&denied, &lister);
    assert_eq!(cause["kind"], "s3.access_denied");
    for object in FILES {
        assert!(cause.to_string().contains(object), "{object} is not named: {cause}");
    }
    let cause = cause_for(&missing, &reader);
    assert_eq!(cause["kind"], "s3.no_such_key");
    assert!(text(&cause, "sentence").contains("license.rli"), "{cause}");
    assert!(!cause.to_string().contains("settings.conf"), "{cause}");
}

#[test]
fn missing_objects_and_buckets_are_named() {
    let front = Front::new();
    front.s3.delete(&front.bucket, "services-box/license.rli");
    let cause = front.fails_with("s3.no_such_key", "config");
    assert!(text(&cause, "sentence").contains("license.rli"), "{cause}");

    let run = Front::new().boot_from("s3://no-such-bucket-anywhere/services-box").run(A_MOMENT);
    run.assert_code(1).assert_says("s3.no_such_bucket");
}

#[test]
fn two_bad_objects_are_both_named() {
    let (front, faults) = behind_faults();
    faults.rule(Rule::key("license.rli", Fault::NoSuchKey));
    faults.rule(Rule::key("replicated.conf", Fault::AccessDenied(None)));
    let run = front.boots();
    run.assert_code(1);
    let cause = front.record()["cause"].to_string();
    for words in ["s3.no_such_key", "s3.access_denied", "license.rli", "replicated.conf"] {
        run.assert_says(words);
        assert!(cause.contains(words), "no {words} in {cause}");
    }
    assert!(!cause.contains("services-box/settings.conf"), "{cause}");
    assert_eq!(front.completions(), ["ABANDON"]);
}

/// Signatures are verified here: what this server gives was asked for as AWS would have it.
#[test]
fn requests_are_signed_as_s3_verifies_it() {
    let s3 = S3Server::verifying();
    let front = Front::before(&s3);
    let keys = |secret: &str| {
        front.boot().env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret)
    };
    let mut boot = keys(s3::SECRET_KEY).spawn();
    boot.wait_for_line("place      done", A_MOMENT);
    boot.kill();
    assert!(front.everything_is_placed());

    let forged = keys("another/secret+key").run(A_MOMENT);
    forged.assert_code(1).assert_says("s3.invalid_credentials").assert_says("SignatureDoesNotMatch");
}

const EXTRA: &str = r#"
[[extra]]
object = "ca/internal.crt"
path = "/opt/ca/internal.crt"
mode = "0644"
[[extra]]
object = "encryption keys/"
path = "/data/circle/circleci-encryption-keys/"
mode = "0600"
[[extra]]
object = "config.yml"
path = "/etc/circleconfig/config.yml"
"#;

#[test]
fn extra_files_and_trees_are_placed_with_mode_and_owner() {
    let from_s3 = Front::new();
    let from_directory = Front::new();
    for (name, content) in [
        ("ca/internal.crt", "a certificate"),
        ("encryption keys/a", "a key"),
        ("encryption keys/deep/er/b", "another key"),
        ("config.yml", "a: 1"),
    ] {
        from_s3.s3.put(&from_s3.bucket, &format!("services-box/{}", name.replace(' ', "%20")), content);
        from_directory.world.write(&format!("/srv/bundle/{name}"), content);
    }
    for (name, content) in super::front::bundle() {
        from_directory.world.write(&format!("/srv/bundle/{name}"), content);
    }
    let of_bucket = from_s3.source();
    for (front, source) in [(&from_s3, of_bucket.as_str()), (&from_directory, "file:///srv/bundle")] {
        front.settings(EXTRA);
        let mut boot = front.boot_from(source).spawn();
        boot.wait_for_line("place      done", A_MOMENT);
        boot.kill();
        for (path, mode, content) in [
            ("/opt/ca/internal.crt", 0o644, "a certificate"),
            ("/data/circle/circleci-encryption-keys/a", 0o600, "a key"),
            ("/data/circle/circleci-encryption-keys/deep/er/b", 0o600, "another key"),
            ("/etc/circleconfig/config.yml", 0o640, "a: 1"),
        ] {
            assert_eq!(front.world.read(path), content, "{path} of {source}");
            assert_eq!(front.world.mode(path), mode, "{path} of {source}");
            let metadata = fs::metadata(front.world.path(path)).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (0, 997), "{path} of {source}");
        }
        for path in PLACED {
            let metadata = fs::metadata(front.world.path(path)).unwrap();
            let access = (metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid());
            assert_eq!(access, (0o640, 0, 997), "{path} of {source}");
        }
    }
}

#[test]
fn an_extra_file_that_is_missing_is_named_with_the_others() {
    let front = Front::new();
    front.settings("[[extra]]\nobject = \"ca.crt\"\npath = \"/etc/ca.crt\"\n");
    front.s3.delete(&front.bucket, "services-box/license.rli");
    let cause = front.fails_with("s3.no_such_key", "config").to_string();
    assert!(cause.contains("services-box/ca.crt") && cause.contains("services-box/license.rli"), "{cause}");
}

#[test]
fn a_key_that_leads_out_of_its_directory_is_refused() {
    let front = Front::new();
    front.settings("[[extra]]\nobject = \"tree/\"\npath = \"/etc/circleconfig/\"\n");
    // curl would take the dots away before it asks, so the one that is written here is encoded.
    front.s3.put(&front.bucket, "services-box/tree/%2E%2E%2F%2E%2E%2Fcron.d%2Fevil", "* * * * * root id");
    let cause = front.fails_with("source.unsafe_key", "config");
    assert!(cause.to_string().contains("../../cron.d/evil"), "{cause}");
    assert!(!front.world.exists("/cron.d/evil") && !front.world.exists("/etc/cron.d/evil"));
}

/// A DNS server that is dead, and one that is slow: both take longer than a connection may, and neither is a reason to
/// say that S3 cannot be reached.
#[test]
fn a_slow_name_is_no_unreachable_s3() {
    let s3 = S3Server::verifying();
    let front = Front::before(&s3);
    let dead = || Server::start(Manner::Silent);
    let late = Server::start(Manner::Late(3500, "s3.internal 127.0.0.1"));
    for servers in [vec![dead(), Server::start(Manner::Knows("s3.internal 127.0.0.1"))], vec![late]] {
        let lines: String = servers.iter().map(|server| format!("nameserver {}\n", server.address)).collect();
        front.world.write("/etc/resolv.conf", lines + "options timeout:4\n");
        Agent::new(&front.world)
            .args(["check", &front.source()])
            .env("AWS_ENDPOINT_URL_S3", s3.url().replace("127.0.0.1", "s3.internal"))
            .env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)
            .run(SOON)
            .assert_code(0)
            .assert_says("valid");
    }
}

/// What is read into memory has a limit; objects have one of their own.
#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sent = counted.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 8192]);
                let head =
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\n\r\n<Error><Message>";
                let _ = stream.write_all(head.as_bytes());
                while stream.write_all(&[b'x'; 65536]).is_ok() {
                    sent.fetch_add(65536, Ordering::SeqCst);
                }
            });
        }
    });
    let front = Front::new().at(&url);
    let finished = Agent::new(&front.world).args(["check", &front.source()]).run(SOON);
    finished.assert_code(1).assert_says("s3.");
    // Five requests at most, each with its limit of 8 MiB and what lies in the buffers of its connection.
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 5 * 24 * 1024 * 1024, "{sent} bytes\n{finished}");
}

fn text<'v>(cause: &'v Value, name: &str) -> &'v str {
    cause[name].as_str().unwrap_or_else(|| panic!("no {name} in {cause}"))
}

/// A good bundle behind a proxy that does what it is told.
fn behind_faults() -> (Front<'static>, s3_faults::Handle) {
    let front = Front::new();
    let faults = s3_faults::start(Config::before(&front.s3.url())).unwrap();
    (front.at(&faults.url()), faults)
}
