//! Looks up the Auto Scaling group and launch hook of this instance. Read-only.

use crate::aws::autoscaling::{AutoScaling, Hook, Membership};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::settings;

/// Whether AWS denies describing; a policy may do so on purpose if the settings give group and hook.
pub(crate) fn is_denied(cause: &Cause) -> bool {
    cause.kind == Kind::AutoscalingAccessDenied
}

/// The group, and its hook if one is waiting for this box now; `None` outside of a group.
///
/// # Errors
/// Those of [`AutoScaling`], [`membership`] and [`hook`].
pub(crate) async fn ask(
    autoscaling: &AutoScaling,
    settings: &settings::Lifecycle,
    instance_id: &str,
) -> Result<Option<(String, Option<Hook>)>, Cause> {
    if let (Some(group), Some(hook)) = (&settings.group, &settings.hook) {
        // With both set, no describe permission is needed; if it is granted, the hook's timeouts are known.
        let hooks = match autoscaling.launch_hooks(group).await {
            Err(cause) if is_denied(&cause) => Vec::new(),
            answer => answer?,
        };
        let known = hooks.into_iter().find(|known| known.name == *hook);
        return Ok(Some((group.clone(), Some(known.unwrap_or_else(|| Hook::with_default_times(hook))))));
    }
    let Some(membership) = membership(autoscaling, settings, instance_id).await? else { return Ok(None) };
    if membership.lifecycle_state.is_past_launch() {
        return Ok(Some((membership.group, None)));
    }
    let hook = hook(autoscaling, settings, &membership.group).await?;
    Ok(Some((membership.group, hook)))
}

/// The group's state of this instance, which it is not terminating; `None` outside of a group.
///
/// # Errors
/// Those of [`AutoScaling`]; `lifecycle.not_a_member` (external: a group learns of its instance late);
/// `lifecycle.leaving` (host).
pub(crate) async fn membership(
    autoscaling: &AutoScaling,
    settings: &settings::Lifecycle,
    instance_id: &str,
) -> Result<Option<Membership>, Cause> {
    let Some(membership) = autoscaling.describe_instance(instance_id).await? else {
        return match &settings.group {
            Some(group) => Err(Cause::external(
                Kind::LifecycleNotAMember,
                format!("The Auto Scaling group {group} does not list this instance."),
                "Correct lifecycle.group, or leave it empty to look the group up in AWS.",
            )
            .with("instance", instance_id)),
            None => Ok(None),
        };
    };
    if membership.lifecycle_state.is_leaving() {
        return Err(Cause::host(
            Kind::LifecycleLeaving,
            "The Auto Scaling group is already terminating this instance.",
            "Check the group's activity: aws autoscaling describe-scaling-activities",
        )
        .with("group", &membership.group)
        .with("lifecycle state", &membership.lifecycle_state));
    }
    Ok(Some(membership))
}

/// The launch hook of `group` that is this box's to complete, if it has one.
///
/// # Errors
/// Those of [`AutoScaling`]; `lifecycle.no_such_hook` and `lifecycle.hook_ambiguous` (config).
pub(crate) async fn hook(
    autoscaling: &AutoScaling,
    settings: &settings::Lifecycle,
    group: &str,
) -> Result<Option<Hook>, Cause> {
    choose(autoscaling.launch_hooks(group).await?, settings.hook.as_deref(), group)
}

fn choose(hooks: Vec<Hook>, wanted: Option<&str>, group: &str) -> Result<Option<Hook>, Cause> {
    let names = hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, hooks.len()) {
        (Some(wanted), _) => hooks.into_iter().find(|hook| hook.name == wanted).map(Some).ok_or_else(|| {
            Cause::config(
                Kind::LifecycleNoSuchHook,
                format!("The Auto Scaling group {group} has no launch hook {wanted}."),
                "Correct lifecycle.hook.",
            )
            .with("launch hooks", if names.is_empty() { "none" } else { &names })
        }),
        (None, 0 | 1) => Ok(hooks.into_iter().next()),
        (None, _) => Err(Cause::config(
            Kind::LifecycleHookAmbiguous,
            format!("The Auto Scaling group {group} has several launch hooks, and lifecycle.hook does not say which one to complete."),
            "Set lifecycle.hook to the hook that this boot should complete.",
        )
        .with("launch hooks", names)),
    }
}
