//! The metadata service when it is late, refuses, is gone, or is not what it should be.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stand_ins::imds::Fault;

use super::front::Front;
use super::harness::parts;
use super::scene::{SOON, Scene};

/// How long something may take that takes a moment, on a machine that runs other tests too.
const A_MOMENT: Duration = Duration::from_secs(90);

#[test]
#[ignore = "slow: 30 s"]
fn ten_seconds_late_is_shown_and_leads_to_continue() {
    for late in [Fault::SilentFor(Duration::from_secs(10)), Fault::RefusedFor(Duration::from_secs(10))] {
        let scene = Scene::new();
        scene.imds.inject(late);
        let finished = scene.boots();
        finished.assert_code(0).assert_says("identity   waiting").assert_says("imds.unreachable");
        assert!(finished.took > Duration::from_secs(9), "{finished}");
        assert_eq!(scene.completions(), ["CONTINUE"]);
        let record = scene.record();
        let identity = record["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "identity");
        assert_eq!(identity.unwrap()["waits"][0]["cause"]["kind"], "imds.unreachable");
    }
}

#[test]
fn a_service_that_refuses_tokens_ends_the_boot_at_once() {
    for fault in [Fault::TokenRefused, Fault::Disabled] {
        let cause = refused_with(fault, "imds.token_refused");
        assert!(cause.contains("--http-endpoint enabled"), "{cause}");
    }
}

#[test]
fn a_box_with_version_1_alone_is_refused_and_never_asked_without_a_token() {
    for status in [404, 405] {
        let cause = refused_with(Fault::V1Only(status), "imds.v1_only");
        assert!(cause.contains("IMDSv2") && cause.contains("--http-tokens required"), "{cause}");
    }
}

/// The boot fails without waiting, and no item was asked for without a token; the cause.
fn refused_with(fault: Fault, kind: &str) -> String {
    let front = Front::new();
    front.imds.inject(fault);
    let finished = front.boots();
    finished.assert_code(1).assert_says(kind);
    let cause = front.record()["cause"].clone();
    assert_eq!((&cause["kind"], &cause["class"]), (&kind.into(), &"config".into()));
    let calls = front.imds.calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.method == "PUT"), "{calls:?}");
    assert!(front.nothing_is_placed());
    cause.to_string()
}

#[test]
fn a_dead_service_ends_the_boot_when_the_wait_is_over() {
    for (fault, words) in [
        (Fault::Dead, "does not respond to a token request"),
        (Fault::TokenSilent, "hop limit"),
        (Fault::RefusedFor(Duration::from_secs(600)), "refused the connection"),
    ] {
        let front = Front::new();
        front.settings("[identity]\nwait = \"3s\"");
        front.imds.inject(fault);
        let finished = front.boots();
        finished.assert_code(3).assert_says("imds.unreachable").assert_says(words);
        let cause = &front.record()["cause"];
        assert_eq!(cause["class"], "external");
        assert!(cause["waited_seconds"].as_u64() >= Some(3), "{cause}");
        assert!(front.auto_scaling.calls().is_empty(), "nobody can be told who this is");
    }
}

#[test]
fn a_proxy_is_never_asked_for_the_metadata() {
    let recorder = Recorder::start();
    // Each proxy stops the boot when AWS is asked through it, which is what a proxy is for, and not before.
    for (proxy, stopped_by) in [
        (format!("http://127.0.0.1:{}", parts::free_port()), "autoscaling.unreachable"),
        (recorder.url(), "autoscaling."),
    ] {
        let front = Front::new();
        let mut boot = front.boot();
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            boot = boot.env(name, &proxy);
        }
        let mut boot = boot.env("NO_PROXY", "").spawn();
        boot.wait_for_line("identity   done", A_MOMENT);
        boot.wait_for_line(stopped_by, A_MOMENT);
        boot.kill();
        let calls = front.imds.calls();
        assert!(calls.iter().all(|call| !call.proxied), "{calls:?}");
        assert!(calls.iter().any(|call| call.path.contains("security-credentials")), "{calls:?}");
    }
    let seen = recorder.seen();
    assert!(seen.contains("DescribeAutoScalingInstances"), "{seen}");
    assert!(!seen.contains("/latest/") && !seen.contains("x-aws-ec2-metadata-token"), "{seen}");
}

#[test]
fn credentials_that_come_a_moment_late_are_waited_for() {
    let front = Front::new();
    let late = Duration::from_secs(2);
    front.imds.inject(Fault::MissingFor("iam".into(), late));
    let said = front.boots_until_placed();
    assert!(said.contains("credentials"), "{said}");
    let calls = front.imds.calls();
    let asked: Vec<_> = calls.iter().filter(|call| call.path.contains("/iam/")).collect();
    assert!(asked.iter().any(|call| call.status == Some(404)), "{asked:?}");
    assert!(asked.iter().any(|call| call.status == Some(200)), "{asked:?}");
}

#[test]
fn a_token_that_ends_early_is_replaced() {
    let scene = Scene::new();
    scene.imds.inject(Fault::ExpireTokenOnce);
    scene.boot().run(SOON).assert_code(0);
    let calls = scene.imds.calls();
    assert_eq!(calls.iter().filter(|call| call.method == "PUT").count(), 2, "{calls:?}");
}

/// A proxy that writes down what it is sent, and answers everything with 502.
struct Recorder {
    port: u16,
    seen: Arc<Mutex<String>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or(0);
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&head[..length]));
                let _ = stream
                    .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { port, seen }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }
}
