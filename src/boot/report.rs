//! Stage 9, and the end of every failed boot: completes the lifecycle action.

use std::time::Duration;

use jiff::Timestamp;

use crate::aws::autoscaling::{Acknowledgement, ActionResult};
use crate::cause::Cause;
use crate::command::Achieved;
use crate::kind::Kind;
use crate::wait;

use super::lifecycle::Lifecycle;
use super::run::{Run, Stage};

/// Completes the lifecycle action with CONTINUE.
pub(super) async fn success(stage: &Stage<'_>, lifecycle: Option<&Lifecycle>) -> Result<Achieved<()>, Cause> {
    let Some(lifecycle) = lifecycle else {
        return Ok(Achieved::skipped((), "not in an Auto Scaling group"));
    };
    let Some(hook) = &lifecycle.hook else {
        return Ok(Achieved::skipped(
            (),
            format!("no lifecycle action of group {} is pending", lifecycle.group),
        ));
    };
    if stage.is_dry_run() {
        return Ok(Achieved::done((), format!("would complete hook {} with CONTINUE", hook.name)));
    }
    let limit = stage.run.settings.lifecycle.wait;
    let completed =
        complete(stage.run, lifecycle, ActionResult::Continue, limit, |cause| stage.waiting(cause)).await?;
    Ok(Achieved::done((), completed.said))
}

/// The result of completing the lifecycle action.
pub(super) struct Completed {
    /// The message.
    pub(super) said: String,
    /// Whether the group used this result.
    pub(super) acknowledged: bool,
}

impl Completed {
    fn acknowledged(said: impl Into<String>) -> Self {
        Completed { said: said.into(), acknowledged: true }
    }
}

/// Completes the lifecycle action, retrying until AWS acknowledges it; then records that.
///
/// # Errors
/// The last cause when `limit` has passed; `lifecycle.leaving` when the group terminates the box although it was to
/// continue.
pub(super) async fn complete(
    run: &Run,
    lifecycle: &Lifecycle,
    result: ActionResult,
    limit: Duration,
    waiting: impl FnMut(&Cause),
) -> Result<Completed, Cause> {
    let Some(hook) = &lifecycle.hook else {
        return Ok(Completed { said: String::new(), acknowledged: false });
    };
    let completed_before = run.record().instance.is_some_and(|instance| instance.completed_at.is_some());
    let completed = wait::until(limit, wait::is_external, waiting, async || {
        let answer = lifecycle
            .autoscaling
            .complete(&hook.name, &lifecycle.group, &lifecycle.instance_id, result)
            .await?;
        match answer {
            Acknowledgement::Accepted => {
                Ok(Completed::acknowledged(format!("{} acknowledged", result.as_str())))
            }
            Acknowledgement::NotPending { message } => {
                match not_pending(lifecycle, result, &message).await {
                    // Group and hook come from the settings, describing is not permitted, and this is a reboot.
                    Err(cause) if cause.kind == Kind::AutoscalingAccessDenied && completed_before => {
                        Ok(Completed::acknowledged("completed at an earlier boot"))
                    }
                    other => other,
                }
            }
        }
    })
    .await?;
    if completed.acknowledged {
        run.update(|record| {
            if let Some(lifecycle) = &mut record.lifecycle {
                lifecycle.result = Some(result.as_str().to_owned());
                lifecycle.acknowledged_at = Some(Timestamp::now());
            }
        });
    }
    Ok(completed)
}

/// "No active Lifecycle Action" does not prove success: the instance's current state decides.
async fn not_pending(lifecycle: &Lifecycle, result: ActionResult, message: &str) -> Result<Completed, Cause> {
    let state = lifecycle
        .autoscaling
        .describe_instance(&lifecycle.instance_id)
        .await?
        .map(|membership| membership.lifecycle_state);
    match (state, result) {
        (Some(state), ActionResult::Continue) if state.is_past_launch() => {
            Ok(Completed::acknowledged(format!("nothing to complete: the instance is {state}")))
        }
        (Some(state), ActionResult::Continue) if state.is_leaving() => Err(Cause::host(
            Kind::LifecycleLeaving,
            "The Auto Scaling group's hook timed out before the boot finished, and the group is terminating this instance.",
            "Raise the hook's heartbeat timeout; see what took so long: agent status",
        )
        .with("lifecycle state", state)
        .with("AWS said", message)),
        (Some(state), ActionResult::Abandon) if state.is_past_launch() || state.is_leaving() => {
            Ok(Completed {
                said: format!("nothing to abandon: the instance is {state}"),
                acknowledged: false,
            })
        }
        (Some(state), _) => Err(Cause::external(
            Kind::LifecycleNotPending,
            "The lifecycle action is not active yet.",
            "Wait: it usually becomes active within a minute. If it does not, check lifecycle.hook.",
        )
        .with("lifecycle state", state)
        .with("AWS said", message)),
        (None, _) => Err(Cause::external(
            Kind::LifecycleNotAMember,
            "The Auto Scaling group does not list this instance.",
            "Check lifecycle.group; see: aws autoscaling describe-auto-scaling-instances",
        )
        .with("AWS said", message)),
    }
}
