//! Facts shared by several checks; each is fetched once, by the first check that needs it.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::check::Id;
use crate::aws::imds::{self, Identity, Imds};
use crate::aws::s3::S3;
use crate::aws::{self, Aws};
use crate::bundle::{self, BundleFile, DatabaseUri, Fetched, Finding, Validation};
use crate::cause::Cause;
use crate::docker::engine::{Container, Engine, Info, LocalImage};
use crate::files::Root;
use crate::http::Http;
use crate::kind::Kind;
use crate::record::Record;
use crate::replicated::answers;
use crate::replicated::app::{self, AppStatus, SystemPart};
use crate::secret::Secrets;
use crate::settings::{Settings, Source};
use crate::source::{self, Beside};

/// Timeout for one fact. The underlying requests have their own timeouts, with better messages.
const LIMIT: Duration = Duration::from_secs(30);

/// What a question works with.
pub(crate) struct ProbeContext<'g> {
    pub(crate) root: &'g Root,
    pub(crate) settings: &'g Settings,
    pub(crate) http: &'g Http,
    pub(crate) secrets: &'g Secrets,
}

/// Why a question has no answer of its own.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It failed.
    Failed(Cause),
    /// A fact is missing: the check that reports it, and why.
    Missing { check: Id, cause: Cause },
    /// There is nothing to check, or permission is missing.
    NotAsked(String),
}

impl From<Cause> for Stopped {
    fn from(cause: Cause) -> Self {
        match unseen(&cause) {
            Some(reason) => Stopped::NotAsked(reason),
            None => Stopped::Failed(cause),
        }
    }
}

/// Whether the cause is a missing permission of this user, and no problem of the box.
fn unseen(cause: &Cause) -> Option<String> {
    match cause.kind {
        Kind::HostPermission => {
            let sentence = cause.sentence.trim_end_matches('.');
            Some(format!("needs root to {}: sudo agent probe", sentence.trim_start_matches("Cannot ")))
        }
        Kind::ImdsNotEc2 => Some("this machine is not an EC2 instance".to_owned()),
        Kind::DockerPermission => Some("needs root to ask the Docker engine: sudo agent probe".to_owned()),
        _ => None,
    }
}

/// One fact, and the check that fails if it cannot be fetched.
struct Fact<T> {
    check: &'static str,
    known: OnceCell<Result<T, Cause>>,
}

impl<T> Fact<T> {
    fn of(check: &'static str) -> Self {
        Fact { check, known: OnceCell::new() }
    }

    async fn get(&self, learn: impl Future<Output = Result<T, Cause>>) -> Result<&T, Stopped> {
        let known = self.known.get_or_init(async || match timeout(LIMIT, learn).await {
            Ok(learnt) => learnt,
            Err(_) => Err(no_answer(self.check, LIMIT)),
        });
        match known.await {
            Ok(value) => Ok(value),
            Err(cause) => Err(missing(self.check, cause)),
        }
    }
}

/// The result of a check that needs a fact of `check`.
fn missing(check: &'static str, cause: &Cause) -> Stopped {
    match unseen(cause) {
        Some(reason) => Stopped::NotAsked(reason),
        None => Stopped::Missing { check: Id::Borrowed(check), cause: cause.clone() },
    }
}

/// The daemon's status of the apps, and of its components.
type Statuses = (Result<Vec<AppStatus>, Cause>, Result<Vec<SystemPart>, Cause>);

/// No inner timeout fired; this is the last one.
pub(super) fn no_answer(check: &str, limit: Duration) -> Cause {
    Cause::host(
        Kind::ProbeNoAnswer,
        format!("The check {check} did not finish within {} s.", limit.as_secs()),
        "See what is keeping the instance busy: top, iostat, dmesg | tail.",
    )
}

/// All facts of one round.
pub(super) struct Facts<'g> {
    pub(super) ground: &'g ProbeContext<'g>,
    pub(super) record: Option<Record>,
    identity: Fact<Identity>,
    aws: Fact<Aws>,
    engine: Fact<Engine>,
    info: Fact<Info>,
    containers: Fact<Vec<Container>>,
    images: Fact<Vec<LocalImage>>,
    daemon: OnceCell<Statuses>,
    s3: Fact<S3>,
    files: [Fact<Vec<u8>>; 4],
    beside: Fact<Beside>,
    at_source: Fact<Look>,
    in_place: Fact<Look>,
}

