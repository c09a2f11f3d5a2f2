//! `agent boot --dry-run`: what a boot would do. Every question is asked once, and nothing is changed.

use crate::aws::autoscaling::AutoScaling;
use crate::aws::imds::{self, Identity, Imds};
use crate::aws::s3::S3;
use crate::aws::{self, Aws};
use crate::bundle::{self, Bundle};
use crate::cause::Cause;
use crate::command::{Exit, Printed, World};
use crate::console::text;
use crate::docker::engine::Engine;
use crate::docker::images::Plan;
use crate::docker::lock::{self, Lock};
use crate::http::Http;
use crate::lifecycle;
use crate::placement::{self, State};
use crate::replicated::{installer, script};
use crate::settings::{OnFailure, Source};
use crate::source;

use super::lifecycle::HEARTBEATS_PER_TIMEOUT;
use super::{DATABASES, FETCH, IDENTITY, IMAGES, INSTALL, LIFECYCLE, PLACE, REPORT, VALIDATE};
use super::{databases, install};

/// What one stage would do, or why it would fail.
struct Step {
    stage: &'static str,
    would: Result<String, Cause>,
}

/// Collects the steps; a step that needs what an earlier one could not get is left out.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add<T>(&mut self, stage: &'static str, looked: Result<(T, String), Cause>) -> Option<T> {
        let (value, would) = match looked {
            Ok((value, would)) => (Some(value), Ok(would)),
            Err(cause) => (None, Err(cause)),
        };
        self.0.push(Step { stage, would });
        value
    }
}

pub(super) async fn run(world: &World, http: &Http, from: &Source) -> Result<Printed, Cause> {
    let environment = |name: &str| std::env::var(name).ok();
    let imds = Imds::new(http, &imds::endpoint(environment))?;
    let engine = Engine::connect(&world.root, environment("DOCKER_HOST").as_deref())?;
    let mut steps = Steps::default();

    let identity = steps.add(
        IDENTITY,
        imds.identity().await.map(|identity| {
            let said = format!("{} in {}, {}", identity.instance_id, identity.region, identity.local_ipv4);
            (identity, said)
        }),
    );
    let region = aws::region(environment).or_else(|| identity.as_ref().map(|known| known.region.clone()));
    let aws = match region {
        Some(region) => Some(Aws::new(http, &region, Some(imds)).await?),
        None => None,
    };
    if let (Some(aws), Some(identity)) = (&aws, &identity) {
        steps.add(LIFECYCLE, membership(world, aws, identity).await);
    }
    let s3 = aws.as_ref().map(S3::new);
    let extra = &world.settings.extra;
    let fetched = source::fetch(&world.root, from, extra, s3.as_ref(), |_| {}).await;
    let fetched = steps.add(
        FETCH,
        fetched.map(|fetched| {
            let said = source::described(&fetched, from);
            (fetched, said)
        }),
    );
    if let Some(fetched) = &fetched {
        let validation = bundle::validate(fetched);
        let warnings = validation.findings.iter().filter(|finding| !finding.is_error()).count();
        let bundle = validation
            .bundle
            .ok_or_else(|| bundle::invalid(&validation.findings, "nothing of it was placed"));
        let said = format!("valid, {warnings} warnings");
        let bundle = steps.add(VALIDATE, bundle.map(|bundle| (bundle, said)));
        if let Some(bundle) = &bundle {
            steps.add(PLACE, placement(world, bundle).map(|said| ((), said)));
            steps.add(DATABASES, look_at_databases(world, http, bundle).await.map(|said| ((), said)));
        }
    }
    if let Some(identity) = &identity {
        let lock = look_at_images(world, &engine, identity).await;
        let lock = steps.add(IMAGES, lock).flatten();
        steps
            .add(INSTALL, installation(world, &engine, lock.as_ref(), identity).await.map(|said| ((), said)));
    }
    let on_failure = match world.settings.on_failure {
        OnFailure::Abandon => "ABANDON",
        OnFailure::Hold => "hold the instance",
    };
    steps.add(REPORT, Ok(((), format!("would complete with CONTINUE, and on failure {on_failure}"))));
    Ok(printed(&steps.0))
}

