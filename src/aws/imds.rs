//! The instance metadata service (IMDS): version 2 only, and never through a proxy.
//!
//! The agent refuses to use IMDSv1: it gives the role's credentials to anyone who can make the box send a GET.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::try_join;
use jiff::Timestamp;
use reqwest::StatusCode;
use tokio::sync::Mutex;

use super::ec2::Hardware;
use crate::cause::{self, Cause};
use crate::http::{self, Http};
use crate::kind::Kind;

/// Request timeout, from connecting to the last byte. The service responds within milliseconds; a token request dropped
/// by the hop limit never gets a response, and is reported as that.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The requested token lifetime in seconds: six hours, the maximum.
const TOKEN_TTL: u64 = 21_600;

/// How long before it expires a token is replaced, so that none expires in transit.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// Response size limit in bytes. The largest item, credentials, has less than 2 KiB.
const LONGEST_ANSWER: usize = 64 * 1024;

const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";
const DEFAULT_ENDPOINT_IPV6: &str = "http://[fd00:ec2::254]";

/// The identity of this instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `i-` and hexadecimal digits.
    pub instance_id: String,
    /// E.g. `us-east-1`.
    pub region: String,
    /// E.g. `us-east-1a`.
    pub availability_zone: String,
    /// The primary private address, which Replicated listens on.
    pub local_ipv4: Ipv4Addr,
}

/// The IMDS client. Clones share one token and one connection pool.
#[derive(Debug, Clone)]
pub struct Imds {
    client: reqwest::Client,
    endpoint: String,
    token: Arc<Mutex<Option<Token>>>,
    hardware: Hardware,
}

#[derive(Debug, Clone)]
struct Token {
    value: String,
    until: Instant,
}

impl Imds {
    /// A client for `endpoint`, e.g. `http://169.254.169.254`; see [`endpoint`]. Sends nothing yet.
    ///
    /// # Errors
    /// `imds.endpoint` (config) if it is not an `http://` URL.
    pub fn new(http: &Http, endpoint: &str) -> Result<Self, Cause> {
        let usable = reqwest::Url::parse(endpoint).is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if !usable {
            return Err(Cause::config(
                Kind::ImdsEndpoint,
                "The address of the metadata service is not an http:// URL.",
                "Correct or unset AWS_EC2_METADATA_SERVICE_ENDPOINT.",
            )
            .with_url("endpoint", endpoint));
        }
        let client = http::build(http.direct()?.timeout(ATTEMPT_TIMEOUT))?;
        Ok(Imds {
            client,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: Arc::default(),
            hardware: Hardware::read(http.root()),
        })
    }

    /// The identity of this instance; its items are requested concurrently.
    ///
    /// # Errors
    /// As for [`Imds::item`]; `imds.bad_answer` (external) if the response is not from a metadata service.
    pub async fn identity(&self) -> Result<Identity, Cause> {
        let (instance_id, region, availability_zone, local_ipv4) = try_join!(
            self.checked("instance-id", is_instance_id),
            self.checked("placement/region", is_name),
            self.checked("placement/availability-zone", is_name),
            self.checked("local-ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
        )?;
        let local_ipv4 =
            local_ipv4.parse().map_err(|_| bad_answer(&self.endpoint, "local-ipv4", &local_ipv4))?;
        Ok(Identity { instance_id, region, availability_zone, local_ipv4 })
    }

    /// The target lifecycle state of this instance: `InService`, `Terminated`, `Warmed:Stopped`, …
    ///
    /// This is the target of a transition, not the current state. `None` if there is no transition, or no group.
    ///
    /// # Errors
    /// As for [`Imds::item`].
    pub async fn target_lifecycle_state(&self) -> Result<Option<String>, Cause> {
        let name = "autoscaling/target-lifecycle-state";
        let is_state =
            |text: &str| text.len() < 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ':');
        match self.item(name).await? {
            Some(text) if is_state(text.trim()) => Ok(Some(text.trim().to_owned())),
            Some(text) => Err(bad_answer(&self.endpoint, name, &text)),
            None => Ok(None),
        }
    }

    /// One item below `latest/meta-data/`; `None` if it does not exist.
    ///
    /// # Errors
    /// `imds.not_ec2` (config); `imds.unreachable`, `imds.unauthorized`, `imds.unavailable`, `imds.bad_answer` (all external);
    /// `imds.token_refused` and `imds.v1_only` (config).
    pub async fn item(&self, name: &str) -> Result<Option<String>, Cause> {
        let found = self.ask(name, &format!("meta-data/{name}")).await?;
        found.map(|bytes| self.text(name, bytes)).transpose()
    }

    /// The user-data, possibly compressed or binary; `None` if the instance has none.
    ///
    /// # Errors
    /// As for [`Imds::item`].
    pub async fn user_data(&self) -> Result<Option<Vec<u8>>, Cause> {
        self.ask("user-data", "user-data").await
    }

