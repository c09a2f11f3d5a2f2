//! Compares the locked images with the engine's, and pulls or tags what is missing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

use futures_util::stream::{self, StreamExt};

use super::engine::{Engine, LocalImage};
use super::lock::{Lock, LockedImage};
use super::pull::OnProgress;
use super::reference::Reference;
use crate::cause::{Cause, Class};
use crate::kind::Kind;
use crate::settings::OnMissing;

/// The port under which Replicated serves the app's images from its own registry.
const REPLICATED_REGISTRY_PORT: u16 = 9874;

/// How many pulls run concurrently. The engine downloads three layers at a time in total, so more gains nothing.
pub const PULLS_AT_ONCE: usize = 4;

/// The difference between the lock and the engine's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Images that are present under their id and their name.
    pub present: Vec<Reference>,
    /// Images of which the engine has neither id nor name.
    pub missing: Vec<LockedImage>,
    /// Images whose name is on other content.
    pub wrong_id: Vec<WrongId>,
    /// Names to be given to content that is present.
    pub to_tag: Vec<Naming>,
    /// Tags under port 9874 of another address, left if the image was baked after its app had run. Harmless and left
    /// alone.
    pub foreign: Vec<String>,
    /// The alias of each image that is not present yet, to be given once it is.
    aliases: Vec<(Reference, Naming)>,
}

/// A locked name that is on other content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongId {
    /// What the lock says.
    pub locked: LockedImage,
    /// The id that bears the name now.
    pub found: String,
    /// Whether the locked content is present all the same, so that no pull is needed.
    pub content_present: bool,
}

/// One name for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The image's id.
    pub id: String,
    /// The name that it gets.
    pub name: Reference,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Images that had to be pulled.
    pub pulled: Vec<Reference>,
    /// Images whose name was on other content and was moved to the locked content.
    pub repaired: Vec<Reference>,
    /// Names that were given.
    pub tagged: Vec<Reference>,
}

impl Plan {
    /// Compares `lock` with the engine's images, for an instance whose address is `address`.
    pub fn make(lock: &Lock, images: &[LocalImage], address: Ipv4Addr) -> Self {
        let mut plan = Plan::default();
        let own_registry = format!("{address}:{REPLICATED_REGISTRY_PORT}/");
        let bearers: HashMap<&str, &LocalImage> =
            images.iter().flat_map(|image| image.tags.iter().map(move |tag| (tag.as_str(), image))).collect();
        let ids: HashSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        for locked in &lock.images {
            let bearer = bearers.get(locked.reference.to_string().as_str());
            let content_present = ids.contains(locked.id.as_str());
            match bearer {
                Some(image) if image.id == locked.id.as_str() => plan.present.push(locked.reference.clone()),
                Some(image) => plan.wrong_id.push(WrongId {
                    locked: locked.clone(),
                    found: image.id.clone(),
                    content_present,
                }),
                None if content_present => plan.to_tag.push(naming(locked, locked.reference.clone())),
                None => plan.missing.push(locked.clone()),
            }
            if let Some(alias) = &locked.alias
                && let Ok(alias) = format!("{own_registry}{alias}").parse::<Reference>()
            {
                let text = alias.to_string();
                let is_there = bearers.get(text.as_str()).is_some_and(|image| image.id == locked.id.as_str());
                if content_present && !is_there {
                    plan.to_tag.push(naming(locked, alias));
                } else if !content_present {
                    plan.aliases.push((locked.reference.clone(), naming(locked, alias)));
                }
            }
        }
        let port = format!(":{REPLICATED_REGISTRY_PORT}/");
        let foreign = images.iter().flat_map(|image| &image.tags).filter(|tag| {
            tag.split_once(&port)
                .is_some_and(|(host, _)| host.parse::<Ipv4Addr>().is_ok_and(|ip| ip != address))
        });
        plan.foreign = foreign.cloned().collect::<BTreeSet<_>>().into_iter().collect();
        plan
    }

