//! Queries to the Docker engine, each with a timeout, and the causes of failures.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    InspectContainerOptions, LogsOptions, RemoveContainerOptions, TagImageOptions,
};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

pub use super::listing::{Container, Info, LocalImage};
use super::listing::{ListedContainer, ListedImage};
use super::reference::Reference;
use super::transport;
use crate::cause::Cause;
use crate::files::Root;
use crate::kind::Kind;
use crate::secret::url;

/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// Query timeout. A healthy engine responds in milliseconds, one under load in a second or two.
const ANSWER: Duration = Duration::from_secs(10);

const LOOK_FOR_SOCKET_EVERY: Duration = Duration::from_millis(5);

/// How many logs are read at the same time.
const LOGS_AT_ONCE: usize = 2;

/// How many bytes of the end of a container's log are kept.
const LOG_LIMIT: usize = 256 * 1024;

/// The Docker engine of this box. Creating the client connects to nothing, so the engine need not be running.
#[derive(Debug, Clone)]
pub struct Engine {
    address: Address,
    pub(super) root: Root,
    /// Counts the events of all pulls: one pull may legitimately be idle while others use the engine's download slots.
    pub(super) pull_events: Arc<AtomicU64>,
    /// How many containers' logs are read at the same time.
    outputs: Arc<Semaphore>,
    patience: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Socket(PathBuf),
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(host) => f.write_str(&url::shown(&format!("tcp://{host}"))),
        }
    }
}

impl Engine {
    /// The engine at `docker_host` (the value of `DOCKER_HOST`: `unix:///path` or `tcp://host:port`), or at the usual
    /// socket under `root`. A path in `docker_host` is taken as it stands, like everything in the environment.
    ///
    /// # Errors
    /// `docker.address` (config) if `docker_host` has an unsupported form.
    pub fn connect(root: &Root, docker_host: Option<&str>) -> Result<Self, Cause> {
        let address = match docker_host.filter(|host| !host.is_empty()) {
            None => Address::Socket(root.path(SOCKET)),
            Some(host) => match host.split_once("://") {
                Some(("unix", path)) if path.starts_with('/') => Address::Socket(path.into()),
                Some(("tcp" | "http", rest)) if !rest.is_empty() => Address::Tcp(rest.to_owned()),
                _ => {
                    return Err(Cause::config(
                        Kind::DockerAddress,
                        "DOCKER_HOST is not a supported address.",
                        "Set DOCKER_HOST to unix:///path or tcp://host:port, or unset it.",
                    )
                    .with_url("DOCKER_HOST", host));
                }
            },
        };
        Ok(Engine {
            address,
            root: root.clone(),
            pull_events: Arc::default(),
            outputs: Arc::new(Semaphore::new(LOGS_AT_ONCE)),
            patience: ANSWER,
        })
    }

    /// Where the engine is asked, for people.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Pings the engine. Querying its version would make it start two programs, which is far more work.
    ///
    /// # Errors
    /// `docker.socket_missing`, `docker.permission`, `docker.silent`, `docker.down` and `docker.error`, all of class
    /// host. Every other function of this type fails with these as well.
    pub async fn ping(&self) -> Result<(), Cause> {
        let docker = self.client()?;
        self.answer("answer", docker.ping()).await.map(drop)
    }

    /// Returns when the engine's socket is there, or after `limit`.
    pub async fn socket_appears(&self, limit: Duration) {
        let Address::Socket(path) = &self.address else { return };
        let appears = async {
            while !path.exists() {
                tokio::time::sleep(LOOK_FOR_SOCKET_EVERY).await;
            }
        };
        // What is missing then is for whoever asks the engine to say.
        let _ = tokio::time::timeout(limit, appears).await;
    }

    /// Storage and version.
    ///
    /// # Errors
    /// As for [`Engine::ping`].
    pub async fn info(&self) -> Result<Info, Cause> {
        let docker = self.client()?;
        let info = self.answer("describe itself", docker.info()).await?;
        Ok(Info {
            version: info.server_version.unwrap_or_default(),
            storage_driver: info.driver.unwrap_or_default(),
            storage_status: info.driver_status.unwrap_or_default().into_iter().filter_map(pair).collect(),
            root_directory: info.docker_root_dir.unwrap_or_default().into(),
            warnings: info.warnings.unwrap_or_default(),
        })
    }

