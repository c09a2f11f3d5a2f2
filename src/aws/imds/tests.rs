use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::cause::Class;
use crate::files::Root;
use crate::kind::Kind;

/// A service that answers each request by a function of its head, and keeps the heads.
pub(in crate::aws) struct Server {
    url: String,
    heads: Arc<StdMutex<Vec<String>>>,
}

impl Server {
    pub(in crate::aws) async fn start(
        answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(StdMutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), heads.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, kept) = (answer.clone(), kept.clone());
                tokio::spawn(async move {
                    let mut buffer = Vec::new();
                    let mut chunk = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                        buffer.extend_from_slice(&chunk[..read]);
                        if !buffer.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let head = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
                        let (status, body) = answer(&head);
                        kept.lock().unwrap().push(head);
                        let reply =
                            format!("HTTP/1.1 {status} Any\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        stream.write_all(reply.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Server { url, heads }
    }

    pub(in crate::aws) fn imds(&self) -> Imds {
        Imds::new(&Http::new(Root::default()), &self.url).unwrap()
    }

    pub(in crate::aws) fn count(&self, start: &str) -> usize {
        self.heads.lock().unwrap().iter().filter(|head| head.starts_with(start)).count()
    }
}

fn good(head: &str) -> (u16, String) {
    let path = head.split(' ').nth(1).unwrap();
    let text = match path {
        "/latest/api/token" => "a-token==",
        _ if !head.contains("x-aws-ec2-metadata-token: a-token==") => return (401, String::new()),
        "/latest/meta-data/instance-id" => "i-0a1b2c3d4e5f60718",
        "/latest/meta-data/placement/region" => "eu-west-1",
        "/latest/meta-data/placement/availability-zone" => "eu-west-1b\n",
        "/latest/meta-data/local-ipv4" => "10.0.1.23",
        _ => return (404, "<html>no such item</html>".to_owned()),
    };
    (200, text.to_owned())
}

#[tokio::test]
async fn an_identity_costs_one_token() {
    let server = Server::start(good).await;
    let imds = server.imds();
    let identity = imds.identity().await.unwrap();
    assert_eq!(identity.instance_id, "i-0a1b2c3d4e5f60718");
    assert_eq!(identity.availability_zone, "eu-west-1b");
    assert_eq!(imds.target_lifecycle_state().await, Ok(None));
    assert_eq!(server.count("PUT "), 1);
    assert!(server.heads.lock().unwrap()[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 21600"));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let tokens = StdMutex::new(VecDeque::from(["old", "new"]));
    let server = Server::start(move |head| match head {
        _ if head.starts_with("PUT ") => (200, tokens.lock().unwrap().pop_front().unwrap().to_owned()),
        _ if head.contains("token: new") => (200, "InService".to_owned()),
        _ => (401, String::new()),
    })
    .await;
    assert_eq!(server.imds().target_lifecycle_state().await.unwrap().as_deref(), Some("InService"));
    assert_eq!((server.count("PUT "), server.count("GET ")), (2, 2));
}

#[tokio::test]
async fn every_refusal_has_its_cause() {
    for (put, get, body, kind, class) in [
        (403, 0, "", Kind::ImdsTokenRefused, Class::Config),
        (404, 0, "", Kind::ImdsV1Only, Class::Config),
        (405, 0, "", Kind::ImdsV1Only, Class::Config),
        (503, 0, "", Kind::ImdsUnavailable, Class::External),
        (302, 0, "", Kind::ImdsBadAnswer, Class::External),
        (200, 401, "", Kind::ImdsUnauthorized, Class::External),
        (200, 403, "", Kind::ImdsTokenRefused, Class::Config),
        (200, 404, "", Kind::ImdsNoItem, Class::External),
        (200, 500, "", Kind::ImdsUnavailable, Class::External),
        (200, 200, "<html>Log in to the network</html>", Kind::ImdsBadAnswer, Class::External),
        (200, 200, "", Kind::ImdsBadAnswer, Class::External),
    ] {
        let server = Server::start(move |head| match head.starts_with("PUT ") {
            true => (put, "token".to_owned()),
            false => (get, body.to_owned()),
        })
        .await;
        let cause = server.imds().identity().await.unwrap_err();
        assert_eq!((cause.kind, cause.class), (kind, class), "PUT {put}, GET {get}: {cause:?}");
        if put != 200 {
            assert_eq!(server.count("GET "), 0, "version 1 must never be asked");
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let server = Server::start(|head| match head.starts_with("PUT ") {
        true => (200, "token".to_owned()),
        false => (200, "x".repeat(LONGEST_ANSWER + 1)),
    })
    .await;
    assert_eq!(server.imds().item("instance-id").await.unwrap_err().kind, Kind::ImdsBadAnswer);
}

#[tokio::test]
async fn silence_and_refusal_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let imds = Imds::new(&Http::new(Root::default()), &format!("http://{address}")).unwrap();
    let mut sentences = Vec::new();
    // On a machine that is busy enough, the two seconds can be over before the connection is made.
    while sentences.len() < 5 && !sentences.iter().any(|said: &String| said.contains("hop limit")) {
        let cause = imds.identity().await.unwrap_err();
        assert_eq!(cause.kind, Kind::ImdsUnreachable);
        sentences.push(cause.sentence);
    }
    assert!(sentences.iter().any(|said| said.contains("hop limit")), "{sentences:?}");
    // A port that is taken and on which nobody listens, so that no other test can be given it meanwhile.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = closed.local_addr().unwrap();
    let imds = Imds::new(&Http::new(Root::default()), &format!("http://{address}")).unwrap();
    let cause = imds.identity().await.unwrap_err();
    assert_eq!(cause.kind, Kind::ImdsUnreachable);
    assert!(cause.sentence.contains("refused"), "{cause}");
}

#[test]
fn the_endpoint_follows_the_sdks_variables() {
    let with = |name: &'static str, value: &'static str| {
        endpoint(move |asked| (asked == name).then(|| value.to_owned()))
    };
    assert_eq!(endpoint(|_| None), "http://169.254.169.254");
    assert_eq!(with("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"), "http://[fd00:ec2::254]");
    assert_eq!(with("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9/"), "http://127.0.0.1:9/");
    let http = Http::new(Root::default());
    for bad in ["https://169.254.169.254", "169.254.169.254", "http://", ""] {
        assert_eq!(Imds::new(&http, bad).unwrap_err().kind, Kind::ImdsEndpoint, "{bad}");
    }
}