/// A bundle, and its validation.
pub(super) struct Look {
    pub(super) fetched: Fetched,
    pub(super) validation: Validation,
}

impl Look {
    fn at(fetched: Fetched, ground: &ProbeContext<'_>) -> Self {
        let validation = bundle::validate(&fetched, &ground.settings.install.arguments, ground.secrets);
        Look { fetched, validation }
    }
}

/// Why nothing can be asked of the source.
pub(super) fn no_source() -> Stopped {
    Stopped::NotAsked("neither the settings nor the last boot specify a source".to_owned())
}

/// The check of one object at the source.
pub(super) const fn of_object(file: BundleFile) -> &'static str {
    match file {
        BundleFile::Settings => "source.settings",
        BundleFile::Replicated => "source.replicated",
        BundleFile::License => "source.license",
        BundleFile::Customizations => "source.customizations",
    }
}

impl<'g> Facts<'g> {
    pub(super) fn new(ground: &'g ProbeContext<'g>) -> Self {
        Facts {
            ground,
            // An unreadable record is reported by its own check.
            record: Record::read(ground.root).ok().flatten(),
            identity: Fact::of("instance.identity"),
            aws: Fact::of("aws.credentials"),
            engine: Fact::of("docker.engine"),
            info: Fact::of("docker.engine"),
            containers: Fact::of("docker.engine"),
            images: Fact::of("docker.engine"),
            daemon: OnceCell::new(),
            s3: Fact::of("aws.credentials"),
            files: BundleFile::ALL.map(|file| Fact::of(of_object(file))),
            beside: Fact::of("source.extra"),
            at_source: Fact::of("source.valid"),
            in_place: Fact::of("bundle.valid"),
        }
    }

    /// The source of this box's bundle: from the settings, else from its last boot.
    pub(super) fn source(&self) -> Option<Source> {
        let recorded = || self.record.as_ref().and_then(|record| Source::parse(&record.source).ok());
        self.ground.settings.source.clone().or_else(recorded)
    }

    pub(super) fn imds(&self) -> Result<Imds, Cause> {
        Imds::new(self.ground.http, &imds::endpoint(environment))
    }

    /// What this instance is.
    pub(super) async fn identity(&self) -> Result<&Identity, Stopped> {
        self.identity.get(async { self.imds()?.identity().await }).await
    }

    /// This instance's address, which names the images of the app.
    pub(super) async fn address(&self) -> Result<Ipv4Addr, Stopped> {
        Ok(self.identity().await?.local_ipv4)
    }

    /// AWS in this instance's region, with credentials that were found.
    pub(super) async fn aws(&self) -> Result<&Aws, Stopped> {
        let region = match aws::region(environment) {
            Some(region) => region,
            None => self.identity().await?.region.clone(),
        };
        self.aws
            .get(async {
                let aws =
                    Aws::new(self.ground.http, &region, Some(self.imds()?), self.ground.secrets).await?;
                aws.find_credentials().await?;
                Ok(aws)
            })
            .await
    }

    /// The engine, which answers.
    pub(super) async fn engine(&self) -> Result<&Engine, Stopped> {
        self.engine
            .get(async {
                let engine = Engine::connect(self.ground.root, environment("DOCKER_HOST").as_deref())?;
                engine.ping().await?;
                Ok(engine)
            })
            .await
    }

    /// Every container of the engine.
    pub(super) async fn containers(&self) -> Result<&[Container], Stopped> {
        let engine = self.engine().await?;
        self.containers.get(engine.containers()).await.map(Vec::as_slice)
    }

    /// What the engine says of itself.
    pub(super) async fn info(&self) -> Result<&Info, Stopped> {
        let engine = self.engine().await?;
        self.info.get(engine.info()).await
    }

    /// Every image of the engine.
    pub(super) async fn images(&self) -> Result<&[LocalImage], Stopped> {
        let engine = self.engine().await?;
        self.images.get(engine.images()).await.map(Vec::as_slice)
    }

    /// What Replicated says of its apps.
    pub(super) async fn apps(&self) -> Result<&[AppStatus], Stopped> {
        let (apps, _) = self.daemon().await?;
        apps.as_deref().map_err(|cause| missing("app.status", cause))
    }

