//! What is known of this box and of its group: whom a failure is told.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::aws::imds::{self, Identity, Imds};
use crate::aws::{self, Aws};
use crate::cause::Cause;
use crate::console::StageOutcome;

use super::identity;
use super::lifecycle::{self, Heartbeats, Lifecycle};
use super::order::Order;
use super::run::Run;
use super::stages::{IDENTITY, LIFECYCLE};

/// What a boot has learned so far, and the heartbeats that live as long as the run.
#[derive(Default)]
pub(super) struct Discovered {
    identity: OnceLock<Identity>,
    aws: OnceLock<Aws>,
    lifecycle: OnceLock<Lifecycle>,
    heartbeats: OnceLock<Heartbeats>,
}

impl Discovered {
    /// Learns which instance this is, and claims the order for it.
    ///
    /// # Errors
    /// Those of [`Imds::identity`], [`Order::claim`] and [`Aws::new`].
    pub(super) async fn identify(
        &self,
        run: &Run,
        order: Option<&Order>,
    ) -> Result<(&Identity, &Aws), Cause> {
        let environment = |name: &str| std::env::var(name).ok();
        let imds = Imds::new(&run.http, &imds::endpoint(environment))?;
        let identity = match self.identity.get() {
            Some(identity) => identity,
            None => {
                let identity =
                    run.early_stage(IDENTITY, async |stage| identity::learn(stage, &imds).await).await?;
                self.identity.get_or_init(|| identity)
            }
        };
        if let Some(order) = order {
            match run.is_dry() {
                true => order.check(&identity.instance_id)?,
                false => order.claim(run, &identity.instance_id)?,
            }
        }
        if let Some(aws) = self.aws.get() {
            return Ok((identity, aws));
        }
        let region = aws::region(environment).unwrap_or_else(|| identity.region.clone());
        let aws = match Aws::new(&run.http, &region, Some(imds.clone()), &run.secrets).await {
            Ok(aws) => aws,
            Err(cause) => {
                // The roots of the box may do to report that those in AWS_CA_BUNDLE cannot be read.
                if let Ok(aws) =
                    Aws::new(&run.http.without_ca_bundle(), &region, Some(imds), &run.secrets).await
                {
                    self.aws.get_or_init(|| aws);
                }
                return Err(cause);
            }
        };
        Ok((identity, self.aws.get_or_init(|| aws)))
    }

    /// Learns which group waits for this box, and keeps it waiting.
    ///
    /// # Errors
    /// Those of [`lifecycle::find`].
    pub(super) async fn find_lifecycle(
        &self,
        run: &Arc<Run>,
        identity: &Identity,
        aws: &Aws,
        deadline: &watch::Sender<Instant>,
    ) -> Result<(), Cause> {
        let found = run
            .early_stage(LIFECYCLE, async |stage| lifecycle::find(stage, aws, &identity.instance_id).await)
            .await?;
        if let Some(lifecycle) = found {
            self.keep_waiting(run, lifecycle, deadline);
        }
        Ok(())
    }

    /// Learns what is still unknown of both, for a boot that failed early. What could not be learned is not asked again,
    /// and stands in the record.
    pub(super) async fn complete(
        &self,
        run: &Arc<Run>,
        order: Option<&Order>,
        deadline: &watch::Sender<Instant>,
    ) {
        let record = run.record();
        let has_failed = record.stages.iter().any(|stage| {
            matches!(stage.name.as_str(), IDENTITY | LIFECYCLE) && stage.outcome == StageOutcome::Failed
        });
        if has_failed || record.is_in_no_group() || self.lifecycle.get().is_some() {
            return;
        }
        let learn = async {
            let known = match self.identify(run, order).await {
                Ok(known) => Some(known),
                Err(_) => self.identity.get().zip(self.aws.get()),
            };
            if let Some((identity, aws)) = known {
                // Why not stands in the stage.
                let _ = self.find_lifecycle(run, identity, aws, deadline).await;
            }
        };
        let limit = run.settings.identity_wait.saturating_add(run.settings.lifecycle.wait);
        // What has been learned by then is used.
        let _ = timeout(limit, learn).await;
    }

    /// Whether it is known which instance this is.
    pub(super) fn is_identified(&self) -> bool {
        self.identity.get().is_some()
    }

    pub(super) fn aws(&self) -> Option<&Aws> {
        self.aws.get()
    }

    pub(super) fn lifecycle(&self) -> Option<&Lifecycle> {
        self.lifecycle.get()
    }

    pub(super) fn heartbeats(&mut self) -> Option<&mut Heartbeats> {
        self.heartbeats.get_mut()
    }

    /// Starts the heartbeats, and lowers the boot's deadline to what the group waits at most.
    fn keep_waiting(&self, run: &Arc<Run>, lifecycle: Lifecycle, deadline: &watch::Sender<Instant>) {
        if let Some(hook) = &lifecycle.hook {
            // The group's clock started before this boot, so its limit is slightly earlier.
            let limit = Instant::now() + hook.global_timeout;
            deadline.send_if_modified(|deadline| {
                let is_sooner = limit < *deadline;
                *deadline = limit.min(*deadline);
                is_sooner
            });
            if !run.is_dry()
                && let Some(heartbeats) = Heartbeats::start(run.clone(), lifecycle.clone(), limit)
            {
                // Set once: the group is found once.
                let _ = self.heartbeats.set(heartbeats);
            }
        }
        let _ = self.lifecycle.set(lifecycle);
    }
}
