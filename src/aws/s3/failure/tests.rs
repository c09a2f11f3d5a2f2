use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::*;
use crate::cause::Class;
use crate::kind::Kind;

const GET: Request<'_> = Request { action: "s3:GetObject", bucket: "ha-bucket", key: "box/license.rli" };

fn error(
    status: u16,
    code: &str,
    message: &str,
    more: &str,
    headers: &[(&'static str, &'static str)],
) -> SdkError<GetObjectError, HttpResponse> {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>");
    let mut raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    for (name, value) in headers {
        raw.headers_mut().insert(*name, *value);
    }
    let metadata = ErrorMetadata::builder().code(code).message(message).build();
    SdkError::service_error(GetObjectError::generic(metadata), raw)
}

fn evidence<'a>(cause: &'a Cause, name: &str) -> &'a str {
    cause.evidence.iter().find(|it| it.name == name).map_or("", |it| &it.value)
}

#[test]
fn every_refusal_has_its_cause() {
    for (status, code, kind, class) in [
        (403, "AccessDenied", Kind::S3AccessDenied, Class::Config),
        (404, "NoSuchKey", Kind::S3NoSuchKey, Class::Config),
        (404, "NoSuchBucket", Kind::S3NoSuchBucket, Class::Config),
        (503, "SlowDown", Kind::S3SlowDown, Class::External),
        (500, "InternalError", Kind::S3Unavailable, Class::External),
        (403, "InvalidAccessKeyId", Kind::S3InvalidCredentials, Class::Config),
        (403, "SignatureDoesNotMatch", Kind::S3InvalidCredentials, Class::Config),
        (400, "ExpiredToken", Kind::S3InvalidCredentials, Class::External),
        (403, "InvalidObjectState", Kind::S3Archived, Class::Config),
        (400, "KMS.DisabledException", Kind::S3KmsUnusable, Class::Config),
        (301, "PermanentRedirect", Kind::S3WrongRegion, Class::Config),
        (400, "InvalidRequest", Kind::S3Refused, Class::Config),
    ] {
        let cause = of(&GET, &error(status, code, "Words.", "", &[("x-amz-request-id", "REQ1")])).cause;
        assert_eq!((cause.kind, cause.class), (kind, class), "{code}");
        assert_eq!(evidence(&cause, "object"), "s3://ha-bucket/box/license.rli");
        assert_eq!(evidence(&cause, "request id"), "REQ1");
        assert_eq!(evidence(&cause, "answer"), format!("HTTP {status}, {code}: Words."));
    }
}

#[test]
fn the_region_is_learnt_from_header_body_and_message() {
    let expecting =
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    for (error, region) in [
        (error(301, "PermanentRedirect", "", "", &[("x-amz-bucket-region", "eu-west-1")]), Some("eu-west-1")),
        (
            error(400, "AuthorizationHeaderMalformed", "", "<Region>eu-west-1</Region>", &[]),
            Some("eu-west-1"),
        ),
        (error(400, "AuthorizationHeaderMalformed", expecting, "", &[]), Some("eu-west-1")),
        (error(301, "PermanentRedirect", "", "", &[]), None),
        (error(301, "PermanentRedirect", "", "", &[("x-amz-bucket-region", "evil.example/")]), None),
        // S3 gives the region with other errors too; those are no reason to follow it.
        (error(403, "AccessDenied", "", "", &[("x-amz-bucket-region", "eu-west-1")]), None),
    ] {
        assert_eq!(of(&GET, &error).moved_to.as_deref(), region, "{error:?}");
    }
}

#[test]
fn kms_is_quoted() {
    let message = "User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: kms:Decrypt on resource: \
                   arn:aws:kms:us-east-1:1:key/12, because no identity-based policy allows it";
    let cause = of(&GET, &error(403, "AccessDenied", message, "", &[])).cause;
    assert_eq!(cause.kind, Kind::S3KmsDenied);
    assert!(cause.sentence.contains(message), "{cause}");
    assert_eq!(evidence(&cause, "KMS action"), "kms:Decrypt");
    assert_eq!(evidence(&cause, "KMS key"), "arn:aws:kms:us-east-1:1:key/12");
}

#[test]
fn a_denial_that_names_list_bucket_may_be_a_missing_object() {
    let message =
        "User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: s3:ListBucket on resource: x";
    let cause = of(&GET, &error(403, "AccessDenied", message, "", &[])).cause;
    assert_eq!(cause.kind, Kind::S3AccessDenied);
    assert!(cause.sentence.contains("does not exist, or"), "{cause}");
    let list = Request { action: "s3:ListBucket", bucket: "ha-bucket", key: "tree/" };
    let cause = of(&list, &error(403, "AccessDenied", "Access Denied", "", &[])).cause;
    assert!(cause.next_step.ends_with(r#""Action":"s3:ListBucket","Resource":"arn:aws:s3:::ha-bucket"}"#));
}

#[test]
fn a_wrong_clock_is_measured() {
    let times = "<RequestTime>20240501T101500Z</RequestTime><ServerTime>2024-05-01T10:00:00Z</ServerTime>";
    let cause = of(&GET, &error(403, "RequestTimeTooSkewed", "Too large.", times, &[])).cause;
    assert_eq!((cause.kind, cause.class), (Kind::S3ClockSkew, Class::Host));
    assert_eq!(evidence(&cause, "offset"), "15m ahead");
    assert_eq!(evidence(&cause, "this box's time"), "2024-05-01T10:15:00Z");
    assert_eq!(evidence(&cause, "server's time"), "2024-05-01T10:00:00Z");
    let dated = error(403, "RequestTimeTooSkewed", "", "", &[("date", "Wed, 01 May 2024 10:00:00 GMT")]);
    assert_eq!(evidence(&of(&GET, &dated).cause, "server's time"), "2024-05-01T10:00:00Z");
}
