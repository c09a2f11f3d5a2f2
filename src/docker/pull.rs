//! Pulling an image by its digest or its tag, and the causes why a registry does not give it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::credentials;
use super::engine::Engine;
use super::reference::{Digest, Reference};
use super::transport::Events;
use crate::cause::Cause;
use crate::kind::Kind;

/// How long a pull may be without any sign of life. The engine gives up a silent registry by itself after some 15 to 30
/// seconds for each of its attempts; this bounds an engine that does not.
const STALLED: Duration = Duration::from_secs(120);

/// How many layers of an image are followed; an image has at most 127.
const MOST_LAYERS: usize = 1000;

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// The image, as it is named in the lock.
    pub reference: String,
    /// Layers that are in place.
    pub layers_done: usize,
    /// Layers known so far.
    pub layers: usize,
    /// Bytes downloaded of the layers whose size is known.
    pub bytes: u64,
    /// Bytes to download of the layers whose size is known; it grows while layers are discovered.
    pub bytes_total: u64,
}

/// Hears of progress; called often, so it has to be quick.
pub type OnProgress<'a> = dyn Fn(&PullProgress) + Send + Sync + 'a;

impl Engine {
    /// Pulls exactly the content `digest` of the repository of `reference`. It gets no tag by that.
    ///
    /// # Errors
    /// `registry.refused`, `registry.unreachable`, `registry.error`, `registry.rate_limited` (external);
    /// `registry.unauthorized`, `registry.not_found`, `registry.tls`, `registry.credentials` (config);
    /// `docker.disk_full` and those of [`Engine::ping`] (host).
    pub async fn pull(
        &self,
        reference: &Reference,
        digest: &Digest,
        on_progress: &OnProgress<'_>,
    ) -> Result<(), Cause> {
        self.pull_as(reference, digest.as_str(), on_progress).await.map(|_| ())
    }

    /// Pulls what the tag of `reference` stands for now, and returns the digest by which the same content is pulled
    /// again.
    ///
    /// # Errors
    /// As for [`Engine::pull`], and `registry.no_digest` (external) if the engine does not say what it pulled.
    pub async fn pull_tag(
        &self,
        reference: &Reference,
        on_progress: &OnProgress<'_>,
    ) -> Result<Digest, Cause> {
        let digest = self.pull_as(reference, reference.tag(), on_progress).await?;
        digest.ok_or_else(|| {
            let cause = Cause::external(
                Kind::RegistryNoDigest,
                format!("The engine pulled {reference} but does not report its digest."),
                "Pull it again; if that does not help, check the registry.",
            );
            about(reference, cause)
        })
    }

    async fn pull_as(
        &self,
        reference: &Reference,
        tag: &str,
        on_progress: &OnProgress<'_>,
    ) -> Result<Option<Digest>, Cause> {
        // The library encodes logins in standard base64, which engines before 23 silently take for no login at all.
        let login = credentials::header(&self.root, reference)?;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path =
            format!("/images/create?fromImage={}&tag={}", encoded(reference.repository()), encoded(tag));
        let stalled = || {
            about(reference, unreachable(reference.registry()))
                .with("error", format!("no data for {} s", STALLED.as_secs()))
        };
        let asked = tokio::time::timeout(STALLED, Events::post(self.place(), &path, login.as_deref())).await;
        let mut events = asked.map_err(|_| stalled())?.map_err(|error| self.refused(reference, &error))?;
        let mut layers = Layers::default();
        let mut digest = None;
        loop {
            let seen = self.pull_events.load(Ordering::Relaxed);
            match tokio::time::timeout(STALLED, events.next()).await {
                Ok(None) => return Ok(digest),
                Ok(Some(Ok(CreateImageInfo { error_detail: Some(said), .. }))) => {
                    let error = Error::DockerStreamError { error: said.message.unwrap_or_default() };
                    return Err(self.refused(reference, &error));
                }
                Ok(Some(Ok(event))) => {
                    self.pull_events.fetch_add(1, Ordering::Relaxed);
                    digest = said_digest(&event).or(digest);
                    if layers.take(event) {
                        on_progress(&layers.progress(reference));
                    }
                }
                Ok(Some(Err(error))) => return Err(self.refused(reference, &error)),
                Err(_) if self.pull_events.load(Ordering::Relaxed) != seen => {}
                Err(_) => return Err(stalled()),
            }
        }
    }

