//! The Auto Scaling API, asked by the real SDK.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use aws_sdk_autoscaling::config::{BehaviorVersion, Region};
use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use stand_ins::autoscaling::{self, Config, Fault, Handle, Hook, Outcome, Pacing, Stage};

const ID: &str = "i-0a1b2c3d4e5f60718";
const GROUP: &str = "services-box";
const HOOK: &str = "services-box-launch";

fn client(server: &Handle) -> Client {
    let config = aws_sdk_autoscaling::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIA", "secret", None, None, "test"))
        .endpoint_url(server.url())
        .http_client(Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The HTTP status, the code and the message.
fn refused<E: ProvideErrorMetadata>(
    error: SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> (u16, String, String) {
    let status = error.raw_response().unwrap().status().as_u16();
    (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

async fn complete(client: &Client, result: &str) -> Result<(), (u16, String, String)> {
    let call = client.complete_lifecycle_action().auto_scaling_group_name(GROUP).lifecycle_hook_name(HOOK);
    call.instance_id(ID).lifecycle_action_result(result).send().await.map(drop).map_err(refused)
}

async fn heartbeat(client: &Client) -> Result<(), (u16, String, String)> {
    let call =
        client.record_lifecycle_action_heartbeat().auto_scaling_group_name(GROUP).lifecycle_hook_name(HOOK);
    call.instance_id(ID).send().await.map(drop).map_err(refused)
}

async fn described(client: &Client) -> Option<String> {
    let answer = client.describe_auto_scaling_instances().instance_ids(ID).send().await.unwrap();
    answer.auto_scaling_instances().first().map(|instance| instance.lifecycle_state().unwrap().to_owned())
}

/// Waits for a state that time brings.
async fn until(client: &Client, state: &str) {
    while described(client).await.as_deref() != Some(state) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_launch_is_described_beaten_and_completed() {
    let pacing = Pacing { proceed: Duration::from_secs(3), ..Pacing::default() };
    let server = autoscaling::start(Config { pacing, ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        let answer = client.describe_auto_scaling_instances().instance_ids(ID).send().await.unwrap();
        let instance = &answer.auto_scaling_instances()[0];
        assert_eq!(instance.auto_scaling_group_name(), Some(GROUP));
        assert_eq!(instance.lifecycle_state(), Some("Pending:Wait"));
        let answer = client.describe_lifecycle_hooks().auto_scaling_group_name(GROUP).send().await.unwrap();
        let hook = &answer.lifecycle_hooks()[0];
        assert_eq!(hook.lifecycle_transition(), Some("autoscaling:EC2_INSTANCE_LAUNCHING"));
        assert_eq!((hook.heartbeat_timeout(), hook.global_timeout()), (Some(3600), Some(172_800)));
        assert_eq!(hook.default_result(), Some("ABANDON"));
        let answer =
            client.describe_auto_scaling_groups().auto_scaling_group_names(GROUP).send().await.unwrap();
        assert_eq!(answer.auto_scaling_groups()[0].instances()[0].instance_id(), Some(ID));
        heartbeat(&client).await.unwrap();
        complete(&client, "CONTINUE").await.unwrap();
        assert_eq!(described(&client).await.unwrap(), "Pending:Proceed");
        until(&client, "InService").await;
        let (status, code, message) = complete(&client, "CONTINUE").await.unwrap_err();
        assert_eq!((status, code.as_str()), (400, "ValidationError"));
        assert_eq!(message, format!("No active Lifecycle Action found with instance ID {ID}"));
        assert_eq!(heartbeat(&client).await.unwrap_err().1, "ValidationError");
        client.set_instance_health().instance_id(ID).health_status("Unhealthy").send().await.unwrap();
        let answer = client.describe_auto_scaling_instances().send().await.unwrap();
        assert_eq!(answer.auto_scaling_instances()[0].health_status(), Some("Unhealthy"));
    });
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.region.as_deref() == Some("us-east-1")));
    let completed = server.calls_of("CompleteLifecycleAction");
    assert_eq!(completed[0].parameter("LifecycleActionResult"), "CONTINUE");
    assert_eq!((completed[0].status, completed[1].status), (Some(200), Some(400)));
    assert_eq!(completed[1].code.as_deref(), Some("ValidationError"));
    assert!(calls.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn abandon_and_silence_both_terminate() {
    let server = autoscaling::start(Config::default()).unwrap();
    block_on(async {
        let client = client(&server);
        complete(&client, "ABANDON").await.unwrap();
        assert_eq!(described(&client).await.unwrap(), "Terminating");
    });
    let hooks = vec![Hook::launching(HOOK).timeout(Duration::from_secs(6))];
    let server = autoscaling::start(Config { hooks, ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        let started = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        heartbeat(&client).await.unwrap();
        until(&client, "Terminating").await;
        assert!(started.elapsed() >= Duration::from_secs(8), "the heartbeat reset the timer");
        assert_eq!(complete(&client, "CONTINUE").await.unwrap_err().1, "ValidationError");
    });
}

#[test]
fn the_propagation_race_ends() {
    let server = autoscaling::start(Config { faults: vec![Fault::Race(2)], ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        assert_eq!(complete(&client, "CONTINUE").await.unwrap_err().1, "ValidationError");
        assert_eq!(described(&client).await.unwrap(), "Pending:Wait");
        assert_eq!(heartbeat(&client).await.unwrap_err().1, "ValidationError");
        complete(&client, "CONTINUE").await.unwrap();
        assert_eq!(described(&client).await.unwrap(), "InService");
    });
    let faults = vec![Fault::RaceFor(Duration::from_secs(3))];
    let server = autoscaling::start(Config { faults, ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        complete(&client, "CONTINUE").await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(3)).await;
        complete(&client, "CONTINUE").await.unwrap();
    });
}

#[test]
fn errors_are_those_of_aws() {
    let server = autoscaling::start(Config::default()).unwrap();
    block_on(async {
        let client = client(&server);
        server.inject("throttle=CompleteLifecycleAction:1".parse().unwrap());
        assert_eq!(
            complete(&client, "CONTINUE").await.unwrap_err(),
            (400, "Throttling".into(), "Rate exceeded".into())
        );
        heartbeat(&client).await.unwrap();
        server.inject("deny=RecordLifecycleActionHeartbeat".parse().unwrap());
        let (status, code, message) = heartbeat(&client).await.unwrap_err();
        assert_eq!((status, code.as_str()), (403, "AccessDenied"));
        assert!(message.starts_with("User: arn:aws:sts::123456789012:assumed-role/"), "{message}");
        assert!(
            message.contains("is not authorized to perform: autoscaling:RecordLifecycleActionHeartbeat"),
            "{message}"
        );
        server.cure();
        server.inject(Fault::Fail("*".into(), 1));
        assert_eq!(heartbeat(&client).await.unwrap_err().0, 500);
        server.inject(Fault::ExpiredToken);
        assert_eq!(heartbeat(&client).await.unwrap_err().1, "ExpiredToken");
        server.cure();
        let call = client.describe_lifecycle_hooks().auto_scaling_group_name("other").send().await;
        assert_eq!(refused(call.unwrap_err()).1, "ValidationError");
        assert_eq!(complete(&client, "PERHAPS").await.unwrap_err().1, "ValidationError");
        let call =
            client.set_instance_health().instance_id("i-other").health_status("Unhealthy").send().await;
        let (_, code, message) = refused(call.unwrap_err());
        assert_eq!((code.as_str(), message.contains("i-other")), ("ValidationError", true));
        complete(&client, "CONTINUE").await.unwrap();
    });
}

#[test]
fn no_group_no_hook_and_several_hooks() {
    let server = autoscaling::start(Config { group: None, ..Config::default() }).unwrap();
    block_on(async { assert_eq!(described(&client(&server)).await, None) });
    let server = autoscaling::start(Config { hooks: Vec::new(), ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        let answer = client.describe_lifecycle_hooks().auto_scaling_group_name(GROUP).send().await.unwrap();
        assert!(answer.lifecycle_hooks().is_empty());
        assert_eq!(described(&client).await.unwrap(), "InService");
    });
    let second = Hook { default_result: Outcome::Continue, ..Hook::launching("other") };
    let hooks = vec![Hook::launching(HOOK), second, Hook::terminating("end")];
    let server = autoscaling::start(Config { hooks, ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        let answer = client.describe_lifecycle_hooks().auto_scaling_group_name(GROUP).send().await.unwrap();
        assert_eq!(answer.lifecycle_hooks().len(), 3);
        complete(&client, "CONTINUE").await.unwrap();
        assert_eq!(described(&client).await.unwrap(), "Pending:Wait", "the other hook is still waited for");
    });
}

#[test]
fn the_warm_pool_fires_the_launch_hook_twice() {
    let server = autoscaling::start(Config { warmed: true, ..Config::default() }).unwrap();
    block_on(async {
        let client = client(&server);
        assert_eq!(described(&client).await.unwrap(), "Warmed:Pending:Wait");
        complete(&client, "CONTINUE").await.unwrap();
        assert_eq!(server.state(ID).unwrap(), "Warmed:Stopped");
        server.place(ID, Stage::Pending, false);
        assert_eq!(described(&client).await.unwrap(), "Pending:Wait");
        complete(&client, "CONTINUE").await.unwrap();
        assert_eq!(server.state(ID).unwrap(), "InService");
    });
}

#[test]
fn an_unsigned_call_is_refused() {
    use std::io::{Read, Write};
    let server = autoscaling::start(Config::default()).unwrap();
    let mut stream = std::net::TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    let body = "Action=DescribeAutoScalingInstances&Version=2011-01-01";
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("<Code>MissingAuthenticationToken</Code>"), "{answer}");
    assert_eq!(server.calls()[0].region, None);
}
