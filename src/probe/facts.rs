//! What several questions need: learnt once, by whichever needs it first.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::check::Id;
use crate::aws::imds::{self, Identity, Imds};
use crate::aws::s3::S3;
use crate::aws::{self, Aws};
use crate::bundle::{self, DatabaseUri, Fetched, Validation};
use crate::cause::Cause;
use crate::docker::engine::{Container, Engine};
use crate::files::Root;
use crate::http::Http;
use crate::record::Record;
use crate::settings::{Settings, Source};
use crate::source;

/// How long learning one fact may take. What is asked has deadlines of its own, which say more when they pass.
const LIMIT: Duration = Duration::from_secs(20);

/// What a question works with.
pub(crate) struct Ground<'g> {
    pub(crate) root: &'g Root,
    pub(crate) settings: &'g Settings,
    pub(crate) http: &'g Http,
}

/// Why a question has no answer of its own.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It failed.
    Failed(Cause),
    /// A fact could not be learnt: the check that tells of it, and why.
    Missing { check: Id, cause: Cause },
    /// There is nothing to ask about, or it cannot be seen.
    NotAsked(String),
}

impl From<Cause> for Stopped {
    fn from(cause: Cause) -> Self {
        Stopped::Failed(cause)
    }
}

/// One fact, and the check that fails when it cannot be learnt.
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
            Err(cause) => Err(Stopped::Missing { check: Id::Borrowed(self.check), cause: cause.clone() }),
        }
    }
}

/// Every deadline below has passed without a word; this is the last one.
pub(super) fn no_answer(check: &str, limit: Duration) -> Cause {
    Cause::host(
        "probe.no_answer",
        format!("The question {check} was not answered within {} s.", limit.as_secs()),
        "Look at what the box is busy with: top, iostat, dmesg | tail.",
    )
}

/// All facts of one round.
pub(super) struct Facts<'g> {
    pub(super) ground: &'g Ground<'g>,
    pub(super) record: Option<Record>,
    identity: Fact<Identity>,
    aws: Fact<Aws>,
    engine: Fact<Engine>,
    containers: Fact<Vec<Container>>,
    fetched: Fact<(Fetched, Vec<Cause>)>,
    installed: Fact<Validation>,
}

impl<'g> Facts<'g> {
    pub(super) fn new(ground: &'g Ground<'g>) -> Self {
        Facts {
            ground,
            // A record that cannot be read is the failure of a check of its own.
            record: Record::read(ground.root).ok().flatten(),
            identity: Fact::of("instance.identity"),
            aws: Fact::of("aws.credentials"),
            engine: Fact::of("docker.engine"),
            containers: Fact::of("docker.engine"),
            fetched: Fact::of("source.bundle"),
            installed: Fact::of("bundle.valid"),
        }
    }

    /// Where the bundle of this box comes from: as the settings say, else as its last boot was told.
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
                let aws = Aws::new(self.ground.http, &region, Some(self.imds()?)).await?;
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
                engine.version().await?;
                Ok(engine)
            })
            .await
    }

    /// Every container of the engine.
    pub(super) async fn containers(&self) -> Result<&[Container], Stopped> {
        let engine = self.engine().await?;
        self.containers.get(engine.containers()).await.map(Vec::as_slice)
    }

    /// What is in place on this box, validated as a source would be.
    pub(super) async fn installed(&self) -> Result<&Validation, Stopped> {
        self.installed.get(async { Ok(bundle::validate(&source::installed(self.ground.root)?)) }).await
    }

    /// The addresses of the app's databases: those in place, else those at the source.
    pub(super) async fn databases(&self) -> Result<&[DatabaseUri], Stopped> {
        let installed = self.installed().await?;
        Ok(&installed.databases)
    }

    /// What is at the source now, with what was remarkable about fetching it.
    pub(super) async fn fetched(&self) -> Result<&(Fetched, Vec<Cause>), Stopped> {
        let Some(from) = self.source() else {
            return Err(Stopped::NotAsked("neither the settings nor a boot name a source".to_owned()));
        };
        let s3 = match &from {
            Source::S3(_) => Some(S3::new(self.aws().await?)),
            Source::Directory(_) => None,
        };
        self.fetched
            .get(async {
                let mut warnings = Vec::new();
                let extra = &self.ground.settings.extra;
                let warn = |cause| warnings.push(cause);
                let fetched = source::fetch(self.ground.root, &from, extra, s3.as_ref(), warn).await?;
                Ok((fetched, warnings))
            })
            .await
    }
}

pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