    fn refused(&self, reference: &Reference, error: &Error) -> Cause {
        let words = match error {
            Error::DockerResponseServerError { message, .. } => message,
            Error::DockerStreamError { error } => error,
            _ => return self.failed("pull an image", error),
        };
        about(reference, registry_cause(reference.registry(), words)).with("error", words.trim())
    }
}

/// The engine names the digest in an event of its own, which is about no layer: `Digest: sha256:…`.
fn said_digest(event: &CreateImageInfo) -> Option<Digest> {
    event.status.as_deref()?.strip_prefix("Digest: ")?.parse().ok()
}

fn about(reference: &Reference, cause: Cause) -> Cause {
    cause.with("image", reference).with("registry", reference.registry())
}

fn unreachable(registry: &str) -> Cause {
    Cause::external(
        Kind::RegistryUnreachable,
        format!("The registry {registry} cannot be reached from this box."),
        "Make it reachable: route, NAT, security group, or the engine's proxy.",
    )
}

/// The engine passes on what happened as text alone, with the same status for everything. These words have been stable
/// over the engine's versions: they are the Go library's, the registry protocol's error codes, and HTTP's.
fn registry_cause(registry: &str, words: &str) -> Cause {
    let lower = words.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| lower.contains(word));
    if says(&["no space left on device", "disk quota exceeded"]) {
        Cause::host(
            Kind::DockerDiskFull,
            "The disk of the Docker engine is full, so no image can be pulled.",
            "Give the instance a larger volume, or free space: docker system df.",
        )
    } else if says(&["connection refused"]) {
        Cause::external(
            Kind::RegistryRefused,
            format!(
                "The registry {registry} refused the connection: the host is up, but nothing is listening on the port."
            ),
            "Start the registry, or correct its address and port in the image name.",
        )
    } else if says(&["toomanyrequests", "too many requests", "rate limit"]) {
        Cause::external(
            Kind::RegistryRateLimited,
            format!("The registry {registry} is rate-limiting pulls."),
            "Wait, or log in with docker login for a higher limit.",
        )
    } else if says(&["manifest unknown", "not found", "no matching manifest", "name unknown"]) {
        Cause::config(
            Kind::RegistryNotFound,
            format!("The registry {registry} does not have this image."),
            "Push the image again, or correct its name in images.toml and bake a new lock.",
        )
    } else if says(&["unauthorized", "access denied", "denied:", "authentication required", "no basic auth"])
    {
        Cause::config(
            Kind::RegistryUnauthorized,
            format!("The registry {registry} denied this pull."),
            format!("Put a valid login into /root/.docker/config.json: docker login {registry}."),
        )
    } else if says(&["x509", "tls: ", "server gave http response to https client"]) {
        Cause::config(
            Kind::RegistryTls,
            format!("The Docker engine does not trust the TLS certificate of the registry {registry}."),
            format!(
                "Put the registry's CA into /etc/docker/certs.d/{registry}/ca.crt, or list it in \
                 insecure-registries of /etc/docker/daemon.json."
            ),
        )
    } else if says(&["timeout", "deadline exceeded", "no such host", "no route", "unreachable", "lookup "])
        || says(&["connection reset", "eof", "server misbehaving"])
    {
        unreachable(registry)
    } else if says(&["failed to register layer", "error creating layer", "operation not permitted"]) {
        Cause::host(
            Kind::DockerError,
            "The Docker engine could not store the image.",
            "Check the engine's log: journalctl -u docker -n 50.",
        )
    } else {
        Cause::external(
            Kind::RegistryError,
            format!("The registry {registry} returned an error."),
            "Check the registry; its message is in the evidence.",
        )
    }
}

