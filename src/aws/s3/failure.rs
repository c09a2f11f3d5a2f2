//! Failures of S3 requests.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::aws::failure::{self, ErrorResponse, Service};
use crate::cause::Cause;
use crate::kind::Kind;

const SERVICE: Service = Service {
    name: "S3",
    unreachable: Kind::S3Unreachable,
    untrusted: Kind::S3Tls,
    unavailable: Kind::S3Unavailable,
    throttled: Kind::S3SlowDown,
    clock_skew: Kind::S3ClockSkew,
    invalid_credentials: Kind::S3InvalidCredentials,
    bad_answer: Kind::S3Refused,
    endpoint_variable: "AWS_ENDPOINT_URL_S3",
};

/// The request.
pub(super) struct Request<'a> {
    /// The action as IAM names it.
    pub(super) action: &'static str,
    pub(super) bucket: &'a str,
    /// The object's key, or the prefix of a listing.
    pub(super) key: &'a str,
}

impl Request<'_> {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    fn statement(&self) -> String {
        let object = if self.action == "s3:ListBucket" { String::new() } else { format!("/{}", self.key) };
        let Request { action, bucket, .. } = self;
        format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"arn:aws:s3:::{bucket}{object}"}}"#)
    }

    fn about(&self, cause: Cause) -> Cause {
        cause.with("object", self.url())
    }
}

/// A failed attempt.
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// The bucket's region according to S3.
    pub(super) moved_to: Option<String>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Failure { cause, moved_to: None }
    }
}

pub(super) fn of<E>(request: &Request<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match ErrorResponse::of(error) {
        Some(refusal) => refused(request, &refusal),
        None => Failure::from(request.about(failure::transport(&SERVICE, error))),
    }
}

fn refused(request: &Request<'_>, refusal: &ErrorResponse) -> Failure {
    if let Some(cause) = refusal.common(&SERVICE) {
        return Failure::from(request.about(cause));
    }
    let moved = matches!(refusal.status, 301 | 307)
        || matches!(refusal.code.as_str(), "PermanentRedirect" | "AuthorizationHeaderMalformed");
    let named = refusal.bucket_region.clone().or_else(|| expected_region(&refusal.message));
    let moved_to = named.filter(|region| moved && is_region(region));
    let cause = match refusal.code.as_str() {
        _ if moved => wrong_region(request, moved_to.as_deref()),
        "NoSuchBucket" => Cause::config(
            Kind::S3NoSuchBucket,
            format!("The bucket {} does not exist.", request.bucket),
            "Correct the bucket name in the source.",
        ),
        // The second is for want of a body, in the answer to a HEAD.
        "NoSuchKey" | "NotFound" => Cause::config(
            Kind::S3NoSuchKey,
            format!("The object {} does not exist.", request.url()),
            format!("Upload it, or correct the prefix: aws s3 ls s3://{}/ --recursive", request.bucket),
        ),
        "PreconditionFailed" => Cause::external(
            Kind::S3Changed,
            format!("The object {} changed during the download.", request.url()),
            "Wait: the download restarts from the beginning.",
        ),
        "InvalidObjectState" => Cause::config(
            Kind::S3Archived,
            format!("The object {} is archived (Glacier) and cannot be read.", request.url()),
            "Restore it, and exclude its prefix from the bucket's lifecycle rule.",
        ),
        "RequestTimeout" | "OperationAborted" => {
            Cause::external(SERVICE.unavailable, "S3 is temporarily unavailable.", "Wait.")
        }
        code if code.starts_with("KMS.") => kms(request, refusal),
        _ if refusal.status == 403 && refusal.message.contains("kms:") => kms(request, refusal),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => access_denied(request, refusal),
        "" if refusal.status == 403 => access_denied(request, refusal),
        _ => return Failure::from(request.about(refusal.unexpected(&SERVICE))),
    };
    Failure { cause: refusal.told(request.about(cause)), moved_to }
}

