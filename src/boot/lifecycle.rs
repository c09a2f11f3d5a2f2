//! Stage 2: finds the Auto Scaling group that waits for this box, and keeps its lifecycle action alive.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::aws::Aws;
use crate::aws::autoscaling::{Acknowledgement, AutoScaling, Hook};
use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::{Level, human};
use crate::lifecycle;
use crate::record::LifecycleRecord;
use crate::wait;

use super::run::{Run, Stage};

/// The group of this box, and the hook to complete.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    pub(super) autoscaling: AutoScaling,
    pub(super) instance_id: String,
    pub(super) group: String,
    pub(super) hook: Option<Hook>,
}

/// Heartbeats are sent every third of the hook's timeout, so two may be lost before it expires.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// Finds group and hook; `None` outside of a group.
pub(super) async fn find(
    stage: &Stage<'_>,
    aws: &Aws,
    instance_id: &str,
) -> Result<Achieved<Option<Lifecycle>>, Cause> {
    let settings = &stage.run.settings.lifecycle;
    let autoscaling = AutoScaling::new(aws);
    let found = stage
        .until(settings.wait, wait::is_external, async || {
            lifecycle::ask(&autoscaling, settings, instance_id).await
        })
        .await?;
    let Some((group, hook)) = found else {
        return Ok(Achieved::skipped(None, "not in an Auto Scaling group"));
    };
    stage.run.note(|record| {
        record.lifecycle = Some(LifecycleRecord {
            group: group.clone(),
            hook: hook.as_ref().map(|hook| hook.name.clone()),
            heartbeat_timeout_seconds: hook.as_ref().map(|hook| hook.heartbeat_timeout.as_secs()),
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
        None => format!("group {group}, no lifecycle action pending"),
    };
    let lifecycle = Lifecycle { autoscaling, instance_id: instance_id.to_owned(), group, hook };
    Ok(Achieved::done(Some(lifecycle), detail))
}

/// Keeps the lifecycle action alive in its own task, until dropped.
pub(super) struct Heartbeats {
    task: JoinHandle<()>,
}

impl Heartbeats {
    /// Sends the first heartbeat immediately, since it is unknown how much of the timeout has passed, and then one
    /// every third of it; ends at `limit`, or when the group is no longer waiting.
    pub(super) fn start(run: Arc<Run>, lifecycle: Lifecycle, limit: Instant) -> Option<Self> {
        let hook = lifecycle.hook.clone()?;
        let task = tokio::spawn(async move {
            let mut due = tokio::time::interval(hook.heartbeat_timeout / HEARTBEATS_PER_TIMEOUT);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut was_accepted = false;
            while Instant::now() < limit {
                due.tick().await;
                if let Some(stood) = run.standstill() {
                    let text =
                        format!("no heartbeat sent: this boot has made no progress for {}", human(stood));
                    run.console.note(Level::Warning, text);
                    continue;
                }
                match send(&run, &lifecycle, &hook).await {
                    Beat::Accepted => was_accepted = true,
                    // Until the first one is accepted, the launch may not have propagated within AWS.
                    Beat::NotPending if was_accepted => return,
                    Beat::NotPending | Beat::Failed => {}
                }
            }
        });
        Some(Heartbeats { task })
    }

    /// Waits until the group is no longer waiting, or the limit is reached.
    pub(super) async fn ended(&mut self) {
        // An error means that the task was aborted or panicked: nothing to wait for.
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
            run.console.note(Level::Detail, format!("heartbeat rejected: {message}"));
            Beat::NotPending
        }
        Err(cause) => {
            // The next one is due before the timeout.
            run.console.note(Level::Warning, format!("heartbeat failed: {cause}"));
            Beat::Failed
        }
    }
}