#[derive(Default)]
struct Layers {
    known: HashMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    done: bool,
    bytes: u64,
    total: u64,
}

impl Layers {
    /// Takes in one event; says whether it changed anything that is shown.
    fn take(&mut self, event: CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (event.id, event.status) else {
            return false;
        };
        if self.known.len() >= MOST_LAYERS && !self.known.contains_key(&id) {
            return false;
        }
        let detail = event.progress_detail.unwrap_or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        match status.as_str() {
            "Pulling fs layer" | "Waiting" => {
                self.known.entry(id).or_default();
            }
            "Downloading" => {
                let layer = self.known.entry(id).or_default();
                layer.bytes = number(detail.current);
                layer.total = layer.total.max(number(detail.total));
            }
            "Download complete" | "Verifying Checksum" => {
                let layer = self.known.entry(id).or_default();
                layer.bytes = layer.total;
            }
            "Pull complete" | "Already exists" => {
                let layer = self.known.entry(id).or_default();
                layer.done = true;
                layer.bytes = layer.total;
            }
            _ => return false,
        }
        true
    }

    fn progress(&self, reference: &Reference) -> PullProgress {
        let sum = |of: fn(&Layer) -> u64| self.known.values().map(of).sum();
        PullProgress {
            reference: reference.to_string(),
            layers_done: self.known.values().filter(|layer| layer.done).count(),
            layers: self.known.len(),
            bytes: sum(|layer| layer.bytes),
            bytes_total: sum(|layer| layer.total),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cause::Class;
    use bollard::models::ProgressDetail;

    #[test]
    fn what_the_engine_says_of_a_registry_becomes_its_cause() {
        use Class::{Config, External, Host};
        for (words, kind, class) in [
            (
                r#"Get "https://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused"#,
                Kind::RegistryRefused,
                External,
            ),
            (
                r#"Get "https://quay.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)"#,
                Kind::RegistryUnreachable,
                External,
            ),
            (
                r#"Get "https://quay.io/v2/": dial tcp: lookup quay.io on 10.0.0.2:53: no such host"#,
                Kind::RegistryUnreachable,
                External,
            ),
            (
                "manifest for 127.0.0.1:5000/a@sha256:00 not found: manifest unknown: manifest unknown",
                Kind::RegistryNotFound,
                Config,
            ),
            (
                "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Kind::RegistryUnauthorized,
                Config,
            ),
            (
                "unauthorized: access to the requested resource is not authorized",
                Kind::RegistryUnauthorized,
                Config,
            ),
            (
                r#"Get "https://r/v2/": x509: certificate signed by unknown authority"#,
                Kind::RegistryTls,
                Config,
            ),
            ("toomanyrequests: You have reached your pull rate limit.", Kind::RegistryRateLimited, External),
            ("received unexpected HTTP status: 503 Service Unavailable", Kind::RegistryError, External),
            ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", Kind::DockerDiskFull, Host),
            ("failed to register layer: lchown /x: invalid argument", Kind::DockerError, Host),
        ] {
            let cause = registry_cause("127.0.0.1:5000", words);
            assert_eq!((cause.kind, cause.class), (kind, class), "{words}");
        }
    }

    #[test]
    fn layers_add_up_whatever_the_order_of_their_events() {
        let reference: Reference = "a:1".parse().unwrap();
        let mut layers = Layers::default();
        let mut say = |id: &str, status: &str, current: i64, total: i64| {
            layers.take(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
                ..Default::default()
            })
        };
        assert!(!say("sha256:00", "Pulling from a", 0, 0));
        assert!(say("l1", "Pulling fs layer", 0, 0));
        assert!(say("l2", "Already exists", 0, 0));
        assert!(say("l1", "Downloading", 30, 100));
        assert!(say("l3", "Downloading", 5, 50));
        assert!(say("l3", "Pull complete", 0, 0));
        let progress = layers.progress(&reference);
        assert_eq!((progress.layers_done, progress.layers), (2, 3));
        assert_eq!((progress.bytes, progress.bytes_total), (80, 150));
    }
}
