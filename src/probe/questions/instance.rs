//! This instance's identity, and its state in its group.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use crate::aws::autoscaling::{AutoScaling, Membership};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::lifecycle;
use crate::record;
use crate::settings;

pub(super) async fn identity(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let identity = inquiry.facts.identity().await?;
    let said = format!("{} in {}, {}", identity.instance_id, identity.availability_zone, identity.local_ipv4);
    Ok(Outcome::good(said)
        .with("instance_id", &identity.instance_id)
        .with("region", &identity.region)
        .with("availability_zone", &identity.availability_zone)
        .with("address", identity.local_ipv4))
}

pub(super) async fn lifecycle_state(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    inquiry.need(inquiry.facts.identity()).await?;
    // The target of a transition, not the current state, which only the Auto Scaling group knows.
    Ok(match inquiry.facts.imds()?.target_lifecycle_state().await? {
        Some(state) => Outcome::good(format!("target state {state}")).with("target_lifecycle_state", state),
        None => Outcome::good("no target state: in service, or not in an Auto Scaling group"),
    })
}

pub(super) async fn credentials(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let aws = inquiry.facts.aws().await?;
    Ok(Outcome::good(format!("found, for {}", aws.region())).with("region", aws.region()))
}

/// The group's state of this instance; the lifecycle action is not touched.
pub(super) async fn hook(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let identity = inquiry.need(facts.identity()).await?;
    let aws = inquiry.need(facts.aws()).await?;
    let settings = &facts.ground.settings.lifecycle;
    let autoscaling = AutoScaling::new(aws);
    let membership = match lifecycle::membership(&autoscaling, settings, &identity.instance_id).await {
        Err(cause) if lifecycle::is_denied(&cause) => return Ok(not_seen(settings, cause)),
        other => other?,
    };
    let Some(Membership { group, lifecycle_state: state, health_status, .. }) = membership else {
        return Ok(Outcome::good("not in an Auto Scaling group"));
    };
    if health_status.eq_ignore_ascii_case("unhealthy") {
        let cause = Cause::host(
            Kind::LifecycleUnhealthy,
            format!("The Auto Scaling group {group} considers this instance unhealthy and will replace it."),
            "See why: aws autoscaling describe-scaling-activities; or make it healthy: aws autoscaling set-instance-health",
        );
        return Ok(Outcome::Warning { cause: cause.with("lifecycle state", &state) });
    }
    if !state.awaits_completion() {
        return Ok(Outcome::good(format!("{state} in {group}"))
            .with("group", &group)
            .with("lifecycle_state", &state));
    }
    let hook = match lifecycle::hook(&autoscaling, settings, &group).await {
        Err(cause) if lifecycle::is_denied(&cause) => return Ok(not_seen(settings, cause)),
        other => other?,
    };
    let name = hook.map_or_else(|| "no launch hook".to_owned(), |hook| format!("hook {}", hook.name));
    if record::boot_runs(facts.ground.root) {
        return Ok(Outcome::good(format!("{state} in {group}, {name}; a boot is running"))
            .with("group", &group)
            .with("lifecycle_state", &state));
    }
    let cause = Cause::host(
        Kind::LifecyclePending,
        format!(
            "The Auto Scaling group {group} is still waiting for this instance's lifecycle action, and no boot is running."
        ),
        "Boot again: agent boot SOURCE; see how the last boot ended: agent status",
    );
    Ok(Outcome::Warning { cause: cause.with("lifecycle state", &state).with("hook", name) })
}

/// A policy without the describe permissions is fine if the settings give group and hook.
fn not_seen(settings: &settings::Lifecycle, cause: Cause) -> Outcome {
    match (&settings.group, &settings.hook) {
        (Some(group), Some(hook)) => Outcome::good(format!(
            "group {group}, hook {hook} from the settings; not allowed to describe its state"
        )),
        _ => Outcome::Warning { cause },
    }
}