    /// Whether every image is present with its ID and all its tags.
    pub fn is_fulfilled(&self) -> bool {
        self.missing.is_empty() && self.wrong_id.is_empty() && self.to_tag.is_empty()
    }

    /// Whether this may be applied: with [`OnMissing::Fail`] nothing may be missing.
    ///
    /// # Errors
    /// `images.missing`, `images.wrong_id`.
    pub fn permit(&self, on_missing: OnMissing) -> Result<(), Cause> {
        match on_missing {
            OnMissing::Fail => refuse(self),
            OnMissing::Pull => Ok(()),
        }
    }

    /// What is missing, for a read-only check: `images.missing`, `images.wrong_id`, `images.untagged` (host, since a
    /// boot corrects all of it if it may pull).
    ///
    /// # Errors
    /// That cause.
    pub fn judge(&self) -> Result<(), Cause> {
        let next_step = "Let a boot correct it: agent boot; or bake a new AMI.";
        refuse(self).map_err(|cause| Cause {
            class: Class::Host,
            next_step: next_step.to_owned(),
            ..cause
        })?;
        let Some(first) = self.to_tag.first() else { return Ok(()) };
        let others = self.to_tag.len() - 1;
        let cause = Cause::host(
            Kind::ImagesUntagged,
            format!(
                "The image that Replicated looks up as {}{} is present but not tagged with that name.",
                first.name,
                and_others(others)
            ),
            next_step,
        );
        Err(self.to_tag.iter().fold(cause, |cause, naming| cause.with("without name", &naming.name)))
    }
}

fn naming(locked: &LockedImage, name: Reference) -> Naming {
    Naming { id: locked.id.to_string(), name }
}

/// Pulls and tags what is missing, in one attempt. A later attempt resumes.
///
/// # Errors
/// With [`OnMissing::Fail`]: `images.missing`, `images.wrong_id`. With [`OnMissing::Pull`]: those of [`Engine::pull`],
/// `images.no_digest` (config: the lock names none) and `images.wrong_content` (config: the digest holds another id than
/// the lock says). Of several failures the one is returned that waiting cures least; the evidence names the others.
pub async fn apply(
    engine: &Engine,
    plan: &Plan,
    on_missing: OnMissing,
    on_progress: &OnProgress<'_>,
) -> Result<Applied, Cause> {
    plan.permit(on_missing)?;
    let mut applied = Applied::default();
    for naming in &plan.to_tag {
        give(engine, naming, &mut applied).await?;
    }
    let elsewhere = plan.wrong_id.iter().filter(|wrong| !wrong.content_present).map(|wrong| &wrong.locked);
    let wanted: Vec<&LockedImage> = plan.missing.iter().chain(elsewhere).collect();
    let mut failures = Vec::new();
    let pulls: Vec<_> = wanted
        .into_iter()
        .map(|locked| async move { (locked, pull(engine, locked, on_progress).await) })
        .collect();
    let mut pulls = stream::iter(pulls).buffer_unordered(PULLS_AT_ONCE);
    while let Some((locked, outcome)) = pulls.next().await {
        match outcome {
            Ok(()) => applied.pulled.push(locked.reference.clone()),
            Err(cause) => {
                failures.push((locked, cause));
                continue;
            }
        }
        give(engine, &naming(locked, locked.reference.clone()), &mut applied).await?;
        for (_, alias) in plan.aliases.iter().filter(|(owner, _)| *owner == locked.reference) {
            give(engine, alias, &mut applied).await?;
        }
    }
    drop(pulls);
    for wrong in &plan.wrong_id {
        if wrong.content_present {
            give(engine, &naming(&wrong.locked, wrong.locked.reference.clone()), &mut applied).await?;
        }
        applied.repaired.push(wrong.locked.reference.clone());
    }
    worst(failures).map_or(Ok(applied), Err)
}

async fn give(engine: &Engine, naming: &Naming, applied: &mut Applied) -> Result<(), Cause> {
    engine.tag(&naming.id, &naming.name).await?;
    applied.tagged.push(naming.name.clone());
    Ok(())
}

