//! What this instance is, and what its group wants of it.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;
use crate::aws::autoscaling::AutoScaling;
use crate::cause::Cause;

pub(super) async fn identity(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let identity = inquiry.facts.identity().await?;
    Ok(Outcome::good(format!(
        "{} in {}, {}",
        identity.instance_id, identity.availability_zone, identity.local_ipv4
    )))
}

pub(super) async fn lifecycle_state(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    inquiry.need(inquiry.facts.identity()).await?;
    Ok(match inquiry.facts.imds()?.target_lifecycle_state().await? {
        Some(state) => Outcome::good(format!("on its way to {state}")),
        None => Outcome::good("no transition, or no Auto Scaling group"),
    })
}

pub(super) async fn credentials(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let aws = inquiry.facts.aws().await?;
    Ok(Outcome::good(format!("found, for {}", aws.region())))
}

pub(super) async fn hook(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let identity = inquiry.need(inquiry.facts.identity()).await?;
    let aws = inquiry.need(inquiry.facts.aws()).await?;
    let autoscaling = AutoScaling::new(aws);
    let Some(membership) = autoscaling.describe_instance(&identity.instance_id).await? else {
        return Ok(Outcome::good("not in an Auto Scaling group"));
    };
    let (group, state) = (&membership.group, &membership.lifecycle_state);
    if state.is_leaving() {
        let cause = Cause::host(
            "lifecycle.leaving",
            "The Auto Scaling group is already terminating this instance.",
            "Look at the group's activity: aws autoscaling describe-scaling-activities",
        );
        return Ok(Outcome::Failed { cause: cause.with("group", group).with("lifecycle state", state) });
    }
    if state.awaits_completion() {
        let cause = Cause::host(
            "lifecycle.pending",
            format!("The Auto Scaling group {group} still waits for this instance's lifecycle action."),
            "If no boot runs (agent status), run it again: agent boot",
        );
        return Ok(Outcome::Warning { cause: cause.with("lifecycle state", state) });
    }
    Ok(Outcome::good(format!("{state} in {group}")))
}
