//! Stage 6, part two: ensures every locked image, with its ID and tags.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::docker::engine::Engine;
use crate::docker::images::{self, Applied, Plan};
use crate::docker::lock::{self, Lock};
use crate::docker::pull::PullProgress;
use crate::kind::Area;
use crate::wait;

use super::run::Stage;

/// Waits for the engine, then pulls and tags images as locked. Without a lock there is nothing to do: the installer
/// pulls what it needs.
pub(super) async fn bring(
    stage: &Stage<'_>,
    engine: &Engine,
    address: Ipv4Addr,
) -> Result<Achieved<Option<Lock>>, Cause> {
    let settings = &stage.run.settings;
    let is_worth_waiting = |cause: &Cause| wait::is_external(cause) || cause.kind.area() == Area::Docker;
    let file = stage.run.root.path(lock::FILE);
    // A long lock is parsed while the engine lists its images; a lock that cannot be read fails without waiting for
    // that.
    let listing = async { Ok(engine.images().await) };
    let (listed, lock) = tokio::try_join!(listing, async { Lock::read(&file) })?;
    let Some(lock) = lock else {
        stage.until(settings.images_wait, is_worth_waiting, async || engine.ping().await).await?;
        return Ok(Achieved::skipped(None, "the engine responds; no image lock, so no images to verify"));
    };
    let progress = Progress { stage, pulls: Mutex::default() };
    let mut listed = Some(listed);
    let mut would = None;
    let applied = stage
        .until(settings.images_wait, is_worth_waiting, async || {
            let images = match listed.take() {
                Some(first) => first?,
                None => engine.images().await?,
            };
            let plan = Plan::make(&lock, &images, address);
            if stage.is_dry_run() {
                plan.permit(settings.on_missing)?;
                would = (!plan.is_fulfilled()).then(|| would_do(&lock, &plan));
                return Ok(Applied::default());
            }
            images::apply(engine, &plan, settings.on_missing, &|pull| progress.show(pull)).await
        })
        .await?;
    if let Some(would) = would {
        return Ok(Achieved::done(Some(lock), would));
    }
    let detail = described(&lock, &applied);
    let achieved = if applied == Applied::default() { Achieved::skipped } else { Achieved::done };
    Ok(achieved(Some(lock), detail))
}

fn described(lock: &Lock, applied: &Applied) -> String {
    let mut detail = format!("{} locked images present", lock.images.len());
    for (what, names) in
        [("pulled", &applied.pulled), ("repaired", &applied.repaired), ("tagged", &applied.tagged)]
    {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            detail.push_str(&format!("; {what} {}", names.join(", ")));
        }
    }
    detail
}

fn would_do(lock: &Lock, plan: &Plan) -> String {
    let parts = [("pull", plan.missing.len()), ("repair", plan.wrong_id.len()), ("tag", plan.to_tag.len())];
    let parts = parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what} {count}"));
    format!("would {} of {} locked images", parts.collect::<Vec<_>>().join(", "), lock.images.len())
}

/// Sums the progress of concurrent pulls.
struct Progress<'a> {
    stage: &'a Stage<'a>,
    pulls: Mutex<Vec<PullProgress>>,
}

impl Progress<'_> {
    fn show(&self, pull: &PullProgress) {
        let mut pulls = self.pulls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match pulls.iter_mut().find(|known| known.reference == pull.reference) {
            Some(known) => *known = pull.clone(),
            None => pulls.push(pull.clone()),
        }
        let sum = |of: fn(&PullProgress) -> u64| pulls.iter().map(of).sum::<u64>();
        let bytes = (sum(|pull| pull.bytes), sum(|pull| pull.bytes_total));
        let layers = (sum(|pull| pull.layers_done as u64), sum(|pull| pull.layers as u64));
        let text = format!("pulling {}: layers {} of {}", pull.reference, layers.0, layers.1);
        self.stage.progress(text, Some(bytes));
    }
}
