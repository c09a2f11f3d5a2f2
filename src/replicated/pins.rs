//! What an image lock pins of an installation: both scripts that run as root, and the images of Replicated itself.

use std::collections::BTreeSet;
use std::path::Path;

use super::edition::{Edition, name_of, registry_prefix};
use super::fetch_guard::Operator;
use super::script;
use crate::cause::Cause;
use crate::docker::engine::Container;
use crate::docker::lock::{Lock, LockedImage, LockedInstaller};
use crate::docker::reference::Reference;
use crate::files::Root;
use crate::kind::Kind;

/// The kind of the cause for a container that runs another image than the lock names.
pub const NOT_LOCKED: Kind = Kind::ReplicatedNotLocked;

const BAKE: &str = "Bake the AMI again with this version of the agent: agent bake.";

/// The containers that an installer with these arguments must leave running, each named like its image.
pub fn expected_containers(arguments: &[String]) -> Vec<&'static str> {
    let has = |name: &str| arguments.iter().any(|argument| name_of(argument) == name);
    let mut names = vec!["replicated"];
    if !has("disable-replicated-ui") {
        names.push("replicated-ui");
    }
    if !has("no-operator") {
        names.push("replicated-operator");
    }
    names
}

/// The installer that the lock names.
///
/// # Errors
/// `lock.no_installer` (config).
pub fn installer(lock: &Lock) -> Result<&LockedInstaller, Cause> {
    lock.installer.as_ref().ok_or_else(|| {
        Cause::config(
            Kind::LockNoInstaller,
            "The image lock does not pin the Replicated installer, so no installer may run on this box.",
            "Add [replicated] to images.toml and bake the AMI again: agent bake.",
        )
    })
}

/// The operator's script that the lock names, read and verified; `None` if `arguments` want no operator.
///
/// # Errors
/// `lock.no_operator` (config) and those of [`script::read`].
pub fn operator(
    root: &Root,
    locked: &LockedInstaller,
    arguments: &[String],
) -> Result<Option<Operator>, Cause> {
    if !expected_containers(arguments).contains(&"replicated-operator") {
        return Ok(None);
    }
    let Some(operator) = &locked.operator else {
        return Err(Cause::config(
            Kind::LockNoOperator,
            "The image lock does not pin the Replicated operator's script, which the installer would download and run as root.",
            BAKE,
        ));
    };
    let (content, _) = script::read(&root.path(script::PINNED_OPERATOR), Some(&operator.sha256))?;
    Ok(Some(Operator { url: operator.url.clone(), content }))
}

/// Makes sure that the lock names each image that the installer would otherwise pull, under exactly the name that it
/// starts. `installer` is the verified script, which is asked for its version where the lock does not state it.
///
/// # Errors
/// `lock.no_replicated_image` (config); those of [`Edition::read`], `host.file`.
pub fn require_images(lock: &Lock, installer: &Path, arguments: &[String]) -> Result<(), Cause> {
    let stated = lock.installer.as_ref().and_then(|installer| installer.version.clone());
    let version = match stated {
        Some(version) => version,
        None => {
            let (content, _) = script::read(installer, None)?;
            Edition::read(&content, &installer.display().to_string())?.version
        }
    };
    let wanted = expected_containers(arguments).into_iter().filter_map(|name| {
        format!("{}{name}:stable-{version}", registry_prefix(&version)).parse::<Reference>().ok()
    });
    let is_locked = |name: &Reference| lock.images.iter().any(|image| image.reference == *name);
    let missing: Vec<Reference> = wanted.filter(|name| !is_locked(name)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let cause = Cause::config(
        Kind::LockNoReplicatedImage,
        format!("The image lock does not list {first}, which the Replicated installer would pull and run."),
        "Add the image to images.toml and bake the AMI again: agent bake.",
    );
    Err(missing.iter().fold(cause, |cause, name| cause.with("not in the lock", name)))
}

/// Whether each of the containers `names` runs the image that the lock names for it. A container that does not exist is no
/// business of this.
///
/// # Errors
/// [`NOT_LOCKED`] (host), about the first, naming all.
pub fn as_locked(containers: &[Container], lock: &Lock, names: &[&str]) -> Result<(), Cause> {
    let mut others = Vec::new();
    for name in names {
        let Some(container) = containers.iter().find(|container| container.name == *name) else { continue };
        let ids: BTreeSet<&str> = images_of(lock, name).map(|image| image.id.as_str()).collect();
        if !ids.contains(container.image_id.as_str()) {
            let ids: Vec<&str> = ids.into_iter().collect();
            others.push((container, if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }));
        }
    }
    let Some((first, _)) = others.first() else { return Ok(()) };
    let cause = Cause::host(
        NOT_LOCKED,
        format!("The container {} is not running the locked image.", first.name),
        "Reinstall the locked images: agent boot --force. If Replicated was upgraded on purpose, bake an AMI with that version.",
    );
    Err(others.iter().fold(cause, |cause, (container, locked)| {
        let cause = cause.with("container", format!("{} ({})", container.name, container.image));
        cause.with("locked", locked).with("runs", &container.image_id)
    }))
}