    /// Every image, in one call.
    ///
    /// # Errors
    /// As for [`Engine::ping`].
    pub async fn images(&self) -> Result<Vec<LocalImage>, Cause> {
        let list = transport::list::<ListedImage>(&self.address, "/images/json");
        Ok(self.answer("list its images", list).await?.into_iter().map(LocalImage::from).collect())
    }

    /// The id of the image that goes by `name` (`name:tag` or `name@sha256:…`); `None` if there is none.
    ///
    /// # Errors
    /// As for [`Engine::ping`].
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Cause> {
        let docker = self.client()?;
        let question = async {
            match docker.inspect_image(name).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(|image| image.id),
            }
        };
        self.answer("look up an image", question).await
    }

    /// Every container, running or not, in one call.
    ///
    /// # Errors
    /// As for [`Engine::ping`].
    pub async fn containers(&self) -> Result<Vec<Container>, Cause> {
        let list = transport::list::<ListedContainer>(&self.address, "/containers/json?all=true");
        let listed = self.answer("list its containers", list).await?;
        let mut containers: Vec<Container> = listed.into_iter().map(Container::from).collect();
        // Where the name has moved to another image, the listing shows the id in its place.
        for container in containers.iter_mut().filter(|container| container.image.starts_with("sha256:")) {
            let docker = self.client()?;
            let asked =
                self.answer("inspect a container", docker.inspect_container(&container.id, None)).await;
            // A container may be gone by now.
            if let Some(name) = asked.ok().and_then(|found| found.config).and_then(|config| config.image) {
                container.image = name;
            }
        }
        Ok(containers)
    }

    /// Tags the image `image` (an ID or a name) as `name`, moving an existing tag.
    ///
    /// # Errors
    /// As for [`Engine::ping`].
    pub async fn tag(&self, image: &str, name: &Reference) -> Result<(), Cause> {
        let docker = self.client()?;
        let options =
            TagImageOptions { repo: Some(name.repository().to_owned()), tag: Some(name.tag().to_owned()) };
        self.answer("tag an image", docker.tag_image(image, Some(options))).await
    }

    /// Removes a stopped container with its anonymous volumes. A missing one is not an error.
    ///
    /// # Errors
    /// As for [`Engine::ping`]; `docker.error` too if it runs.
    pub async fn remove_container(&self, container: &str) -> Result<(), Cause> {
        let docker = self.client()?;
        let options = RemoveContainerOptions { v: true, ..Default::default() };
        let order = async {
            match docker.remove_container(container, Some(options)).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
                other => other,
            }
        };
        self.answer("remove a container", order).await
    }

    /// The last `tail` lines of `container` (a name or an ID), stdout and stderr in order. The caller must scrub the
    /// text.
    ///
    /// # Errors
    /// As for [`Engine::ping`], and `docker.no_container` if it does not exist.
    pub async fn logs(&self, container: &str, tail: usize) -> Result<Vec<String>, Cause> {
        let mut text: Vec<u8> = Vec::new();
        let mut is_cut = false;
        let keep = |piece: &[u8]| {
            text.extend_from_slice(piece);
            if text.len() > 2 * LOG_LIMIT {
                text.drain(..text.len() - LOG_LIMIT);
                is_cut = true;
            }
        };
        self.read_log(container, tail, keep).await?;
        let text = String::from_utf8_lossy(&text);
        // Half a line could be half a secret.
        let lines: Vec<&str> = text.lines().skip(usize::from(is_cut)).collect();
        Ok(lines[lines.len().saturating_sub(tail)..].iter().map(|line| (*line).to_owned()).collect())
    }

    /// Like it, in chunks, so that partial output is available on failure. A chunk may end within a line, and the first
    /// one may begin within a line longer than 16 KiB.
    ///
    /// Without the engine's timestamps, which it would also insert within long lines.
    ///
    /// # Errors
    /// As for [`Engine::logs`].
    pub async fn read_log(
        &self,
        container: &str,
        tail: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Cause> {
        // Each holds up to the limit in memory, and a support bundle wants all of them.
        let _turn = self.outputs.acquire().await;
        let docker = self.client_for_output()?;
        let options =
            LogsOptions { stdout: true, stderr: true, tail: tail.to_string(), ..Default::default() };
        let mut stream = docker.logs(container, Some(options));
        let reading = async {
            while let Some(piece) = stream.next().await {
                take(piece?.as_ref());
            }
            Ok(())
        };
        self.answer("show the log of a container", reading).await
    }

    /// The ports and the rest are of no interest here; whether the container exists and runs is.
    pub(super) async fn container_runs(&self, container: &str) -> Result<Option<bool>, Cause> {
        let docker = self.client()?;
        let question = async {
            match docker.inspect_container(container, None::<InspectContainerOptions>).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(|found| Some(found.state.and_then(|state| state.running) == Some(true))),
            }
        };
        self.answer("look up a container", question).await
    }

    pub(super) fn client(&self) -> Result<Docker, Cause> {
        transport::client(&self.address, transport::ANSWER).map_err(|error| self.failed("be reached", &error))
    }

    /// For what a container or a command writes.
    pub(super) fn client_for_output(&self) -> Result<Docker, Cause> {
        transport::client(&self.address, transport::OUTPUT).map_err(|error| self.failed("be reached", &error))
    }

    /// Waits for one answer, and not for ever.
    pub(super) async fn answer<T>(
        &self,
        doing: &str,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Cause> {
        match tokio::time::timeout(self.patience, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(doing, &error)),
            Err(_) => Err(self.silent(doing)),
        }
    }

    pub(super) fn place(&self) -> &Address {
        &self.address
    }

    /// Whether the engine is on this machine, so that the process ids it reports may be this machine's.
    pub fn is_local(&self) -> bool {
        matches!(self.address, Address::Socket(_))
    }

    fn silent(&self, doing: &str) -> Cause {
        Cause::host(
            Kind::DockerSilent,
            format!(
                "The Docker engine accepts connections but did not {doing} within {} s.",
                self.patience.as_secs_f32()
            ),
            "See what the engine is doing: journalctl -u docker -n 50.",
        )
        .with("engine", &self.address)
    }

    pub(super) fn failed(&self, doing: &str, error: &Error) -> Cause {
        let cause = match (error, connection_error(error)) {
            (Error::SocketNotFoundError(_), _) | (_, Some(io::ErrorKind::NotFound)) => Cause::host(
                Kind::DockerSocketMissing,
                "The Docker engine's socket does not exist: Docker is not running, or not installed.",
                "Start it: systemctl start docker; then journalctl -u docker -n 50.",
            ),
            (_, Some(io::ErrorKind::PermissionDenied)) => Cause::host(
                Kind::DockerPermission,
                "This user is not allowed to access the Docker engine.",
                "Run this as root, or as a member of the docker group.",
            ),
            (_, Some(io::ErrorKind::ConnectionRefused)) => Cause::host(
                Kind::DockerDown,
                "The Docker engine is down: its socket exists, but nothing is listening on it.",
                "Start it: systemctl start docker; then journalctl -u docker -n 50.",
            ),
            (Error::DockerResponseServerError { status_code: 404, .. }, _)
                if error.to_string().contains("No such container") =>
            {
                Cause::host(
                    Kind::DockerNoContainer,
                    "The container does not exist.",
                    "See the existing containers: docker ps -a.",
                )
            }
            (Error::DockerResponseServerError { .. } | Error::JsonDataError { .. }, _) => Cause::host(
                Kind::DockerError,
                format!("The Docker engine failed to {doing}."),
                "Check the engine's log: journalctl -u docker -n 50.",
            ),
            _ => Cause::host(
                Kind::DockerDown,
                format!("The connection to the Docker engine was lost before it could {doing}."),
                "Check that it is running: systemctl status docker; journalctl -u docker -n 50.",
            ),
        };
        cause.with("engine", &self.address).with_error(error)
    }
}

fn pair(words: Vec<String>) -> Option<(String, String)> {
    <[String; 2]>::try_from(words).ok().map(|[name, value]| (name, value))
}

/// The operating system's error for the failed connection.
fn connection_error(error: &Error) -> Option<io::ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = inner.source();
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
