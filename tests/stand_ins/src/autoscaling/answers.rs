//! The Query API's XML, as AWS writes it.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::machine::{Hook, Member, Outcome};
use crate::text::xml;

const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// The account in every ARN.
pub(super) const ACCOUNT: &str = "123456789012";

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// Also what AWS says when the action is over, or not yet known to the server that was asked.
    pub(super) fn not_active(instance: Option<&str>, token: Option<&str>) -> Self {
        Self::validation(match (instance, token) {
            (None, Some(token)) => format!("No active Lifecycle Action found with token {token}"),
            (instance, _) => {
                format!("No active Lifecycle Action found with instance ID {}", instance.unwrap_or("null"))
            }
        })
    }

    pub(super) fn throttled() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")
    }

    pub(super) fn internal() -> Self {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message)
    }

    pub(super) fn denied(action: &str, caller: &str, region: &str) -> Self {
        let because = format!("because no identity-based policy allows the autoscaling:{action} action");
        let resource =
            format!("arn:aws:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/*");
        // The Describe calls cannot be limited to a group, and AWS then names no resource but `*`.
        let resource = if action.starts_with("Describe") { "*" } else { &resource };
        let message = format!(
            "User: {caller} is not authorized to perform: autoscaling:{action} on resource: {resource} {because}"
        );
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    pub(super) fn expired_token() -> Self {
        let message = "The security token included in the request is expired";
        Self::new(StatusCode::FORBIDDEN, "ExpiredToken", message)
    }

    pub(super) fn unsigned() -> Self {
        let message = "Request is missing Authentication Token";
        Self::new(StatusCode::FORBIDDEN, "MissingAuthenticationToken", message)
    }

    pub(super) fn unknown_action(action: &str) -> Self {
        let message = format!("Could not find operation {action} for version 2011-01-01");
        Self::new(StatusCode::BAD_REQUEST, "InvalidAction", message)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        let field = parameter[..1].to_lowercase() + &parameter[1..];
        Self::validation(format!(
            "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not be null"
        ))
    }

    pub(super) fn render(&self, request_id: &str) -> Response {
        let side = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{side}</Type>\n    <Code>{}</Code>\n    \
             <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
            self.code,
            xml(&self.message),
        );
        respond(self.status, request_id, body)
    }
}

/// The answer to an action that went well; `result` is what stands inside `<ActionResult>`.
pub(super) fn success(action: &str, result: &str, request_id: &str) -> Response {
    // SetInstanceHealth has no result element at all.
    let result = match action {
        "SetInstanceHealth" => String::new(),
        _ => format!("<{action}Result>{result}</{action}Result>"),
    };
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata><RequestId>{request_id}</RequestId>\
         </ResponseMetadata></{action}Response>\n"
    );
    respond(StatusCode::OK, request_id, body)
}

fn respond(status: StatusCode, request_id: &str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/xml"),
        (header::HeaderName::from_static("x-amzn-requestid"), request_id),
    ];
    (status, headers, body).into_response()
}

fn element(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", xml(value))
}

/// A list element with one `<member>` for each.
pub(super) fn list(name: &str, members: impl IntoIterator<Item = String>) -> String {
    let members: String = members.into_iter().map(|member| format!("<member>{member}</member>")).collect();
    format!("<{name}>{members}</{name}>")
}

/// An instance, as `DescribeAutoScalingInstances` shows it.
pub(super) fn instance(member: &Member) -> String {
    element("AutoScalingGroupName", &member.group) + &instance_of_group(member)
}

/// An instance, as it stands inside its group.
fn instance_of_group(member: &Member) -> String {
    element("InstanceId", &member.id)
        + &element("AvailabilityZone", &member.availability_zone)
        + &element("LifecycleState", &member.state())
        + &element("HealthStatus", &member.health)
        + &element("ProtectedFromScaleIn", "false")
        + &element("InstanceType", "m5.2xlarge")
        + "<LaunchTemplate><LaunchTemplateId>lt-0123456789abcdef0</LaunchTemplateId>\
           <LaunchTemplateName>services-box</LaunchTemplateName><Version>1</Version></LaunchTemplate>"
}

/// A hook of `DescribeLifecycleHooks`.
pub(super) fn hook(group: &str, hook: &Hook) -> String {
    element("AutoScalingGroupName", group)
        + &element("LifecycleHookName", &hook.name)
        + &element("LifecycleTransition", hook.transition.name())
        + &element("HeartbeatTimeout", &hook.heartbeat_timeout.as_secs().to_string())
        + &element("GlobalTimeout", &hook.limit().as_secs().to_string())
        + &element("DefaultResult", Outcome::name(hook.default_result))
}

/// A group of one, as `DescribeAutoScalingGroups` shows it.
pub(super) fn group(name: &str, region: &str, members: &[&Member]) -> String {
    let arn = format!(
        "arn:aws:autoscaling:{region}:{ACCOUNT}:autoScalingGroup:\
         0f1e2d3c-4b5a-4978-8f60-123456789abc:autoScalingGroupName/{name}"
    );
    element("AutoScalingGroupName", name)
        + &element("AutoScalingGroupARN", &arn)
        + &element("MinSize", "1")
        + &element("MaxSize", "1")
        + &element("DesiredCapacity", "1")
        + &element("DefaultCooldown", "300")
        + &list("AvailabilityZones", [format!("{region}a")])
        + &element("HealthCheckType", "EC2")
        + &element("HealthCheckGracePeriod", "300")
        + &element("CreatedTime", "2024-05-01T10:00:00.000Z")
        + &list("Instances", members.iter().map(|member| instance_of_group(member)))
}
