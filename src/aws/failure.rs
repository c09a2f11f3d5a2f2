//! Failures common to all AWS services: connectivity, clock, credentials, throttling.

use std::error::Error;
use std::io;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::cause::{self, Cause};
use crate::kind::Kind;
use crate::secret::url;

/// The next step for a wrong clock.
pub(super) const SET_CLOCK: &str =
    "Set the clock: chronyc makestep; see chronyc sources (AWS has a time server at 169.254.169.123).";

/// The cause kinds of one service.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) unreachable: Kind,
    pub(super) untrusted: Kind,
    pub(super) unavailable: Kind,
    pub(super) throttled: Kind,
    pub(super) clock_skew: Kind,
    pub(super) invalid_credentials: Kind,
    pub(super) bad_answer: Kind,
    /// The environment variable that overrides this service's endpoint.
    pub(super) endpoint_variable: &'static str,
}

/// A service's error response.
#[derive(Debug, Default, Clone)]
pub(super) struct ErrorResponse {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) body: String,
    /// The bucket's region, from an S3 header.
    pub(super) bucket_region: Option<String>,
    request_id: Option<String>,
    extended_request_id: Option<String>,
    date: Option<String>,
}

impl ErrorResponse {
    /// The error response; `None` if there was no response.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let raw = error.raw_response()?;
        let header = |name: &str| raw.headers().get(name).map(str::to_owned);
        let body =
            raw.body().bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
        let code = metadata.and_then(|it| it.code()).map(str::to_owned).or_else(|| element(&body, "Code"));
        let message =
            metadata.and_then(|it| it.message()).map(str::to_owned).or_else(|| element(&body, "Message"));
        Some(ErrorResponse {
            status: raw.status().as_u16(),
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
            bucket_region: header("x-amz-bucket-region").or_else(|| element(&body, "Region")),
            request_id: header("x-amz-request-id").or_else(|| header("x-amzn-requestid")),
            extended_request_id: header("x-amz-id-2"),
            date: header("date"),
            body,
        })
    }

    /// Adds the service's message.
    pub(super) fn told(&self, mut cause: Cause) -> Cause {
        let words = match (self.code.as_str(), self.message.as_str()) {
            ("", "") => String::new(),
            (code, "") => format!(", {code}"),
            ("", message) => format!(", {message}"),
            (code, message) => format!(", {code}: {message}"),
        };
        cause = cause.with("answer", format!("HTTP {}{words}", self.status));
        if let Some(id) = &self.request_id {
            cause = cause.with("request id", id);
        }
        if let Some(id) = &self.extended_request_id {
            cause = cause.with("extended request id", id);
        }
        cause
    }

    /// Causes common to all services; `None` if the error is specific to the service.
    pub(super) fn common(&self, service: &Service) -> Option<Cause> {
        let name = service.name;
        let says_skew =
            self.message.contains("Signature expired") || self.message.contains("Signature not yet current");
        let cause = match self.code.as_str() {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => self.skewed(service),
            _ if says_skew => self.skewed(service),
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded" => self.throttled(service),
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpiredException" => Cause::external(
                service.invalid_credentials,
                format!("The AWS credentials have expired, according to {name}."),
                "If they come from the instance role, wait: they are renewed automatically. Otherwise renew them.",
            ),
            "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidToken" => Cause::config(
                service.invalid_credentials,
                format!("{name} does not recognize these AWS credentials."),
                "Check AWS_ACCESS_KEY_ID and AWS_PROFILE; unset both to use the instance's role.",
            ),
            "SignatureDoesNotMatch" | "IncompleteSignature" | "AuthFailure" => Cause::config(
                service.invalid_credentials,
                format!("{name} rejects the signature: the secret key does not belong to the access key."),
                "Correct AWS_SECRET_ACCESS_KEY; unset it and AWS_ACCESS_KEY_ID to use the instance's role.",
            ),
            _ if self.status == 429 => self.throttled(service),
            _ if self.status >= 500 => Cause::external(
                service.unavailable,
                format!("{name} is temporarily unavailable."),
                "Wait; if it persists, see https://health.aws.amazon.com/.",
            ),
            _ => return None,
        };
        Some(self.told(cause))
    }

    /// An unexpected error response.
    pub(super) fn unexpected(&self, service: &Service) -> Cause {
        let name = service.name;
        // If the body has no code, the SDK derives one from the status; a service that rejects a request gives a code.
        let cause = if self.code.is_empty() || self.message.is_empty() {
            Cause::external(
                service.bad_answer,
                format!("The endpoint for {name} did not return a valid {name} response."),
                format!("Check {} and the proxy settings.", service.endpoint_variable),
            )
        } else {
            Cause::config(
                service.bad_answer,
                format!("{name} rejected the request: {}.", self.message.trim_end_matches('.')),
                "Check the settings named in the response.",
            )
        };
        self.told(cause)
    }

    fn throttled(&self, service: &Service) -> Cause {
        Cause::external(
            service.throttled,
            format!("{} is throttling requests.", service.name),
            "Wait; if it persists, find out what else in this account calls it.",
        )
    }

    fn skewed(&self, service: &Service) -> Cause {
        let own = element(&self.body, "RequestTime")
            .and_then(|text| compact_or_rfc3339(&text))
            .unwrap_or_else(Timestamp::now);
        let server = element(&self.body, "ServerTime")
            .and_then(|text| compact_or_rfc3339(&text))
            .or_else(|| self.date.as_deref().and_then(http_date));
        let name = service.name;
        let sentence = match server {
            Some(server) => {
                format!(
                    "This box's clock is {} {name}'s, so {name} rejects its requests.",
                    offset(own, server)
                )
            }
            None => format!("This box's clock is wrong, so {name} rejects its requests."),
        };
        let cause = Cause::host(service.clock_skew, sentence, SET_CLOCK).with("this box's time", own);
        match server {
            Some(server) => cause
                .with("server's time", server)
                .with("offset", offset(own, server).trim_end_matches(" of")),
            None => cause,
        }
    }
}