    async fn ask(&self, name: &str, path: &str) -> Result<Option<Vec<u8>>, Cause> {
        let token = self.token(None).await?;
        match self.get(name, path, &token).await? {
            Response::Unauthorized => {
                let token = self.token(Some(&token)).await?;
                match self.get(name, path, &token).await? {
                    Response::Unauthorized => Err(unauthorized(&self.endpoint, name)),
                    Response::Item(item) => Ok(item),
                }
            }
            Response::Item(item) => Ok(item),
        }
    }

    /// The service's time, to the second.
    ///
    /// # Errors
    /// `imds.unreachable`, `imds.bad_answer` (external).
    pub async fn time(&self) -> Result<Timestamp, Cause> {
        // Requests a token and discards it: any response has a Date header.
        let request = self
            .client
            .put(format!("{}/latest/api/token", self.endpoint))
            .header("x-aws-ec2-metadata-token-ttl-seconds", 1);
        let response = request.send().await.map_err(|error| self.unreachable("token", &error))?;
        super::clock::date_of(response.headers())
            .ok_or_else(|| bad_answer(&self.endpoint, "token", "no Date header"))
    }

    async fn checked(&self, name: &'static str, is_good: impl Fn(&str) -> bool) -> Result<String, Cause> {
        let Some(text) = self.item(name).await? else {
            return Err(no_item(&self.endpoint, name));
        };
        let text = text.trim();
        if is_good(text) { Ok(text.to_owned()) } else { Err(bad_answer(&self.endpoint, name, text)) }
    }

    /// The token; requested if there is none or if the current one is `rejected`. Concurrent callers share one request.
    async fn token(&self, rejected: Option<&str>) -> Result<String, Cause> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref()
            && token.until > Instant::now()
            && rejected != Some(token.value.as_str())
        {
            return Ok(token.value.clone());
        }
        *held = None;
        let asked = Instant::now();
        let request = self
            .client
            .put(format!("{}/latest/api/token", self.endpoint))
            .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL);
        let response = request.send().await.map_err(|error| self.unreachable("token", &error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(no_token(&self.endpoint, status));
        }
        let value = self.text("token", self.read(response, "token").await?)?;
        if value.is_empty() || value.len() > 1024 || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad_answer(&self.endpoint, "token", &value));
        }
        let until = asked + Duration::from_secs(TOKEN_TTL) - TOKEN_MARGIN;
        *held = Some(Token { value: value.clone(), until });
        Ok(value)
    }

    async fn get(&self, name: &str, path: &str, token: &str) -> Result<Response, Cause> {
        let request = self
            .client
            .get(format!("{}/latest/{path}", self.endpoint))
            .header("x-aws-ec2-metadata-token", token);
        let response = request.send().await.map_err(|error| self.unreachable(name, &error))?;
        match response.status() {
            StatusCode::OK => Ok(Response::Item(Some(self.read(response, name).await?))),
            StatusCode::NOT_FOUND => Ok(Response::Item(None)),
            StatusCode::UNAUTHORIZED => Ok(Response::Unauthorized),
            StatusCode::FORBIDDEN => Err(disabled(&self.endpoint)),
            status => Err(unavailable(&self.endpoint, name, status)),
        }
    }

    async fn read(&self, mut response: reqwest::Response, name: &str) -> Result<Vec<u8>, Cause> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(name, &error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                return Err(bad_answer(&self.endpoint, name, &format!("more than {LONGEST_ANSWER} bytes")));
            }
        }
        Ok(body)
    }

    /// Where nothing answers, or not in time. Only of EC2's own addresses does what machine this is tell why.
    fn unreachable(&self, name: &str, error: &reqwest::Error) -> Cause {
        let cause = unreachable(&self.endpoint, name, error);
        let is_default = [DEFAULT_ENDPOINT, DEFAULT_ENDPOINT_IPV6].contains(&self.endpoint.as_str());
        match self.hardware.other_vendor().filter(|_| is_default) {
            None => cause,
            Some(vendor) => {
                let mut elsewhere = Cause::config(
                    Kind::ImdsNotEc2,
                    "This machine is not an EC2 instance: no metadata service answers, and its firmware is not Amazon's.",
                    "Run this on the instance; elsewhere give region and credentials: AWS_REGION=… AWS_PROFILE=…",
                )
                .with("system vendor", vendor);
                elsewhere.evidence.extend(cause.evidence);
                elsewhere
            }
        }
    }

    fn text(&self, name: &str, bytes: Vec<u8>) -> Result<String, Cause> {
        String::from_utf8(bytes).map_err(|_| bad_answer(&self.endpoint, name, "not text"))
    }
}

enum Response {
    Item(Option<Vec<u8>>),
    Unauthorized,
}

/// The IMDS endpoint from the AWS SDK's variables: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else, by
/// `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` (`IPv4`, `IPv6`), one of the two well-known addresses.
pub fn endpoint(environment: impl Fn(&str) -> Option<String>) -> String {
    let set = |name| environment(name).filter(|value| !value.is_empty());
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| {
        let mode = set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
        let is_ipv6 = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        if is_ipv6 { DEFAULT_ENDPOINT_IPV6 } else { DEFAULT_ENDPOINT }.to_owned()
    })
}

