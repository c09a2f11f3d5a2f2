//! Leftovers of another instance in the image: found by name, reported with a next step, and removed unless data could
//! be lost.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bundle::BundleFile;
use crate::cause::Cause;
use crate::console::text;
use crate::docker::engine::{Container, Engine};
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::secret::Secrets;
use crate::settings::Settings;

/// How a leftover is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The file or directory is removed.
    Remove,
    /// The file is truncated.
    Empty,
    /// It is left for a person to remove.
    ByHand,
}

/// A leftover of an instance.
struct Trace {
    kind: Kind,
    /// Paths below the root; one `*` matches any part of a name.
    paths: &'static [&'static str],
    what: &'static str,
    way: Way,
}

/// The leftovers to look for, besides the bundle. Empty directories and files do not count.
const TRACES: &[Trace] = &[
    Trace {
        kind: Kind::HygieneReplicated,
        paths: &["/etc/default/replicated*", "/etc/sysconfig/replicated*"],
        what: "it contains another instance's address and daemon token",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneReplicated,
        paths: &["/var/lib/replicated*"],
        what: "it is the Replicated state of another instance",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneReplicated,
        // Full names: similarly named drop-ins or custom units may belong in the image.
        paths: &[
            "/etc/systemd/system/replicated.service",
            "/etc/systemd/system/replicated-ui.service",
            "/etc/systemd/system/replicated-operator.service",
            "/etc/systemd/system/*.wants/replicated.service",
            "/etc/systemd/system/*.wants/replicated-ui.service",
            "/etc/systemd/system/*.wants/replicated-operator.service",
        ],
        what: "it starts another instance's Replicated",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneReplicated,
        paths: &["/usr/local/bin/replicated", "/usr/local/bin/replicatedctl"],
        what: "the installer creates this wrapper on each instance",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneBootRecord,
        paths: &["/var/lib/boot-agent"],
        what: "it is another instance's boot record",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneAppData,
        paths: &["/data/circle"],
        what: "it contains databases and encryption keys of another instance, which may be the only copy",
        way: Way::ByHand,
    },
    Trace {
        kind: Kind::HygieneMachineId,
        // Truncated and not removed: without the file, systemd treats the next boot as the first and resets the enabled
        // units to its presets (machine-id(5)).
        paths: &["/etc/machine-id"],
        what: "every instance would have the same machine ID",
        way: Way::Empty,
    },
    Trace {
        kind: Kind::HygieneMachineId,
        paths: &["/var/lib/dbus/machine-id"],
        what: "every instance would have the same machine ID",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneCloudInit,
        paths: &[
            "/var/lib/cloud/instance",
            "/var/lib/cloud/instances",
            "/var/lib/cloud/data",
            "/var/lib/cloud/sem",
            "/var/log/cloud-init*.log",
        ],
        what: "it is cloud-init's state of another instance, including its user-data",
        way: Way::Remove,
    },
    Trace {
        kind: Kind::HygieneCredentialKey,
        paths: &["/var/lib/systemd/credential.secret"],
        what: "every instance would share one credential encryption key",
        way: Way::Remove,
    },
];

const HOST_KEYS: &str = "/etc/ssh/ssh_host_*";

const REGISTRY_LOGINS: &str = "/root/.docker/config.json";

/// One thing that was found.
#[derive(Debug)]
struct Left {
    /// The path or container, and what is wrong with it.
    name: String,
    what: String,
    cause: Cause,
    is_error: bool,
    remedy: Remedy,
    removed: bool,
}

