//! Auto Scaling: the group of this instance, its launch hooks, heartbeats and completion.

mod lifecycle;

use std::time::Duration;

use aws_sdk_autoscaling::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Aws;
use super::failure::{self, ErrorResponse, Service};
use crate::cause::Cause;
use crate::kind::Kind;

pub use lifecycle::LifecycleState;

const SERVICE: Service = Service {
    name: "Auto Scaling",
    unreachable: Kind::AutoscalingUnreachable,
    untrusted: Kind::AutoscalingTls,
    unavailable: Kind::AutoscalingUnavailable,
    throttled: Kind::AutoscalingThrottled,
    clock_skew: Kind::AutoscalingClockSkew,
    invalid_credentials: Kind::AutoscalingInvalidCredentials,
    bad_answer: Kind::AutoscalingRefused,
    endpoint_variable: "AWS_ENDPOINT_URL_AUTO_SCALING",
};

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";

/// AWS's hook defaults, where the response has none: an hour for each heartbeat, and in total 100 heartbeats or 48
/// hours.
const DEFAULT_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3600);
const LONGEST_WAIT: Duration = Duration::from_secs(48 * 3600);

/// An instance as its Auto Scaling group describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group's name.
    pub group: String,
    /// The current lifecycle state.
    pub lifecycle_state: LifecycleState,
    /// `HEALTHY` or `UNHEALTHY`, as AWS writes it.
    pub health_status: String,
    /// Whether the instance is protected from scale-in.
    pub protected_from_scale_in: bool,
}

/// A launch hook of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name, unique within the group.
    pub name: String,
    /// How long the group waits after the launch or the last heartbeat.
    pub heartbeat_timeout: Duration,
    /// How long the group waits in total, regardless of heartbeats.
    pub global_timeout: Duration,
    /// What the group does on a timeout.
    pub default_result: ActionResult,
}

impl Hook {
    /// A hook of which only the name is known, with AWS's default timeouts.
    pub fn with_default_times(name: &str) -> Self {
        Hook {
            name: name.to_owned(),
            heartbeat_timeout: DEFAULT_HEARTBEAT_TIMEOUT,
            global_timeout: LONGEST_WAIT,
            default_result: ActionResult::Abandon,
        }
    }
}

/// The result of a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionResult {
    /// The instance goes into service.
    Continue,
    /// The instance is terminated and replaced.
    Abandon,
}

impl ActionResult {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        }
    }
}

/// AWS's response to completing or extending a lifecycle action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Done.
    Accepted,
    /// "No active Lifecycle Action found": already completed, expired, or not yet active (AWS is eventually consistent
    /// here). This proves nothing: use [`AutoScaling::describe_instance`].
    NotPending {
        /// AWS's message.
        message: String,
    },
}

/// The Auto Scaling client. Every call is one attempt.
///
/// All of them fail with: `autoscaling.access_denied` (config, names the action and the statement to add),
/// `autoscaling.throttled`, `autoscaling.unreachable`, `autoscaling.unavailable` (external), `autoscaling.tls`,
/// `autoscaling.invalid_credentials`, `autoscaling.clock_skew` (host; may pass, since chrony sets the clock shortly
/// after boot), `autoscaling.refused`, and those of [`Aws::find_credentials`] and [`crate::dns::Resolver::addresses`].
#[derive(Debug, Clone)]
pub struct AutoScaling {
    client: Client,
    aws: Aws,
}

impl AutoScaling {
    /// Creates the client.
    pub fn new(aws: &Aws) -> Self {
        AutoScaling { client: Client::new(&aws.sdk), aws: aws.clone() }
    }

    /// The group of an instance; `None` outside of one.
    ///
    /// # Errors
    /// See [`AutoScaling`].
    pub async fn describe_instance(&self, instance_id: &str) -> Result<Option<Membership>, Cause> {
        let call = self.client.describe_auto_scaling_instances().instance_ids(instance_id);
        let answer =
            call.send().await.map_err(|error| self.cause("DescribeAutoScalingInstances", None, &error))?;
        let instances = answer.auto_scaling_instances.unwrap_or_default();
        let found = instances.into_iter().find(|it| it.instance_id.as_deref() == Some(instance_id));
        Ok(found.map(|it| Membership {
            group: it.auto_scaling_group_name.unwrap_or_default(),
            lifecycle_state: LifecycleState::from(it.lifecycle_state.unwrap_or_default().as_str()),
            health_status: it.health_status.unwrap_or_default(),
            protected_from_scale_in: it.protected_from_scale_in.unwrap_or_default(),
        }))
    }