/// The address of the metadata service, where its endpoint has one instead of a name.
pub fn address(environment: impl Fn(&str) -> Option<String>) -> Option<IpAddr> {
    let url = reqwest::Url::parse(&endpoint(environment)).ok()?;
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// `i-` and 8 (until 2016) or 17 hexadecimal digits; longer ones are accepted, since AWS reserves the right to extend
/// them.
fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|digits| {
        (8..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Regions and zones become parts of host names and IAM resources.
fn is_name(text: &str) -> bool {
    (3..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn unreachable(endpoint: &str, name: &str, error: &reqwest::Error) -> Cause {
    let refused = io_kind(error) == Some(std::io::ErrorKind::ConnectionRefused);
    let (sentence, next_step) = if refused {
        (
            "The metadata service refused the connection.",
            "Check that this is an EC2 instance and that no local firewall rule rejects connections to the metadata service (iptables -S OUTPUT).",
        )
    } else if error.is_timeout() && error.is_connect() {
        (
            "The metadata service cannot be reached.",
            "Check the route to it (ip route get 169.254.169.254) and that the launch template has not set \
             HttpEndpoint to disabled.",
        )
    } else if error.is_timeout() && name == "token" {
        (
            "The metadata service accepts connections but does not respond to a token request: its hop limit is too small for a container, or it is disabled.",
            "Set the hop limit: aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled \
             --http-put-response-hop-limit 2",
        )
    } else {
        (
            "The metadata service did not respond.",
            "Check the route to it: curl -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
             http://169.254.169.254/latest/api/token",
        )
    };
    let said = if error.is_timeout() && !refused {
        format!("no response within {} ms", ATTEMPT_TIMEOUT.as_millis())
    } else {
        cause::chain(error)
    };
    Cause::external(Kind::ImdsUnreachable, sentence, next_step)
        .with_url("endpoint", endpoint)
        .with("asked for", name)
        .with("error", said)
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// The response to the token request shows what kind of service this is; a GET without a token is never tried.
fn no_token(endpoint: &str, status: StatusCode) -> Cause {
    match status {
        StatusCode::FORBIDDEN => disabled(endpoint),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Cause::config(
            Kind::ImdsV1Only,
            "IMDSv2 is not available, and the agent never uses IMDSv1, which would give the role's credentials to anyone who can make this box send a request.",
            "Require tokens: aws ec2 modify-instance-metadata-options --instance-id ID --http-tokens required \
             --http-endpoint enabled (in the launch template: MetadataOptions, HttpTokens: required).",
        )
        .with_url("endpoint", endpoint)
        .with("response to the token request", status),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
            unauthorized(endpoint, "token").with("answer", status)
        }
        _ => unavailable(endpoint, "token", status),
    }
}

fn disabled(endpoint: &str) -> Cause {
    Cause::config(
        Kind::ImdsTokenRefused,
        "The metadata service rejected the request: it is disabled, or the request came through a proxy.",
        "Enable it: aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled --http-tokens \
         required",
    )
    .with_url("endpoint", endpoint)
    .with("answer", StatusCode::FORBIDDEN)
}

fn unauthorized(endpoint: &str, name: &str) -> Cause {
    Cause::external(
        Kind::ImdsUnauthorized,
        "The metadata service rejects the token that it has just issued.",
        "Check that AWS_EC2_METADATA_SERVICE_ENDPOINT points to one metadata service, not several behind one address.",
    )
    .with_url("endpoint", endpoint)
    .with("asked for", name)
}

fn unavailable(endpoint: &str, name: &str, status: StatusCode) -> Cause {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Cause::external(
            Kind::ImdsUnavailable,
            "The metadata service is temporarily unavailable.",
            "Wait; if it persists, check whether another program on this box is flooding the metadata service.",
        )
        .with_url("endpoint", endpoint)
        .with("asked for", name)
        .with("answer", status)
    } else {
        bad_answer(endpoint, name, &status.to_string())
    }
}

fn no_item(endpoint: &str, name: &str) -> Cause {
    Cause::external(
        Kind::ImdsNoItem,
        format!("The metadata service has no {name}."),
        "If the instance was just launched, wait; otherwise check its network interfaces and AWS_EC2_METADATA_SERVICE_ENDPOINT.",
    )
    .with_url("endpoint", endpoint)
    .with("item", name)
}

fn bad_answer(endpoint: &str, name: &str, text: &str) -> Cause {
    Cause::external(
        Kind::ImdsBadAnswer,
        format!("The metadata endpoint returned an invalid {name}."),
        "Check what responds at this address: it must not be a proxy or a captive portal.",
    )
    .with_url("endpoint", endpoint)
    .with("item", name)
    .with_quote("answer", text, 80)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(in crate::aws) mod tests;