#[derive(Debug)]
enum Remedy {
    Path(Way, PathBuf),
    Container(String),
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Hygiene {
    left: Vec<Left>,
}

/// Looks for all leftovers; containers only with `containers`.
///
/// # Errors
/// `host.file` if a directory cannot be read.
pub(super) fn scan(
    root: &Root,
    settings: &Settings,
    containers: Option<&[Container]>,
) -> Result<Hygiene, Cause> {
    let mut found = Hygiene::default();
    for trace in TRACES {
        for pattern in trace.paths {
            for path in matching(root, pattern)? {
                found.path(trace.kind, path, trace.what, trace.way, true);
            }
        }
    }
    for file in BundleFile::ALL {
        for path in matching(root, file.installed_path())? {
            found.path(
                Kind::HygieneBundle,
                path,
                "it belongs to another instance and contains its secrets",
                Way::Remove,
                true,
            );
        }
    }
    for extra in &settings.extra {
        // A tree may contain files that belong in the image, or that cannot be restored.
        let (way, what) = if extra.is_tree {
            (Way::ByHand, "the bundle installs files there, and the image already contains some")
        } else {
            (Way::Remove, "the bundle installs it, and the image already contains one")
        };
        for path in matching(root, &extra.path.to_string_lossy())? {
            found.path(Kind::HygieneBundle, path, what, way, !extra.is_tree);
        }
    }
    // Only cloud-init generates new ones. Without it, shared keys are better than a box that nobody can log in to.
    let has_cloud_init =
        ["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"].iter().any(|file| root.path(file).exists());
    for path in matching(root, HOST_KEYS)? {
        if has_cloud_init {
            let what = "every instance would have the same SSH host key; cloud-init generates new ones";
            found.path(Kind::HygieneSshHostKey, path, what, Way::Remove, true);
        } else {
            let what = "every instance would have the same SSH host key, and without cloud-init nothing generates new ones";
            found.path(Kind::HygieneSshHostKey, path, what, Way::ByHand, false);
        }
    }
    for path in matching(root, REGISTRY_LOGINS)? {
        let what = "the image contains registry logins, which a boot uses to pull missing images";
        found.path(Kind::HygieneRegistryLogin, path, what, Way::ByHand, false);
    }
    for container in containers.unwrap_or_default() {
        if is_of_replicated(container) {
            found.container(container);
        }
    }
    Ok(found)
}

/// Refuses to clean a box in service.
///
/// # Errors
/// `bake.box_in_use`.
pub(super) fn refuse_box_in_use(containers: &[Container]) -> Result<(), Cause> {
    let Some(running) = containers.iter().find(|it| is_of_replicated(it) && it.is_running()) else {
        return Ok(());
    };
    Err(Cause::config(
        Kind::BakeBoxInUse,
        "Replicated is running on this machine: --clean would remove its state, so nothing was removed.",
        "Bake on a machine that is not in service; to clean this one anyway, stop the app and Replicated first.",
    )
    .with("container", format!("{}: {}", running.name, running.status)))
}

/// Replicated's own containers, and those of the app that it starts from its registry.
fn is_of_replicated(container: &Container) -> bool {
    let name = container.name.as_str();
    ["replicated", "retraced"].iter().any(|own| name == *own || name.starts_with(&format!("{own}-")))
        || container.image.contains(":9874/")
}

impl Hygiene {
    fn path(&mut self, kind: Kind, path: PathBuf, what: &str, way: Way, is_error: bool) {
        let shown = path.display();
        let next_step = match way {
            Way::Remove => format!("Remove it: agent bake --clean, or rm -rf {shown}"),
            Way::Empty => format!("Empty it: agent bake --clean, or truncate --size 0 {shown}"),
            Way::ByHand => {
                format!(
                    "Inspect it, and remove it by hand if it does not belong in the image: rm -rf {shown}"
                )
            }
        };
        let cause = Cause::config(kind, format!("{shown} is in the image: {what}."), next_step);
        self.left.push(Left {
            name: shown.to_string(),
            what: what.to_owned(),
            cause,
            is_error,
            remedy: Remedy::Path(way, path),
            removed: false,
        });
    }

    fn container(&mut self, container: &Container) {
        let name = format!("the container {}", container.name);
        let what = "it belongs to another instance and has its token in its environment";
        let cause = Cause::config(
            Kind::HygieneContainer,
            format!("The container {} is in the image: {what}.", container.name),
            format!("Remove it: agent bake --clean, or docker rm --force --volumes {}", container.name),
        )
        .with("state", &container.status);
        let remedy = Remedy::Container(container.id.clone());
        self.left.push(Left { name, what: what.to_owned(), cause, is_error: true, remedy, removed: false });
    }

