//! Pulls every wanted image and resolves its ID and digest.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use indicatif::HumanBytes;

use crate::cause::Cause;
use crate::command::Achieved;
use crate::console::Level;
use crate::docker::engine::Engine;
use crate::docker::images::PULLS_AT_ONCE;
use crate::docker::lock::LockedImage;
use crate::docker::pull::PullProgress;
use crate::docker::reference::Digest;
use crate::kind::Kind;
use crate::wait;

use super::plan::PlannedImage;
use super::step::Step;

/// Pulls all images, several at a time, retrying each until `limit` has passed for the whole step. The engine keeps
/// downloaded layers, so a later attempt or bake resumes.
///
/// # Errors
/// All images that could not be pulled, in one cause: those of [`Engine::pull_tag`], `images.missing`,
/// `images.wrong_content`.
pub(super) async fn pull(
    step: &Step<'_>,
    engine: &Engine,
    wanted: &[PlannedImage],
    limit: Duration,
) -> Result<Achieved<Vec<LockedImage>>, Cause> {
    let started = Instant::now();
    let left = || limit.saturating_sub(started.elapsed());
    let waiting = |cause: &Cause| step.waiting(cause);
    // An unavailable engine is one cause, not one for each image.
    wait::until(left(), is_worth_waiting, waiting, async || engine.ping().await).await?;
    let shown = Shown { step, count: wanted.len(), pulls: Mutex::default() };
    let pulls: Vec<_> = wanted
        .iter()
        .map(|image| {
            let shown = &shown;
            async move {
                let attempt = async || one(engine, image, &|pull| shown.progress(pull)).await;
                let had = wait::until(left(), is_worth_waiting, waiting, attempt).await;
                shown.over(image, had.is_ok());
                had
            }
        })
        .collect();
    let outcomes: Vec<_> = stream::iter(pulls).buffer_unordered(PULLS_AT_ONCE).collect().await;
    let (had, failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let mut failed: Vec<Cause> = failed.into_iter().filter_map(Result::err).collect();
    failed.sort_by(|a, b| a.sentence.cmp(&b.sentence));
    if !failed.is_empty() {
        return Err(Cause::together(failed));
    }
    let images = engine.images().await?;
    let size: HashMap<&str, u64> = images.iter().map(|image| (image.id.as_str(), image.size)).collect();
    let mut locked: Vec<LockedImage> = had.into_iter().filter_map(Result::ok).collect();
    for image in &mut locked {
        image.size = size.get(image.id.as_str()).copied();
    }
    // The sum of the images' sizes, not the disk usage: images share layers, and one may have two names.
    let total: u64 = locked.iter().filter_map(|image| image.size).sum();
    let detail = format!("{} images, {} unpacked", locked.len(), HumanBytes(total));
    Ok(Achieved::done(locked, detail))
}

/// A registry may recover, and an engine may be starting; a full disk or a missing permission will not change.
fn is_worth_waiting(cause: &Cause) -> bool {
    wait::is_external(cause)
        || matches!(cause.kind, Kind::DockerSocketMissing | Kind::DockerDown | Kind::DockerSilent)
}

async fn one(
    engine: &Engine,
    image: &PlannedImage,
    on_progress: &(dyn Fn(&PullProgress) + Send + Sync),
) -> Result<LockedImage, Cause> {
    let reference = &image.reference;
    let digest = match (&image.digest, image.pull) {
        (digest, false) => digest.clone(),
        (None, true) => Some(engine.pull_tag(reference, on_progress).await?),
        (Some(digest), true) => {
            engine.pull(reference, digest, on_progress).await?;
            engine.tag(&reference.at(digest), reference).await?;
            Some(digest.clone())
        }
    };
    // Looked up by digest, since the tag may have moved in the meantime.
    let name = digest.as_ref().map_or_else(|| reference.to_string(), |digest| reference.at(digest));
    let id = engine.image_id(&name).await?.ok_or_else(|| absent(image, &name))?;
    Ok(LockedImage {
        reference: reference.clone(),
        digest,
        id: id.parse::<Digest>().map_err(|why| unreadable_id(image, &why))?,
        size: None,
        alias: image.alias(),
    })
}

fn absent(image: &PlannedImage, name: &str) -> Cause {
    let next_step = if image.pull {
        "Check whether something removes images from this engine, and bake again.".to_owned()
    } else {
        format!("Load it (docker load), or remove pull = false from {} to have it pulled.", image.reference)
    };
    Cause::config(
        Kind::ImagesMissing,
        format!("The Docker engine does not have the image {name}."),
        next_step,
    )
    .with("image", &image.reference)
}

fn unreadable_id(image: &PlannedImage, why: &str) -> Cause {
    Cause::host(
        Kind::DockerError,
        format!("The Docker engine reports an ID for the image {} that is not a digest.", image.reference),
        "Check the engine's version and image store: docker info.",
    )
    .with("error", why)
}

/// Shows the progress of each pull, and of all together.
struct Shown<'a> {
    step: &'a Step<'a>,
    count: usize,
    pulls: Mutex<HashMap<String, (PullProgress, bool)>>,
}

impl Shown<'_> {
    fn progress(&self, pull: &PullProgress) {
        let bytes = (pull.bytes, pull.bytes_total);
        let layers = format!("{}/{} layers", pull.layers_done, pull.layers);
        self.step.part(&pull.reference, Some((layers, bytes)));
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.insert(pull.reference.clone(), (pull.clone(), false));
        self.all(&pulls);
    }

    fn over(&self, image: &PlannedImage, is_good: bool) {
        let name = image.reference.to_string();
        self.step.part(&name, None);
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pulls.remove(&name).map(|(pull, _)| pull);
        if is_good {
            let said = match &known {
                Some(pull) if pull.bytes > 0 => {
                    format!("{name}: pulled, {} layers, {}", pull.layers, HumanBytes(pull.bytes))
                }
                _ => format!("{name}: already complete"),
            };
            self.step.note(Level::Info, said, None);
        }
        let nothing =
            PullProgress { reference: name.clone(), layers_done: 0, layers: 0, bytes: 0, bytes_total: 0 };
        pulls.insert(name, (known.unwrap_or(nothing), true));
        self.all(&pulls);
    }

    fn all(&self, pulls: &HashMap<String, (PullProgress, bool)>) {
        let sum = |of: fn(&PullProgress) -> u64| pulls.values().map(|(pull, _)| of(pull)).sum::<u64>();
        let over = pulls.values().filter(|(_, is_over)| *is_over).count();
        let text = format!(
            "{over} of {} images, {} of {} layers",
            self.count,
            sum(|pull| pull.layers_done as u64),
            sum(|pull| pull.layers as u64)
        );
        self.step.progress(text, Some((sum(|pull| pull.bytes), sum(|pull| pull.bytes_total))));
    }
}