    /// The group's launch hooks. There can be several; each must be completed.
    ///
    /// # Errors
    /// See [`AutoScaling`].
    pub async fn launch_hooks(&self, group: &str) -> Result<Vec<Hook>, Cause> {
        let call = self.client.describe_lifecycle_hooks().auto_scaling_group_name(group);
        let answer =
            call.send().await.map_err(|error| self.cause("DescribeLifecycleHooks", Some(group), &error))?;
        let hooks = answer.lifecycle_hooks.unwrap_or_default().into_iter();
        Ok(hooks
            .filter(|hook| hook.lifecycle_transition.as_deref() == Some(LAUNCHING))
            .map(|hook| {
                let heartbeat_timeout = seconds(hook.heartbeat_timeout).unwrap_or(DEFAULT_HEARTBEAT_TIMEOUT);
                let longest = LONGEST_WAIT.min(heartbeat_timeout * 100);
                Hook {
                    name: hook.lifecycle_hook_name.unwrap_or_default(),
                    heartbeat_timeout,
                    global_timeout: seconds(hook.global_timeout).unwrap_or(longest),
                    default_result: match hook.default_result.as_deref() {
                        Some("CONTINUE") => ActionResult::Continue,
                        _ => ActionResult::Abandon,
                    },
                }
            })
            .collect())
    }

    /// Extends the group's wait by another [`Hook::heartbeat_timeout`] from now.
    ///
    /// # Errors
    /// See [`AutoScaling`].
    pub async fn record_heartbeat(
        &self,
        hook: &str,
        group: &str,
        instance_id: &str,
    ) -> Result<Acknowledgement, Cause> {
        let call = self
            .client
            .record_lifecycle_action_heartbeat()
            .lifecycle_hook_name(hook)
            .auto_scaling_group_name(group)
            .instance_id(instance_id);
        let answer = call.send().await.map(|_| ());
        self.acknowledged("RecordLifecycleActionHeartbeat", group, answer)
    }

    /// Ends the group's wait.
    ///
    /// # Errors
    /// See [`AutoScaling`].
    pub async fn complete(
        &self,
        hook: &str,
        group: &str,
        instance_id: &str,
        result: ActionResult,
    ) -> Result<Acknowledgement, Cause> {
        let call = self
            .client
            .complete_lifecycle_action()
            .lifecycle_hook_name(hook)
            .auto_scaling_group_name(group)
            .instance_id(instance_id)
            .lifecycle_action_result(result.as_str());
        let answer = call.send().await.map(|_| ());
        self.acknowledged("CompleteLifecycleAction", group, answer)
    }

    fn acknowledged<E>(
        &self,
        action: &str,
        group: &str,
        answer: Result<(), SdkError<E, HttpResponse>>,
    ) -> Result<Acknowledgement, Cause>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let Err(error) = answer else {
            return Ok(Acknowledgement::Accepted);
        };
        match ErrorResponse::of(&error) {
            Some(refusal) if is_not_pending(&refusal) => {
                Ok(Acknowledgement::NotPending { message: refusal.message })
            }
            _ => Err(self.cause(action, Some(group), &error)),
        }
    }

    fn cause<E>(&self, action: &str, group: Option<&str>, error: &SdkError<E, HttpResponse>) -> Cause
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let cause = match ErrorResponse::of(error) {
            Some(refusal) => refused(&refusal, action, group, self.aws.region()),
            None => failure::transport(&SERVICE, error),
        };
        self.aws.forget_if_expired(&cause);
        cause.with("action", format!("autoscaling:{action}"))
    }
}

fn seconds(value: Option<i32>) -> Option<Duration> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).map(Duration::from_secs)
}

/// AWS has one code for all invalid parameters; only the message distinguishes this one from a wrong name.
fn is_not_pending(refusal: &ErrorResponse) -> bool {
    refusal.code == "ValidationError" && refusal.message.starts_with("No active Lifecycle Action found")
}

fn refused(refusal: &ErrorResponse, action: &str, group: Option<&str>, region: &str) -> Cause {
    if let Some(cause) = refusal.common(&SERVICE) {
        return cause;
    }
    match refusal.code.as_str() {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => refusal.told(Cause::config(
            Kind::AutoscalingAccessDenied,
            format!("This instance is not allowed to call autoscaling:{action}."),
            format!("Add to the role's policy: {}", statement(action, group, region)),
        )),
        "ResourceContention" => refusal.told(Cause::external(
            Kind::AutoscalingContention,
            "Another operation on this Auto Scaling group is in progress.",
            "Wait.",
        )),
        "ValidationError" => refusal.told(Cause::config(
            Kind::AutoscalingRefused,
            format!("Auto Scaling rejected autoscaling:{action}: {}.", refusal.message.trim_end_matches('.')),
            "Check lifecycle.group and lifecycle.hook in agent.toml; if unset, the agent looks both up.",
        )),
        _ => refusal.unexpected(&SERVICE),
    }
}

/// Describe calls do not support resource-level permissions, so only `*` matches.
fn statement(action: &str, group: Option<&str>, region: &str) -> String {
    let resource = match group {
        Some(group) if !action.starts_with("Describe") => {
            let partition = if region.starts_with("cn-") {
                "aws-cn"
            } else if region.starts_with("us-gov-") {
                "aws-us-gov"
            } else {
                "aws"
            };
            format!("arn:{partition}:autoscaling:{region}:*:autoScalingGroup:*:autoScalingGroupName/{group}")
        }
        _ => "*".to_owned(),
    };
    format!(r#"{{"Effect":"Allow","Action":"autoscaling:{action}","Resource":"{resource}"}}"#)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
