use aws_sdk_autoscaling::operation::complete_lifecycle_action::CompleteLifecycleActionError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::*;
use crate::cause::Class;
use crate::kind::Kind;

fn answered(status: u16, code: &str, message: &str) -> SdkError<CompleteLifecycleActionError, HttpResponse> {
    let raw = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
    let metadata = ErrorMetadata::builder().code(code).message(message).build();
    SdkError::service_error(CompleteLifecycleActionError::generic(metadata), raw)
}

fn refusal(status: u16, code: &str, message: &str) -> ErrorResponse {
    ErrorResponse::of(&answered(status, code, message)).unwrap()
}

#[test]
fn not_pending_is_told_from_a_wrong_name() {
    let message = "No active Lifecycle Action found with instance ID i-0a1b2c3d4e5f60718";
    assert!(is_not_pending(&refusal(400, "ValidationError", message)));
    let wrong = refusal(400, "ValidationError", "AutoScalingGroup name not found - no such group: x");
    assert!(!is_not_pending(&wrong));
    assert_eq!(
        refused(&wrong, "CompleteLifecycleAction", Some("x"), "us-east-1").kind,
        Kind::AutoscalingRefused
    );
}

#[test]
fn every_refusal_has_its_cause() {
    for (status, code, message, kind, class) in [
        (400, "Throttling", "Rate exceeded", Kind::AutoscalingThrottled, Class::External),
        (403, "AccessDenied", "User: … is not authorized", Kind::AutoscalingAccessDenied, Class::Config),
        (500, "InternalFailure", "", Kind::AutoscalingUnavailable, Class::External),
        (503, "ServiceUnavailable", "", Kind::AutoscalingUnavailable, Class::External),
        (
            403,
            "ExpiredToken",
            "The security token is expired",
            Kind::AutoscalingInvalidCredentials,
            Class::External,
        ),
        (
            403,
            "InvalidClientTokenId",
            "The token is invalid",
            Kind::AutoscalingInvalidCredentials,
            Class::Config,
        ),
        (403, "SignatureDoesNotMatch", "does not match", Kind::AutoscalingInvalidCredentials, Class::Config),
        (
            403,
            "SignatureDoesNotMatch",
            "Signature expired: 20240501T100000Z is now earlier than 20240501T101000Z",
            Kind::AutoscalingClockSkew,
            Class::Host,
        ),
        (400, "ResourceContention", "pending update", Kind::AutoscalingContention, Class::External),
        (404, "", "", Kind::AutoscalingRefused, Class::External),
    ] {
        let cause =
            refused(&refusal(status, code, message), "CompleteLifecycleAction", Some("box"), "us-east-1");
        assert_eq!((cause.kind, cause.class), (kind, class), "{code}");
    }
}

#[test]
fn a_missing_permission_is_written_out() {
    let denied = refusal(403, "AccessDenied", "no");
    let cause = refused(&denied, "CompleteLifecycleAction", Some("box"), "us-gov-west-1");
    assert!(
        cause.next_step.ends_with(
            r#"{"Effect":"Allow","Action":"autoscaling:CompleteLifecycleAction","Resource":"arn:aws-us-gov:autoscaling:us-gov-west-1:*:autoScalingGroup:*:autoScalingGroupName/box"}"#
        ),
        "{}",
        cause.next_step
    );
    let cause = refused(&denied, "DescribeLifecycleHooks", Some("box"), "us-east-1");
    assert!(cause.next_step.ends_with(r#""Resource":"*"}"#), "{}", cause.next_step);
}
