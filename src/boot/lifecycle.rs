//! Stage 2: which Auto Scaling group waits for this box, and keeping it waiting.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::aws::Aws;
use crate::aws::autoscaling::{Acknowledgement, AutoScaling, Hook};
use crate::cause::Cause;
use crate::console::Level;
use crate::record::LifecycleRecord;
use crate::settings;
use crate::wait;

use super::run::{Achieved, Run, Stage};

/// The group of this box, and its hook that this boot completes.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    pub(super) autoscaling: AutoScaling,
    pub(super) instance_id: String,
    pub(super) group: String,
    pub(super) hook: Option<Hook>,
}

/// Heartbeats are sent at a third of the hook's timeout: two may be lost before the group gives up.
pub(super) const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// Finds group and hook; `None` outside of a group.
pub(super) async fn find(
    stage: &Stage<'_>,
    aws: &Aws,
    instance_id: &str,
) -> Result<Achieved<Option<Lifecycle>>, Cause> {
    let settings = &stage.run.settings.lifecycle;
    let autoscaling = AutoScaling::new(aws);
    let found = wait::until(
        settings.wait,
        wait::is_external,
        |cause| stage.waiting(cause),
        async || ask(&autoscaling, settings, instance_id).await,
    )
    .await?;
    let Some((group, hook)) = found else {
        return Ok(Achieved::skipped(None, "not in an Auto Scaling group: nobody to report to"));
    };
    stage.run.note(|record| {
        record.lifecycle = Some(LifecycleRecord {
            group: group.clone(),
            hook: hook.as_ref().map(|hook| hook.name.clone()),
            result: None,
            acknowledged_at: None,
            heartbeats: Vec::new(),
        });
    });
    let detail = match &hook {
        Some(hook) => format!(
            "group {group}, hook {}, heartbeat timeout {} s",
            hook.name,
            hook.heartbeat_timeout.as_secs()
        ),
        None => format!("group {group}, no launch hook waits for this box"),
    };
    let lifecycle = Lifecycle { autoscaling, instance_id: instance_id.to_owned(), group, hook };
    Ok(Achieved::done(Some(lifecycle), detail))
}

pub(super) async fn ask(
    autoscaling: &AutoScaling,
    settings: &settings::Lifecycle,
    instance_id: &str,
) -> Result<Option<(String, Option<Hook>)>, Cause> {
    if let (Some(group), Some(hook)) = (&settings.group, &settings.hook) {
        // Both are given so that no permission to describe is needed; with it, the hook's times are known.
        let hooks = match autoscaling.launch_hooks(group).await {
            Err(cause) if cause.kind == "autoscaling.access_denied" => Vec::new(),
            answer => answer?,
        };
        let known = hooks.into_iter().find(|known| known.name == *hook);
        return Ok(Some((group.clone(), Some(known.unwrap_or_else(|| Hook::with_default_times(hook))))));
    }
    let Some(membership) = autoscaling.describe_instance(instance_id).await? else {
        return match &settings.group {
            Some(group) => Err(Cause::external(
                "lifecycle.not_a_member",
                format!("The Auto Scaling group {group} does not list this instance."),
                "Correct lifecycle.group, or leave it empty so that the group is asked of AWS.",
            )
            .with("instance", instance_id)),
            None => Ok(None),
        };
    };
    if membership.lifecycle_state.is_leaving() {
        return Err(Cause::host(
            "lifecycle.leaving",
            "The Auto Scaling group is already terminating this instance.",
            "Look at the group's activity: aws autoscaling describe-scaling-activities",
        )
        .with("group", &membership.group)
        .with("lifecycle state", &membership.lifecycle_state));
    }
    if membership.lifecycle_state.is_past_launch() {
        return Ok(Some((membership.group, None)));
    }
    let hooks = autoscaling.launch_hooks(&membership.group).await?;
    let hook = choose(hooks, settings.hook.as_deref(), &membership.group)?;
    Ok(Some((membership.group, hook)))
}

fn choose(hooks: Vec<Hook>, wanted: Option<&str>, group: &str) -> Result<Option<Hook>, Cause> {
    let names = hooks.iter().map(|hook| hook.name.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, hooks.len()) {
        (Some(wanted), _) => hooks.into_iter().find(|hook| hook.name == wanted).map(Some).ok_or_else(|| {
            Cause::config(
                "lifecycle.no_such_hook",
                format!("The Auto Scaling group {group} has no launch hook {wanted}."),
                "Correct lifecycle.hook.",
            )
            .with("launch hooks", if names.is_empty() { "none" } else { &names })
        }),
        (None, 0 | 1) => Ok(hooks.into_iter().next()),
        (None, _) => Err(Cause::config(
            "lifecycle.hook_ambiguous",
            format!("The Auto Scaling group {group} has several launch hooks, and only one is this boot's."),
            "Set lifecycle.hook to the one that this boot is to complete.",
        )
        .with("launch hooks", names)),
    }
}

/// Keeps the lifecycle action alive from a task of its own, until dropped.
pub(super) struct Heartbeats {
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Sends the first one now, since nobody knows how much of the timeout is over, and then each third of it; ends
    /// by itself at `limit`, or when the group says that it no longer waits.
    pub(super) fn start(run: Arc<Run>, lifecycle: Lifecycle, limit: Instant) -> Option<Self> {
        let hook = lifecycle.hook.clone()?;
        let task = tokio::spawn(async move {
            let mut due = tokio::time::interval(hook.heartbeat_timeout / HEARTBEATS_PER_TIMEOUT);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut was_accepted = false;
            while Instant::now() < limit {
                due.tick().await;
                match send(&run, &lifecycle, &hook).await {
                    Beat::Accepted => was_accepted = true,
                    // Before the first one is accepted, AWS may not have heard of the launch everywhere.
                    Beat::NotPending if was_accepted => return,
                    Beat::NotPending | Beat::Failed => {}
                }
            }
        });
        Some(Heartbeats { task })
    }

    /// Waits until they end by themselves: the group no longer waits, or the limit is reached.
    pub(super) async fn ended(&mut self) {
        // An error means that the task was aborted or panicked; either way there is no more to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Beat {
    Accepted,
    NotPending,
    Failed,
}

async fn send(run: &Run, lifecycle: &Lifecycle, hook: &Hook) -> Beat {
    let answer =
        lifecycle.autoscaling.record_heartbeat(&hook.name, &lifecycle.group, &lifecycle.instance_id).await;
    match answer {
        Ok(Acknowledgement::Accepted) => {
            run.note(|record| {
                if let Some(lifecycle) = &mut record.lifecycle {
                    lifecycle.heartbeats.push(Timestamp::now());
                }
            });
            Beat::Accepted
        }
        Ok(Acknowledgement::NotPending { message }) => {
            run.console.note(Level::Detail, format!("heartbeat not taken: {message}"));
            Beat::NotPending
        }
        Err(cause) => {
            // The next one is due before the timeout; that is what a third is for.
            run.console.note(Level::Warning, format!("heartbeat failed: {cause}"));
            Beat::Failed
        }
    }
}