/// The locked images of one of Replicated's own containers.
fn images_of<'a>(lock: &'a Lock, name: &str) -> impl Iterator<Item = &'a LockedImage> {
    let names = [format!("quay.io/replicated/{name}"), format!("replicated/{name}")];
    let version = lock.installer.as_ref().and_then(|installer| installer.version.as_ref());
    let tag = version.map(|version| format!("stable-{version}"));
    lock.images.iter().filter(move |image| {
        names.iter().any(|name| name == image.reference.repository())
            && tag.as_ref().is_none_or(|tag| tag == image.reference.tag())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn id(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn lock(images: &[(&str, char)]) -> Lock {
        let mut text = format!(
            "version = 2\n[installer]\nurl = \"u\"\nsha256 = \"{}\"\nversion = \"2.38.6\"\n",
            "0".repeat(64)
        );
        for (name, digit) in images {
            text.push_str(&format!("[[image]]\nreference = \"{name}\"\nid = \"{}\"\n", id(*digit)));
        }
        Lock::parse(&text).unwrap()
    }

    fn container(name: &str, digit: char) -> Container {
        Container {
            id: String::new(),
            name: name.to_owned(),
            image: format!("quay.io/replicated/{name}:current"),
            image_id: id(digit),
            state: "running".to_owned(),
            status: String::new(),
            labels: Default::default(),
            health: None,
            exit_code: None,
        }
    }

    #[test]
    fn what_runs_is_compared_by_id_and_for_the_installers_version() {
        let lock = lock(&[
            ("quay.io/replicated/replicated:stable-2.38.6", 'a'),
            ("quay.io/replicated/replicated:stable-2.38.5", 'b'),
            ("quay.io/replicated/replicated-ui:stable-2.38.6", 'c'),
        ]);
        let judged = |daemon: char, ui: char| {
            as_locked(
                &[container("replicated", daemon), container("replicated-ui", ui)],
                &lock,
                &["replicated", "replicated-ui"],
            )
        };
        assert_eq!(judged('a', 'c'), Ok(()));
        for (daemon, ui, name) in
            [('b', 'c', "replicated"), ('a', 'd', "replicated-ui"), ('c', 'a', "replicated")]
        {
            let cause = judged(daemon, ui).unwrap_err();
            assert_eq!(cause.kind, NOT_LOCKED);
            assert!(cause.sentence.contains(&format!("container {name} ")), "{cause}");
        }
        let unnamed = as_locked(&[container("replicated-operator", 'a')], &lock, &["replicated-operator"]);
        assert!(format!("{unnamed:?}").contains("none"), "{unnamed:?}");
        assert_eq!(as_locked(&[], &lock, &["replicated"]), Ok(()), "what does not run is another cause");
    }

    #[test]
    fn each_image_must_be_locked_under_the_name_that_is_started() {
        let nowhere = Path::new("/nonexistent");
        let some = lock(&[
            ("quay.io/replicated/replicated:stable-2.38.6", 'a'),
            ("quay.io/replicated/replicated-ui:stable-2.38.6", 'b'),
            ("quay.io/replicated/replicated-operator:stable-2.38.5", 'c'),
        ]);
        assert_eq!(require_images(&some, nowhere, &strings(&["no_operator"])), Ok(()));
        let cause = require_images(&some, nowhere, &[]).unwrap_err();
        assert_eq!(cause.evidence[0].value, "quay.io/replicated/replicated-operator:stable-2.38.6");
        let cause = require_images(&lock(&[]), nowhere, &strings(&["disable-replicated-ui"])).unwrap_err();
        assert_eq!(cause.evidence.len(), 2);
    }
}