/// The cause of a request without a response, or with a response from something else.
pub(super) fn transport<E>(service: &Service, error: &SdkError<E, HttpResponse>) -> Cause
where
    E: Error + Send + Sync + 'static,
{
    let name = service.name;
    if let Some(cause) = cause_within(error) {
        return cause;
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return untrusted(service, tls);
    }
    let timed_out = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    let kind = find::<io::Error>(error).map(io::Error::kind);
    let said = cause::chain(error);
    let (sentence, next_step) = if timed_out {
        (
            format!("{name} did not respond in time."),
            "Check outbound connectivity: route table, NAT gateway or VPC endpoint, security group, network ACL; or set HTTPS_PROXY.",
        )
    } else if kind == Some(io::ErrorKind::ConnectionRefused) {
        (
            match proxy() {
                Some(_) => format!("The connection to {name}, or to the proxy in front of it, was refused."),
                None => {
                    format!(
                        "The connection to {name} was refused: the host is up, but nothing is listening on the port."
                    )
                }
            },
            "Check the endpoint and the proxy settings.",
        )
    } else if matches!(kind, Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)) {
        (format!("There is no route to {name}."), "Check the route table of this subnet.")
    } else {
        (
            format!("The connection to {name} was lost."),
            "Wait; if it persists, check the endpoint and the proxy settings.",
        )
    };
    let mut cause = Cause::external(service.unreachable, sentence, next_step).with("error", said);
    if let Some((variable, host)) = proxy() {
        cause = cause.with("proxy", format!("{variable}: {host}"));
    }
    let endpoints = [service.endpoint_variable, "AWS_ENDPOINT_URL"].into_iter();
    match endpoints.filter_map(|variable| Some((variable, std::env::var(variable).ok()?))).next() {
        Some((variable, url)) => cause.with("endpoint", format!("{variable}: {}", url::shown(&url))),
        None => cause,
    }
}

/// The variable that sets a proxy, and the proxy's host without userinfo.
fn proxy() -> Option<(&'static str, String)> {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].into_iter().find_map(|variable| {
        let url = reqwest::Url::parse(&std::env::var(variable).ok()?).ok()?;
        Some((variable, url.host_str()?.to_owned()))
    })
}

fn untrusted(service: &Service, error: &rustls::Error) -> Cause {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let name = service.name;
    match error {
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => {
            Cause::host(
                service.untrusted,
                format!("According to this box's clock, the certificate of {name} has expired or is not yet valid."),
                "Check the clock: chronyc tracking",
            )
            .with("this box's time", Timestamp::now())
        }
        rustls::Error::InvalidCertificate(_) => Cause::config(
            service.untrusted,
            format!("The certificate presented for {name} is not trusted: something is intercepting the TLS connection."),
            "If a proxy intercepts TLS here, point AWS_CA_BUNDLE at its CA certificate.",
        ),
        _ => Cause::external(
            service.untrusted,
            format!("The TLS handshake with {name} failed."),
            "Check the endpoint and the proxy settings.",
        ),
    }
    .with_error(error)
}

/// The cause that one of our own components (resolver, credentials) put into an error.
pub(super) fn cause_within(error: &(dyn Error + 'static)) -> Option<Cause> {
    find::<Cause>(error).cloned()
}

/// The first error of a type in a chain. `io::Error` does not return its inner error from `source`, so it is unwrapped
/// explicitly.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The text of the first such element in an XML document; sufficient for AWS's flat errors.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text.len() < 4096)
}

/// `20240501T101112Z` as in a signature, or RFC 3339.
fn compact_or_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

pub(super) fn offset(own: Timestamp, server: Timestamp) -> String {
    let seconds = own.as_second() - server.as_second();
    let direction = if seconds < 0 { "behind" } else { "ahead of" };
    let length = humantime::format_duration(std::time::Duration::from_secs(seconds.unsigned_abs()));
    format!("{length} {direction}")
}