    /// What Replicated says of its own parts.
    pub(super) async fn parts(&self) -> Result<&[SystemPart], Stopped> {
        let (_, parts) = self.daemon().await?;
        parts.as_deref().map_err(|cause| missing("replicated.system", cause))
    }

    async fn daemon(&self) -> Result<&Statuses, Stopped> {
        let engine = self.engine().await?;
        Ok(self.daemon.get_or_init(async || app::statuses(engine).await).await)
    }

    /// S3, shared by all objects of the source, so that the bucket's region is discovered once. `None` for a directory.
    pub(super) async fn s3(&self, from: &Source) -> Result<Option<&S3>, Stopped> {
        match from {
            Source::Directory(_) => Ok(None),
            Source::S3(_) => {
                let aws = self.aws().await?;
                self.s3.get(async { Ok(S3::new(aws)) }).await.map(Some)
            }
        }
    }

    /// One object of the source.
    pub(super) async fn object(&self, file: BundleFile) -> Result<&[u8], Stopped> {
        let from = self.source().ok_or_else(no_source)?;
        let s3 = self.s3(&from).await?;
        let nth = BundleFile::ALL.iter().position(|known| *known == file).unwrap_or_default();
        let fetch = source::fetch_file(self.ground.root, &from, file, s3);
        self.files[nth].get(fetch).await.map(Vec::as_slice)
    }

    /// What lies beside the four at the source: the extra files, and which airgap packages there are.
    pub(super) async fn beside(&self) -> Result<&Beside, Stopped> {
        let extra = &self.ground.settings.extra;
        let from = self.source().ok_or_else(no_source)?;
        let s3 = self.s3(&from).await?;
        self.beside.get(source::fetch_beside(self.ground.root, &from, extra, s3)).await
    }

    /// All of the source, looked at as a whole.
    pub(super) async fn at_source(&self) -> Result<&Look, Stopped> {
        let objects = join_all(BundleFile::ALL.map(|file| self.object(file)));
        // All are awaited, so that the reported failure is deterministic.
        let (objects, beside) = join(objects, self.beside()).await;
        let objects: Vec<&[u8]> = objects.into_iter().collect::<Result<_, _>>()?;
        let Beside { extra, packages } = beside?;
        let look = async {
            let files = BundleFile::ALL.into_iter().zip(objects.into_iter().map(<[u8]>::to_vec)).collect();
            let fetched =
                Fetched { files, extra: extra.clone(), packages: packages.clone(), ..Fetched::default() };
            Ok(Look::at(fetched, self.ground))
        };
        self.at_source.get(look).await
    }

    /// The installed bundle, validated like a source; empty if nothing was installed.
    pub(super) async fn in_place(&self) -> Result<&Look, Stopped> {
        let ProbeContext { root, settings, .. } = self.ground;
        let look = async {
            let mut look = Look::at(source::installed(root, &settings.extra)?, self.ground);
            if look.validation.replicated.removes_settings {
                // Replicated imported them and removed the file, as configured.
                let is_removed = |finding: &Finding| {
                    finding.cause.kind == Kind::BundleMissingFile
                        && finding.file == BundleFile::Settings.name()
                };
                look.validation.findings.retain(|finding| !is_removed(finding));
            }
            Ok(look)
        };
        self.in_place.get(look).await
    }

    /// Registers all secrets on this box that this user can read. Await it before showing any other program's output,
    /// which may quote them.
    ///
    /// # Errors
    /// None: an unreadable file is reported by its own check.
    pub(super) async fn secrets(&self) -> Result<(), Stopped> {
        answers::register_daemon_token(self.ground.root, self.ground.secrets);
        let has_settings = |look: &Look| look.fetched.files.contains_key(&BundleFile::Settings);
        if !self.in_place().await.is_ok_and(has_settings) {
            // Replicated may have removed the file as configured, and still uses its content.
            let _ = self.at_source().await;
        }
        Ok(())
    }

    /// The addresses of the app's databases: those in place, and on a box that nothing was placed on, those at the source.
    pub(super) async fn databases(&self) -> Result<&[DatabaseUri], Stopped> {
        let in_place = self.in_place().await?;
        let look = match in_place.fetched.files.is_empty() {
            true => self.at_source().await?,
            false => in_place,
        };
        Ok(&look.validation.databases)
    }
}

pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