async fn membership(world: &World, aws: &Aws, identity: &Identity) -> Result<((), String), Cause> {
    let autoscaling = AutoScaling::new(aws);
    let found = lifecycle::ask(&autoscaling, &world.settings.lifecycle, &identity.instance_id).await?;
    let said = match found {
        None => "not in an Auto Scaling group".to_owned(),
        Some((group, None)) => format!("group {group}, no launch hook waits for this box"),
        Some((group, Some(hook))) => format!(
            "group {group}, hook {}: would send a heartbeat every {} s",
            hook.name,
            hook.heartbeat_timeout.as_secs() / u64::from(HEARTBEATS_PER_TIMEOUT)
        ),
    };
    Ok(((), said))
}

fn placement(world: &World, bundle: &Bundle) -> Result<String, Cause> {
    let mut said = Vec::new();
    for wanted in bundle.placements() {
        let access = placement::access(&world.root, wanted.mode)?;
        let verb = match placement::state(&world.root, wanted, access)? {
            State::Right => continue,
            State::Absent => "place",
            State::OtherContent => "replace",
            State::OtherAccess => "set the mode and owner of",
        };
        said.push(format!("would {verb} {}", wanted.path.display()));
    }
    Ok(if said.is_empty() { "every file is in place".to_owned() } else { said.join("; ") })
}

async fn look_at_databases(world: &World, http: &Http, bundle: &Bundle) -> Result<String, Cause> {
    match databases::first_failure(http.names(), &world.root, bundle).await {
        Some(cause) => Err(cause),
        None => Ok("every database answers".to_owned()),
    }
}

async fn look_at_images(
    world: &World,
    engine: &Engine,
    identity: &Identity,
) -> Result<(Option<Lock>, String), Cause> {
    let lock = Lock::read(&world.root.path(lock::FILE))?;
    let listed = engine.images().await?;
    let Some(lock) = lock else { return Ok((None, "no image lock".to_owned())) };
    let plan = Plan::make(&lock, &listed, identity.local_ipv4);
    let said = if plan.is_fulfilled() {
        format!("{} locked images present", lock.images.len())
    } else {
        format!(
            "{} locked images: {} present, would pull {}, repair {}, tag {}",
            lock.images.len(),
            plan.present.len(),
            plan.missing.len(),
            plan.wrong_id.len(),
            plan.to_tag.len()
        )
    };
    Ok((Some(lock), said))
}

async fn installation(
    world: &World,
    engine: &Engine,
    lock: Option<&Lock>,
    identity: &Identity,
) -> Result<String, Cause> {
    let settings = &world.settings.install;
    let arguments = installer::arguments(identity.local_ipv4, &settings.arguments);
    if installer::installed(engine, &arguments).await.is_ok() {
        return Ok("Replicated's containers run".to_owned());
    }
    let what = match &settings.url {
        Some(url) => url.to_string(),
        None => {
            let locked = lock.and_then(|lock| lock.installer.as_ref()).map(|installer| &installer.sha256);
            let path = world.root.path(script::PINNED);
            script::from_file(&path, install::given_checksum(settings)?.as_ref().or(locked))?;
            path.display().to_string()
        }
    };
    Ok(format!("would run {what} {}", arguments.join(" ")))
}

fn printed(steps: &[Step]) -> Printed {
    let mut said = String::new();
    for step in steps {
        match &step.would {
            Ok(would) => said.push_str(&format!("{} {:<10} {would}\n", text::green("✓"), step.stage)),
            Err(cause) => {
                said.push_str(&format!("\n{:<10} would fail:\n{}\n", step.stage, text::cause(cause)))
            }
        }
    }
    let json: Vec<_> = steps
        .iter()
        .map(|step| match &step.would {
            Ok(would) => serde_json::json!({ "stage": step.stage, "would": would }),
            Err(cause) => serde_json::json!({ "stage": step.stage, "cause": cause }),
        })
        .collect();
    let exit = if steps.iter().all(|step| step.would.is_ok()) { Exit::Good } else { Exit::Failed };
    Printed { text: said, json: serde_json::json!({ "version": 1, "steps": json }), exit }
}
