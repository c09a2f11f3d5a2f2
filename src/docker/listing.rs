//! What the engine lists.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The engine's version, e.g. `20.10.24`.
    pub version: String,
    /// How images and containers are stored, e.g. `overlay2`.
    pub storage_driver: String,
    /// What the storage driver says of itself, name and value.
    pub storage_status: Vec<(String, String)>,
    /// Where they are stored on the host.
    pub root_directory: PathBuf,
    /// Warnings that the engine has about its own set-up.
    pub warnings: Vec<String>,
}

/// One image that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// `sha256:…`.
    pub id: String,
    /// Every `name:tag` of it.
    pub tags: Vec<String>,
    /// Every `name@sha256:…` under which it was pulled.
    pub repo_digests: Vec<String>,
    /// Bytes, unpacked.
    pub size: u64,
}

/// One container, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The container's id.
    pub id: String,
    /// Its name without the leading slash.
    pub name: String,
    /// The image by the name under which it was started.
    pub image: String,
    /// That image's id, `sha256:…`.
    pub image_id: String,
    /// `running`, `exited`, `restarting`, `created`, `paused`, `dead`.
    pub state: String,
    /// The engine's own words, e.g. `Exited (1) 3 minutes ago`.
    pub status: String,
    /// Labels, unordered.
    pub labels: HashMap<String, String>,
    /// `healthy`, `unhealthy` or `starting`, if the container has a health check.
    pub health: Option<String>,
    /// What its main process last ended with, if it has ended.
    pub exit_code: Option<i32>,
}

impl Container {
    /// Whether it runs now; a container that restarts for ever does not.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }
}

/// What is read of an image in the engine's list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedImage {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
}

/// What is read of a container in the engine's list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(super) struct ListedContainer {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    state: Option<String>,
    status: Option<String>,
    labels: Option<HashMap<String, String>>,
}

impl From<ListedImage> for LocalImage {
    fn from(image: ListedImage) -> Self {
        LocalImage {
            id: image.id,
            tags: named(image.repo_tags.unwrap_or_default()),
            repo_digests: named(image.repo_digests.unwrap_or_default()),
            size: image.size.try_into().unwrap_or(0),
        }
    }
}

impl From<ListedContainer> for Container {
    fn from(container: ListedContainer) -> Self {
        let status = container.status.unwrap_or_default();
        // A link to a container adds a name with two slashes.
        let name = container.names.unwrap_or_default().into_iter().find_map(|name| {
            let name = name.trim_start_matches('/');
            (!name.contains('/')).then(|| name.to_owned())
        });
        Container {
            id: container.id,
            name: name.unwrap_or_default(),
            image: container.image.unwrap_or_default(),
            image_id: container.image_id.unwrap_or_default(),
            state: container.state.unwrap_or_default(),
            labels: container.labels.unwrap_or_default(),
            health: health(&status),
            exit_code: exit_code(&status),
            status,
        }
    }
}

/// Without the `<none>:<none>` that the engine lists for an image without a name.
fn named(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.contains("<none>")).collect()
}

/// The listing carries neither health nor exit code in fields of their own before API 1.52; the status text always did.
fn health(status: &str) -> Option<String> {
    let words = status.strip_suffix(')')?.rsplit_once('(')?.1;
    let word = words.strip_prefix("health: ").unwrap_or(words);
    matches!(word, "healthy" | "unhealthy" | "starting").then(|| word.to_owned())
}

fn exit_code(status: &str) -> Option<i32> {
    let rest = ["Exited (", "Restarting ("].iter().find_map(|start| status.strip_prefix(start))?;
    rest.split_once(')')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_and_exit_code_are_read_from_the_status_text() {
        for (status, has_health, code) in [
            ("Up 3 minutes", None, None),
            ("Up 3 minutes (healthy)", Some("healthy"), None),
            ("Up 2 seconds (health: starting)", Some("starting"), None),
            ("Up 2 hours (unhealthy)", Some("unhealthy"), None),
            ("Up 2 hours (Paused)", None, None),
            ("Exited (137) 2 days ago", None, Some(137)),
            ("Restarting (1) 4 seconds ago", None, Some(1)),
            ("Created", None, None),
        ] {
            assert_eq!(health(status).as_deref(), has_health, "{status}");
            assert_eq!(exit_code(status), code, "{status}");
        }
    }
}
