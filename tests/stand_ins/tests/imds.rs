//! The metadata service, asked by the real SDK and by hand.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aws_config::imds::client::Client;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::Builder;
use stand_ins::imds::{self, Config, Fault, Handle, Instance};

fn client(server: &Handle) -> Client {
    let http = ProviderConfig::empty().with_http_client(Builder::new().build_http());
    let short = Duration::from_secs(5);
    let client = Client::builder().configure(&http).endpoint(server.url()).unwrap();
    client.connect_timeout(short).read_timeout(short).max_attempts(1).build()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn start(faults: Vec<Fault>) -> Handle {
    imds::start(Config { faults, ..Config::default() }).unwrap()
}

/// One request, on a connection of its own; the status and the body.
fn ask(server: &Handle, method: &str, path: &str, headers: &str) -> (u16, String) {
    try_ask(server, method, path, headers, Duration::from_secs(60)).unwrap()
}

fn try_ask(
    server: &Handle,
    method: &str,
    path: &str,
    headers: &str,
    patience: Duration,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: imds\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

fn token(server: &Handle) -> String {
    let (status, token) =
        ask(server, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n");
    assert_eq!(status, 200);
    format!("X-aws-ec2-metadata-token: {token}\r\n")
}

fn get(server: &Handle, path: &str) -> (u16, String) {
    let token = token(server);
    ask(server, "GET", path, &token)
}

#[test]
fn the_sdk_reads_items_and_credentials() {
    let server = start(Vec::new());
    block_on(async {
        let region = client(&server).get("/latest/meta-data/placement/region").await.unwrap();
        assert_eq!(region.as_ref(), "us-east-1");
        let provider = ImdsCredentialsProvider::builder().imds_client(client(&server)).build();
        let credentials = provider.provide_credentials().await.unwrap();
        assert_eq!(credentials.access_key_id(), "ASIAIOSFODNN7EXAMPLE");
        assert!(credentials.expiry().is_some());
        assert!(client(&server).get("/latest/meta-data/autoscaling/target-lifecycle-state").await.is_err());
    });
    assert!(server.calls().iter().all(|call| call.method == "PUT" || call.token));
}

#[test]
fn a_token_is_enforced() {
    let server = start(Vec::new());
    assert_eq!(ask(&server, "GET", "/latest/meta-data/instance-id", "").0, 401);
    assert_eq!(
        ask(&server, "GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token: no\r\n").0,
        401
    );
    assert_eq!(ask(&server, "PUT", "/latest/api/token", "").0, 400, "the time to live is required");
    let too_long = "X-aws-ec2-metadata-token-ttl-seconds: 21601\r\n";
    assert_eq!(ask(&server, "PUT", "/latest/api/token", too_long).0, 400);
    let proxied = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\nX-Forwarded-For: 10.0.0.1\r\n";
    assert_eq!(ask(&server, "PUT", "/latest/api/token", proxied).0, 403);
    assert!(server.calls().last().unwrap().proxied);
    assert_eq!(get(&server, "/latest/meta-data/instance-id"), (200, "i-0a1b2c3d4e5f60718".into()));
}

#[test]
fn a_token_expires() {
    let server = start(Vec::new());
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 5\r\n";
    let token = format!("X-aws-ec2-metadata-token: {}\r\n", ask(&server, "PUT", "/latest/api/token", ttl).1);
    assert_eq!(ask(&server, "GET", "/latest/meta-data/instance-id", &token).0, 200);
    std::thread::sleep(Duration::from_millis(5100));
    assert_eq!(ask(&server, "GET", "/latest/meta-data/instance-id", &token).0, 401);
}

#[test]
fn it_lists_what_cloud_init_walks_through() {
    let instance = Instance { public_key: Some("ssh-ed25519 AAAA me".into()), ..Instance::default() };
    let instance = Instance { user_data: Some(b"#!/bin/sh\n".to_vec()), ..instance };
    let server = imds::start(Config { instance, ..Config::default() }).unwrap();
    assert!(get(&server, "/").1.contains("2021-03-23\nlatest"));
    assert_eq!(get(&server, "/latest/").1, "dynamic\nmeta-data\nuser-data");
    let listing = get(&server, "/2009-04-04/meta-data/").1;
    let names: Vec<_> = listing.lines().collect();
    for name in ["instance-id", "local-ipv4", "placement/", "iam/", "public-keys/"] {
        assert!(names.contains(&name), "{name} is missing from {names:?}");
    }
    assert_eq!(get(&server, "/2021-03-23/meta-data/public-keys/").1, "0=services-box");
    assert_eq!(get(&server, "/2021-03-23/meta-data/public-keys/0/").1, "openssh-key");
    assert_eq!(get(&server, "/2016-09-02/meta-data/public-keys/0/openssh-key").1, "ssh-ed25519 AAAA me");
    assert_eq!(get(&server, "/latest/meta-data/iam/security-credentials/").1, "services-box");
    assert_eq!(get(&server, "/latest/user-data").1, "#!/bin/sh\n");
    assert!(get(&server, "/latest/dynamic/instance-identity/document").1.contains("\"instanceId\""));
    assert_eq!(get(&server, "/1999-01-01/meta-data/").0, 404);
}

#[test]
fn refused_until_its_time_then_served() {
    let started = Instant::now();
    let server = start(vec![Fault::RefusedFor(Duration::from_secs(2))]);
    let connect = || TcpStream::connect(server.url().trim_start_matches("http://"));
    while let Err(refused) = connect() {
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(get(&server, "/latest/meta-data/instance-id").0, 200);
    server.inject(Fault::RefusedFor(Duration::from_secs(600)));
    while connect().is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.cure();
    while connect().is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(&server, "/latest/meta-data/instance-id").0, 200);
}

#[test]
fn silent_until_its_time_then_served() {
    let started = Instant::now();
    let server = start(vec![Fault::SilentFor(Duration::from_millis(400))]);
    assert_eq!(get(&server, "/latest/meta-data/instance-id").0, 200);
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(server.calls()[0].status, None);
}

#[test]
fn each_fault_strikes_and_is_cured() {
    let server = start(vec![Fault::TokenRefused]);
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
    assert_eq!(ask(&server, "PUT", "/latest/api/token", ttl).0, 403);
    server.cure();
    let held = token(&server);
    let item = "/latest/meta-data/local-ipv4";

    server.inject(Fault::TokenSilent);
    let patience = Duration::from_millis(100);
    try_ask(&server, "PUT", "/latest/api/token", ttl, patience).unwrap_err();
    assert_eq!(ask(&server, "GET", item, &held).0, 200, "everything else answers");
    server.cure();

    server.inject(Fault::Dead);
    try_ask(&server, "GET", item, &held, patience).unwrap_err();
    server.cure();

    server.inject(Fault::V1Only(405));
    assert_eq!(ask(&server, "PUT", "/latest/api/token", ttl).0, 405);
    assert_eq!(ask(&server, "GET", item, ""), (200, "10.0.1.23".into()));
    server.cure();

    server.inject(Fault::Missing("local-ipv4".into()));
    assert_eq!(ask(&server, "GET", item, &held).0, 404);
    assert!(!ask(&server, "GET", "/latest/meta-data/", &held).1.contains("local-ipv4"));
    server.cure();

    server.inject(Fault::MissingFor("iam/security-credentials/".into(), Duration::from_secs(3)));
    let credentials = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(ask(&server, "GET", credentials, &held).0, 404);
    while ask(&server, "GET", credentials, &held).0 != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    server.cure();

    server.inject(Fault::Failing(503, 2));
    let statuses: Vec<_> = (0..3).map(|_| ask(&server, "GET", item, &held).0).collect();
    assert_eq!(statuses, [503, 503, 200]);

    server.inject(Fault::ExpireTokenOnce);
    assert_eq!(ask(&server, "GET", item, &held).0, 401);
    assert_eq!(get(&server, item).0, 200);
}

#[test]
fn it_takes_orders_while_it_runs() {
    let server = start(Vec::new());
    let order = |body: &str| {
        ask(&server, "PUT", imds::FAULTS_PATH, &format!("Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    assert_eq!(order("missing=local-ipv4\nfailing=500:1").0, 204);
    assert_eq!(ask(&server, "GET", "/latest/meta-data/local-ipv4", "").0, 500);
    assert_eq!(get(&server, "/latest/meta-data/local-ipv4").0, 404);
    assert_eq!(order("nonsense").0, 400);
    assert_eq!(order("").0, 204);
    assert_eq!(get(&server, "/latest/meta-data/local-ipv4").0, 200);
}

#[test]
fn calls_are_recorded_as_json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("calls.jsonl");
    let server = imds::start(Config { record: Some(record.clone()), ..Config::default() }).unwrap();
    get(&server, "/latest/meta-data/instance-id");
    let written = std::fs::read_to_string(record).unwrap();
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["path"], "/latest/meta-data/instance-id");
    assert_eq!(lines[1]["status"], 200);
    assert!(lines[1]["at"].as_f64().unwrap() >= lines[0]["at"].as_f64().unwrap());
}
