//! S3's error answers, word for word.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::rule::Fault;
use crate::sigv4::Scope;
use crate::text::xml;

/// What the words of an error need to know of the request.
pub(super) struct Asked<'a> {
    /// Without a leading slash: bucket, then key.
    pub(super) path: &'a str,
    pub(super) scope: Option<&'a Scope>,
    /// `x-amz-date`.
    pub(super) date: &'a str,
    pub(super) number: u64,
}

/// The answer to a fault that needs no upstream; `None` for the others.
pub(super) fn refusal(fault: &Fault, asked: &Asked<'_>) -> Option<Response> {
    let (bucket, key) = asked.path.split_once('/').unwrap_or((asked.path, ""));
    let signed = asked.scope.map_or("us-east-1", |scope| scope.region.as_str());
    let error = match fault {
        Fault::AccessDenied(message) => {
            Error::new(StatusCode::FORBIDDEN, "AccessDenied", message.as_deref().unwrap_or("Access Denied"))
        }
        Fault::KmsDenied => {
            let message = format!(
                "User: arn:aws:sts::123456789012:assumed-role/services-box/i-0a1b2c3d4e5f60718 is not authorized to \
                 perform: kms:Decrypt on resource: arn:aws:kms:{signed}:123456789012:key/\
                 1234abcd-12ab-34cd-56ef-1234567890ab because no identity-based policy allows the kms:Decrypt action"
            );
            Error::new(StatusCode::FORBIDDEN, "AccessDenied", &message)
        }
        Fault::NoSuchKey => {
            Error::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
                .with("Key", key)
        }
        Fault::PermanentRedirect(right) => {
            let message = "The bucket you are attempting to access must be addressed using the specified endpoint. \
                           Please send all future requests to this endpoint.";
            Error::new(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect", message)
                .with("Endpoint", &format!("{bucket}.s3.{right}.amazonaws.com"))
                .with("Bucket", bucket)
                .region(right)
        }
        Fault::WrongRegion(right) => {
            let message = format!(
                "The authorization header is malformed; the region '{signed}' is wrong; expecting '{right}'"
            );
            Error::new(StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", &message)
                .with("Region", right)
                .region(right)
        }
        Fault::SlowDown => {
            Error::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
        }
        Fault::InternalError => {
            let message = "We encountered an internal error. Please try again.";
            Error::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
        }
        Fault::ClockSkew(seconds) => skewed(*seconds, asked.date),
        Fault::CutShort(_) | Fault::Corrupted | Fault::Delayed(_) | Fault::Silent => return None,
    };
    Some(error.render(asked.number))
}

fn skewed(seconds: i64, date: &str) -> Error {
    let server = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let message = "The difference between the request time and the current time is too large.";
    let mut error = Error::new(StatusCode::FORBIDDEN, "RequestTimeTooSkewed", message)
        .with("RequestTime", date)
        .with("ServerTime", &server.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .with("MaxAllowedSkewMilliseconds", "900000");
    error.date = Some(server);
    error
}

struct Error {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: String,
    region: Option<String>,
    date: Option<Timestamp>,
}

impl Error {
    fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), details: String::new(), region: None, date: None }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.details += &format!("<{name}>{}</{name}>", xml(value));
        self
    }

    fn region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    fn render(self, number: u64) -> Response {
        let id = format!("{number:016X}");
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{}\
             <RequestId>{id}</RequestId><HostId>c3RhbmQtaW4=</HostId></Error>",
            self.code,
            xml(&self.message),
            self.details,
        );
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/xml")], body).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(HeaderName::from_static("x-amz-request-id"), &id);
        set(HeaderName::from_static("x-amz-id-2"), "c3RhbmQtaW4=");
        if let Some(region) = &self.region {
            set(HeaderName::from_static("x-amz-bucket-region"), region);
        }
        if let Some(date) = self.date {
            set(header::DATE, &date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        response
    }
}