    /// Removes what can be removed safely.
    ///
    /// # Errors
    /// `host.file`, and those of [`Engine::ping`]; re-running resumes.
    pub(super) async fn clean(&mut self, engine: &Engine) -> Result<(), Cause> {
        for left in &mut self.left {
            match &left.remedy {
                Remedy::Path(Way::ByHand, _) => continue,
                Remedy::Path(Way::Remove, path) => remove(path)?,
                Remedy::Path(Way::Empty, path) => {
                    File::create(path).map_err(|error| files::failed("empty", path, &error))?;
                }
                Remedy::Container(id) => engine.remove_container(id).await?,
            }
            left.removed = true;
        }
        Ok(())
    }

    /// Whether anything that must not be in the image remains.
    pub(super) fn has_errors(&self) -> bool {
        self.left.iter().any(|left| left.is_error && !left.removed)
    }

    /// The remaining leftovers as checks: the cause, and whether it is a failure.
    pub(super) fn findings(self) -> impl Iterator<Item = (Cause, bool)> {
        self.left.into_iter().filter(|left| !left.removed).map(|left| (left.cause, left.is_error))
    }

    pub(super) fn summary(&self) -> String {
        let count = |of: fn(&&Left) -> bool| self.left.iter().filter(of).count();
        let (removed, errors) = (count(|left| left.removed), count(|left| left.is_error && !left.removed));
        match (removed, errors) {
            (0, 0) => "no leftovers from another instance".to_owned(),
            (_, 0) => format!("no leftovers from another instance; {removed} removed"),
            (0, _) => format!("{errors} of another box"),
            _ => format!("{errors} of another box are left; {removed} removed"),
        }
    }

    /// Makes every free text fit to be shown.
    pub(super) fn scrub(&mut self, secrets: &Secrets) {
        for left in &mut self.left {
            left.cause.scrub(secrets);
            left.name = secrets.foreign(&left.name);
        }
    }

    /// Two lines for each leftover.
    pub(super) fn text(&self) -> String {
        let mut said = String::new();
        for Left { name, what, cause, is_error, remedy, removed } in &self.left {
            let done = if matches!(remedy, Remedy::Path(Way::Empty, _)) { "emptied" } else { "removed" };
            said.push_str(&match (removed, is_error) {
                (true, _) => format!("{} {done} {name}: {what}\n", text::green("✓")),
                (_, true) => format!("{} {cause}\n    → {}\n", text::red("✗"), cause.next_step),
                (_, false) => format!("{} {cause}\n    → {}\n", text::yellow("!"), cause.next_step),
            });
        }
        said
    }

    pub(super) fn json(&self) -> Value {
        let items = self.left.iter().map(|left| {
            let severity = if left.is_error { "error" } else { "warning" };
            json!({ "severity": severity, "removed": left.removed, "cause": left.cause })
        });
        items.collect()
    }
}

fn remove(path: &Path) -> Result<(), Cause> {
    let removed = fs::symlink_metadata(path)
        .and_then(|found| if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::failed("remove", path, &error)),
        _ => Ok(()),
    }
}

/// The paths that match `pattern`, sorted, without empty ones.
fn matching(root: &Root, pattern: &str) -> Result<Vec<PathBuf>, Cause> {
    let mut found = vec![root.directory().to_path_buf()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let Some((start, end)) = part.split_once('*') else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let mut next = Vec::new();
        for directory in found {
            for name in names(&directory)? {
                let fits =
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
                if fits {
                    next.push(directory.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| !is_empty(path));
    Ok(found)
}

fn names(directory: &Path) -> Result<Vec<String>, Cause> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(files::failed("read", directory, &error)),
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

/// A missing file counts as empty, as does a machine ID that systemd has yet to fill in.
fn is_empty(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Err(_) => true,
        Ok(found) if found.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        Ok(found) if found.is_symlink() => path.ends_with("dbus/machine-id"),
        Ok(found) => {
            found.len() == 0
                || (path.ends_with("machine-id")
                    && files::read_text(path).is_ok_and(|text| text.trim() == "uninitialized"))
        }
    }
}