/// S3 distinguishes a missing object from a forbidden one only for callers allowed to list the bucket.
fn access_denied(request: &Request<'_>, refusal: &ErrorResponse) -> Cause {
    let url = request.url();
    let bucket = request.bucket;
    if request.action != "s3:GetObject" {
        return Cause::config(
            Kind::S3AccessDenied,
            format!("This instance is not allowed to call {} on {url}.", request.action),
            format!("Add to the role's policy: {}", request.statement()),
        );
    }
    let list = format!(r#"{{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::{bucket}"}}"#);
    if refusal.message.contains("s3:ListBucket") {
        return Cause::config(
            Kind::S3AccessDenied,
            format!(
                "The object {url} does not exist, or this instance cannot tell whether it does: it lacks s3:ListBucket."
            ),
            format!("Upload the object if it is missing, and add to the role's policy: {list}"),
        );
    }
    Cause::config(
        Kind::S3AccessDenied,
        format!(
            "S3 denied access to {url}: either this instance lacks s3:GetObject on it, or the object does not exist and this instance lacks s3:ListBucket."
        ),
        format!(
            "Check that the object exists, and add to the role's policy: {} and {list}",
            request.statement()
        ),
    )
}

fn kms(request: &Request<'_>, refusal: &ErrorResponse) -> Cause {
    let word = |wanted: fn(&str) -> bool| {
        let mut words = refusal
            .message
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| ",.;:()'\"".contains(c)));
        words.find(|word| wanted(word)).map(str::to_owned)
    };
    let action = word(|word| word.starts_with("kms:"));
    let key = word(|word| word.starts_with("arn:") && word.contains(":kms:"));
    let (wanted_action, resource) =
        (action.as_deref().unwrap_or("kms:Decrypt"), key.as_deref().unwrap_or("the key's ARN"));
    let said = refusal.message.trim_end_matches('.');
    let mut cause = if refusal.code.starts_with("KMS.") {
        Cause::config(
            Kind::S3KmsUnusable,
            format!("The KMS key of {} cannot be used: {said}.", request.url()),
            "Enable the key, or encrypt the object with another.",
        )
    } else {
        Cause::config(
            Kind::S3KmsDenied,
            format!(
                "S3 is not allowed to use the KMS key of {} on behalf of this instance: {said}.",
                request.url()
            ),
            format!(
                r#"Add to the role's policy (the key's policy must allow it too): {{"Effect":"Allow","Action":"{wanted_action}","Resource":"{resource}"}}"#
            ),
        )
    };
    if let Some(action) = &action {
        cause = cause.with("KMS action", action);
    }
    if let Some(key) = &key {
        cause = cause.with("KMS key", key);
    }
    cause
}

fn wrong_region(request: &Request<'_>, actual: Option<&str>) -> Cause {
    let bucket = request.bucket;
    match actual {
        Some(actual) => Cause::config(
            Kind::S3WrongRegion,
            format!("The bucket {bucket} is in {actual}."),
            format!("Set AWS_REGION={actual}, or use a bucket in this instance's region."),
        ),
        None => Cause::config(
            Kind::S3WrongRegion,
            format!("The bucket {bucket} is in another region, and S3 does not say which."),
            format!("Set AWS_REGION to the output of: aws s3api get-bucket-location --bucket {bucket}"),
        ),
    }
}

/// The warning about a bucket in another region than the instance.
pub(super) fn followed(bucket: &str, tried: &str, actual: &str) -> Cause {
    Cause::config(
        Kind::S3WrongRegion,
        format!("The bucket {bucket} is in {actual}, not in {tried}; it was read there."),
        "Use a bucket in this instance's region: a boot should not depend on another region.",
    )
}

/// "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'".
fn expected_region(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("expecting '")?;
    rest.split_once('\'').map(|(region, _)| region.to_owned())
}

/// Anything that is not a region name must not become part of the host name of a signed request.
fn is_region(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=64).contains(&text.len()) && text.bytes().all(is_part)
}

pub(super) fn too_large(request: &Request<'_>, length: Option<u64>, limit: usize) -> Cause {
    let size = length.map_or_else(|| "more".to_owned(), |length| format!("{length} bytes"));
    request.about(
        Cause::config(
            Kind::S3TooLarge,
            format!("The object {} is larger than {limit} bytes.", request.url()),
            "Check that the right file was uploaded under this name.",
        )
        .with("size", size),
    )
}

pub(super) fn too_many(request: &Request<'_>, most: usize) -> Cause {
    request.about(Cause::config(
        Kind::S3TooMany,
        format!("There are more than {most} objects under {}.", request.url()),
        "Use a prefix that contains only this box's files.",
    ))
}

pub(super) fn too_slow(request: &Request<'_>, allowed: Duration) -> Cause {
    request.about(Cause::external(
        SERVICE.unreachable,
        format!("The download of {} did not finish within {} s.", request.url(), allowed.as_secs()),
        "Check what limits this box's network throughput.",
    ))
}

pub(super) fn stalled(request: &Request<'_>, limit: Duration) -> Cause {
    request.about(Cause::external(
        SERVICE.unreachable,
        format!("The download of {} stalled: no data for {} s.", request.url(), limit.as_secs()),
        "Check the proxy or VPC endpoint in between, and the network of this box.",
    ))
}

pub(super) fn body_cut(request: &Request<'_>, length: Option<u64>, error: &str) -> Cause {
    let cause = Cause::external(
        Kind::S3BodyCut,
        format!("The download of {} was cut short.", request.url()),
        "Wait; if it persists, check the proxy or VPC endpoint in between.",
    );
    let cause = match length {
        Some(length) => cause.with("announced", format!("{length} bytes")),
        None => cause,
    };
    request.about(cause.with("error", error))
}

pub(super) fn checksum(request: &Request<'_>, error: &str) -> Cause {
    request.about(
        Cause::external(
            Kind::S3Checksum,
            format!(
                "The download of {} is corrupt: its checksum differs from the uploaded object's.",
                request.url()
            ),
            "Wait; if it persists, check the proxy in between, and upload the object again.",
        )
        .with("error", error),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