async fn pull(engine: &Engine, locked: &LockedImage, on_progress: &OnProgress<'_>) -> Result<(), Cause> {
    let Some(digest) = &locked.digest else {
        return Err(Cause::config(
            Kind::ImagesNoDigest,
            format!(
                "The image {} is missing, and the image lock has no digest to pull it by.",
                locked.reference
            ),
            "Bake a new AMI, or add the image's digest to the image lock.",
        )
        .with("image", &locked.reference));
    };
    engine.pull(&locked.reference, digest, on_progress).await?;
    let name = locked.reference.at(digest);
    match engine.image_id(&name).await? {
        Some(id) if id == locked.id.as_str() => Ok(()),
        found => Err(Cause::config(
            Kind::ImagesWrongContent,
            format!(
                "The image {} was pulled by its digest but does not have the locked ID.",
                locked.reference
            ),
            "Bake a new image lock: its ID and its digest do not belong together.",
        )
        .with("image", name)
        .with("ID in the lock", &locked.id)
        .with("id found", found.as_deref().unwrap_or("none"))),
    }
}

/// Every locked image that the engine does not have under its id and its name, a cause for each. Aliases are left out:
/// they are given at boot, for the address that the instance then has.
pub fn unfulfilled(lock: &Lock, images: &[LocalImage]) -> Vec<Cause> {
    let without_alias = lock.images.iter().map(|image| LockedImage { alias: None, ..image.clone() });
    let plan = Plan::make(&Lock::new(None, without_alias.collect()), images, Ipv4Addr::UNSPECIFIED);
    let alone = |plan: Plan| refuse(&plan).err();
    let missing = plan.missing.into_iter().map(|locked| Plan { missing: vec![locked], ..Plan::default() });
    let wrong = plan.wrong_id.into_iter().map(|wrong| Plan { wrong_id: vec![wrong], ..Plan::default() });
    let unnamed = plan.to_tag.into_iter().map(|naming| {
        Cause::config(
            Kind::ImagesUnnamed,
            format!("The image {} is present but not tagged with that name.", naming.name),
            format!("Tag it: docker tag {} {}", naming.id, naming.name),
        )
    });
    missing.filter_map(alone).chain(wrong.filter_map(alone)).chain(unnamed).collect()
}

/// The cause for missing images if nothing may be pulled.
fn refuse(plan: &Plan) -> Result<(), Cause> {
    let next_step = "Bake a new AMI, or set images.on_missing = \"pull\".";
    if let Some(first) = plan.missing.first() {
        let others = plan.missing.len() - 1;
        let mut cause = Cause::config(
            Kind::ImagesMissing,
            format!("The image {}{} is not on this box.", first.reference, and_others(others)),
            next_step,
        );
        for locked in &plan.missing {
            cause = cause.with("missing", &locked.reference);
        }
        return Err(cause);
    }
    if let Some(first) = plan.wrong_id.first() {
        let others = plan.wrong_id.len() - 1;
        let mut cause = Cause::config(
            Kind::ImagesWrongId,
            format!(
                "The tag {}{} points to a different image than the locked one.",
                first.locked.reference,
                and_others(others)
            ),
            next_step,
        );
        for wrong in &plan.wrong_id {
            cause = cause
                .with("image", &wrong.locked.reference)
                .with("ID in the lock", &wrong.locked.id)
                .with("id found", &wrong.found);
        }
        return Err(cause);
    }
    Ok(())
}

fn and_others(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}

/// The failure that waiting is least likely to fix, with the others as evidence.
fn worst(failures: Vec<(&LockedImage, Cause)>) -> Option<Cause> {
    let rank = |class: Class| match class {
        Class::Config => 0,
        Class::Host => 1,
        Class::External => 2,
    };
    let chosen = failures.iter().enumerate().min_by_key(|(_, (_, cause))| rank(cause.class))?.0;
    let mut cause = failures[chosen].1.clone();
    for (nth, (locked, other)) in failures.iter().enumerate() {
        if nth != chosen {
            cause = cause.with("failed too", format!("{}: {other}", locked.reference));
        }
    }
    Some(cause)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
