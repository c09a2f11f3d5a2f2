//! The proxy, asked by the real SDK. The server behind is a few lines that keep what reached them: a real one
//! stands there in the project's own tests.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use stand_ins::s3_faults::{self, Config, Fault, Handle, Rule};

const CONTENT: &str = "the object's content";
/// CRC-32 of the content, so that the SDK notices a flipped byte.
const CHECKSUM: &str = "PifgmQ==";

/// Answers every request with the content, and keeps the heads of the requests.
fn upstream() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            kept.lock().unwrap().push(String::from_utf8(head).unwrap());
            let length = CONTENT.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nx-amz-checksum-crc32: {CHECKSUM}\r\n\r\n"
            );
            stream.write_all((head + CONTENT).as_bytes()).unwrap();
        }
    });
    (url, heads)
}

fn proxy() -> Handle {
    s3_faults::start(Config::before(&upstream().0)).unwrap()
}

fn client(server: &Handle, region: &'static str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new("AKIAEXAMPLE", "secret", None, None, "test"))
        .endpoint_url(server.url())
        .force_path_style(true)
        .http_client(Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

type Refused = SdkError<GetObjectError, HttpResponse>;

fn get_in(server: &Handle, region: &'static str, key: &str) -> Result<Result<String, String>, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = client(server, region);
        let answer = client.get_object().bucket("bucket").key(key).send().await?;
        let body = answer.body.collect().await;
        Ok(body.map(|body| String::from_utf8(body.to_vec()).unwrap()).map_err(|error| format!("{error:?}")))
    })
}

fn get(server: &Handle, key: &str) -> Result<Result<String, String>, Refused> {
    get_in(server, "us-east-1", key)
}

/// The status, the code, the message and the headers.
fn refused(server: &Handle, key: &str) -> (u16, String, String) {
    let error = get(server, key).unwrap_err();
    let status = error.raw_response().unwrap().status().as_u16();
    (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

#[test]
fn without_a_rule_nothing_changes() {
    let (url, heads) = upstream();
    let server = s3_faults::start(Config::before(&url)).unwrap();
    assert_eq!(get(&server, "prefix/a b+c.rli").unwrap().unwrap(), CONTENT);
    let head = heads.lock().unwrap()[0].clone();
    let own = server.url();
    let host = own.trim_start_matches("http://");
    assert!(head.contains(&format!("host: {host}\r\n")), "the signature covers the host: {head}");
    assert!(head.starts_with("GET /bucket/prefix/a%20b%2Bc.rli?x-id=GetObject HTTP/1.1"), "{head}");
    let call = &server.calls()[0];
    assert_eq!(
        (call.path.as_str(), call.status, call.struck),
        ("/bucket/prefix/a b+c.rli", Some(200), false)
    );
    assert_eq!(
        (call.region.as_deref(), call.access_key.as_deref()),
        (Some("us-east-1"), Some("AKIAEXAMPLE"))
    );
}

#[test]
fn each_refusal_is_in_the_words_of_s3() {
    let server = proxy();
    for (fault, status, code, words) in [
        (Fault::AccessDenied(None), 403, "AccessDenied", "Access Denied"),
        (
            Fault::KmsDenied,
            403,
            "AccessDenied",
            "is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:",
        ),
        (Fault::NoSuchKey, 404, "NoSuchKey", "The specified key does not exist."),
        (
            Fault::PermanentRedirect("eu-west-1".into()),
            301,
            "PermanentRedirect",
            "using the specified endpoint",
        ),
        (
            Fault::WrongRegion("eu-west-1".into()),
            400,
            "AuthorizationHeaderMalformed",
            "'us-east-1' is wrong; expecting 'eu-west-1'",
        ),
        (Fault::SlowDown, 503, "SlowDown", "Please reduce your request rate."),
        (Fault::InternalError, 500, "InternalError", "internal error"),
        (Fault::ClockSkew(3600), 403, "RequestTimeTooSkewed", "The difference between the request time"),
    ] {
        server.rule(Rule::key("license.rli", fault.clone()));
        let (seen_status, seen_code, message) = refused(&server, "prefix/license.rli");
        assert_eq!((seen_status, seen_code.as_str()), (status, code), "{fault:?}");
        assert!(message.contains(words), "{fault:?}: {message}");
        assert_eq!(
            get(&server, "prefix/settings.conf").unwrap().unwrap(),
            CONTENT,
            "another key is untouched"
        );
        server.cure();
    }
}

#[test]
fn a_fault_ends_after_so_many_requests() {
    let server = proxy();
    server.rule("license.rli slow-down 2".parse().unwrap());
    assert_eq!(refused(&server, "license.rli").1, "SlowDown");
    assert_eq!(refused(&server, "license.rli").1, "SlowDown");
    assert_eq!(get(&server, "license.rli").unwrap().unwrap(), CONTENT);
}

#[test]
fn the_wrong_region_is_wrong_until_the_right_one_signs() {
    let server = proxy();
    for fault in [Fault::PermanentRedirect("eu-west-1".into()), Fault::WrongRegion("eu-west-1".into())] {
        server.rule(Rule::all(fault.clone()));
        let error = get(&server, "k").unwrap_err();
        assert_eq!(error.raw_response().unwrap().headers().get("x-amz-bucket-region"), Some("eu-west-1"));
        assert_eq!(get_in(&server, "eu-west-1", "k").unwrap().unwrap(), CONTENT);
        server.cure();
        server.rule(Rule::all(fault).stubborn());
        get_in(&server, "eu-west-1", "k").unwrap_err();
        server.cure();
    }
}

#[test]
fn a_skewed_clock_comes_with_both_times() {
    let server = proxy();
    server.rule(Rule::all(Fault::ClockSkew(-3600)));
    let error = get(&server, "k").unwrap_err();
    let body = String::from_utf8(error.raw_response().unwrap().body().bytes().unwrap().to_vec()).unwrap();
    for element in ["<RequestTime>20", "<ServerTime>20", "<MaxAllowedSkewMilliseconds>900000<"] {
        assert!(body.contains(element), "{element}: {body}");
    }
}

#[test]
fn bodies_are_cut_short_corrupted_and_late() {
    let server = proxy();
    server.rule(Rule::key("k", Fault::CutShort(5)));
    get(&server, "k").unwrap().unwrap_err();
    server.cure();
    server.rule(Rule::key("k", Fault::Corrupted));
    let error = get(&server, "k").unwrap().unwrap_err();
    assert!(error.to_lowercase().contains("checksum"), "{error}");
    server.cure();
    server.rule(Rule::key("k", Fault::Delayed(Duration::from_millis(300))));
    let started = Instant::now();
    assert_eq!(get(&server, "k").unwrap().unwrap(), CONTENT);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn silence_is_recorded_at_once() {
    let server = proxy();
    server.rule(Rule::all(Fault::Silent));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = client(&server, "us-east-1");
                let call = client.get_object().bucket("bucket").key("k").send();
                assert!(tokio::time::timeout(Duration::from_secs(2), call).await.is_err());
            });
        });
        assert!(
            server.wait_for(Duration::from_secs(60), |calls| calls.len() == 1 && calls[0].status.is_none())
        );
    });
}
