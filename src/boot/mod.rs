//! `agent boot`: from a blank instance to in service.
//!
//! [`procedure`] is the whole story, top to bottom; each stage is a file of its own. Each checks its own
//! postcondition, so that a boot that was interrupted anywhere is resumed by running it again.
//!
//! Where systemd has the unit, the command that a person or user-data gives hands over to it ([`delegate`]).

mod airgap;
mod args;
mod boot_lock;
mod cloud_init;
mod databases;
mod delegate;
mod dry_run;
mod failure;
mod fetch;
mod follow;
mod identity;
mod images;
mod install;
mod lifecycle;
pub(crate) mod order;
mod place;
mod power;
mod ready;
mod report;
mod run;
mod user_data;
mod validate;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::aws::imds::{self, Imds};
use crate::aws::{self, Aws};
use crate::cause::{Cause, Class};
use crate::cli;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::{Console, Event, Level, StageOutcome, human};
use crate::docker::engine::Engine;
use crate::http::Http;
use crate::kind::Kind;
use crate::record::{BootOutcome, Record, ending, timeline};
use crate::settings::{self, Source};
use crate::unit;

pub(crate) use args::names_source;
use args::source;
use boot_lock::{BootLock, LockOutcome};
use cloud_init::NetworkStage;
use delegate::Delegated;
use lifecycle::{Heartbeats, Lifecycle};
use order::Order;
use run::Run;

const IDENTITY: &str = "identity";
const LIFECYCLE: &str = "lifecycle";
const FETCH: &str = "fetch";
const VALIDATE: &str = "validate";
const PLACE: &str = "place";
/// Only of bundles that name an airgap package.
const AIRGAP: &str = "airgap";
const DATABASES: &str = "databases";
const IMAGES: &str = "images";
const INSTALL: &str = "install";
const READY: &str = "ready";
const REPORT: &str = "report";

/// How long after cloud-init's network stage the engine's socket is looked for without a pause between attempts.
const SOCKET_SOON: Duration = Duration::from_secs(2);

const STAGES: [&str; 11] =
    [IDENTITY, LIFECYCLE, FETCH, VALIDATE, PLACE, AIRGAP, DATABASES, IMAGES, INSTALL, READY, REPORT];

/// The procedure, of a boot and of a dry run. What it learns of AWS it leaves in `told`, so that a failure at any later
/// point can be reported.
async fn procedure(
    run: &Arc<Run>,
    source: &Source,
    order: Option<&Order>,
    told: &Discovered,
    deadline: &watch::Sender<Instant>,
) -> Result<(), Cause> {
    let environment = |name: &str| std::env::var(name).ok();
    let imds = Imds::new(&run.http, &imds::endpoint(environment))?;
    let engine = Engine::connect(&run.root, environment("DOCKER_HOST").as_deref())?;

    let identity = run.early_stage(IDENTITY, async |stage| identity::learn(stage, &imds).await).await?;
    if let Some(order) = order {
        match run.is_dry() {
            true => order.check(&identity.instance_id)?,
            false => order.claim(run, &identity.instance_id)?,
        }
    }
    let region = aws::region(environment).unwrap_or_else(|| identity.region.clone());
    let aws = Aws::new(&run.http, &region, Some(imds), &run.secrets).await?;
    let aws = told.aws.get_or_init(|| aws);

    let lifecycle = async {
        let found = run
            .early_stage(LIFECYCLE, async |stage| lifecycle::find(stage, aws, &identity.instance_id).await)
            .await?;
        if let Some(lifecycle) = found {
            told.keep_waiting(run, lifecycle, deadline);
        }
        Ok::<(), Cause>(())
    };
    // The fetch does not wait for the group's answer, and does not fail before it is known whom to tell.
    let fetch =
        async { Ok(run.early_stage(FETCH, async |stage| fetch::fetch(stage, source, aws).await).await) };
    let ((), fetched) = tokio::try_join!(lifecycle, fetch)?;
    let fetched = fetched?;
    let bundle = run.stage(VALIDATE, async |stage| validate::validate(stage, &fetched)).await?;
    run.early_stage(PLACE, async |stage| {
        if place::needs_volumes(&bundle) {
            stage.after_network_stage().await;
        }
        run.require_record()?;
        place::place(stage, &bundle)
    })
    .await?;

    let databases = run.early_stage(DATABASES, async |stage| databases::wait_for(stage, &bundle).await);
    // An image and a package may need the space that the disk is growing by, and a volume that is mounted meanwhile.
    let images = run.stage(IMAGES, async |stage| {
        // systemd opens the engine's socket right after that.
        if stage.after_network_stage().await {
            engine.socket_appears(SOCKET_SOON).await;
        }
        images::bring(stage, &engine, identity.local_ipv4).await
    });
    let package = async {
        let Some(path) = &bundle.replicated.airgap_path else { return Ok(()) };
        run.stage(AIRGAP, async |stage| {
            stage.after_network_stage().await;
            airgap::place(stage, source, &bundle, path, aws).await
        })
        .await
    };
    let ((), lock, ()) = tokio::try_join!(databases, images, package)?;

    run.stage(INSTALL, async |stage| {
        install::install(stage, &engine, lock.as_ref(), &identity, &bundle).await
    })
    .await?;
    run.stage(READY, async |stage| ready::wait_for(stage, &engine).await).await?;
    run.stage(REPORT, async |stage| report::success(stage, told.lifecycle.get()).await).await
}

/// What is known of AWS so far, and the heartbeats that live as long as the run.
#[derive(Default)]
struct Discovered {
    aws: OnceLock<Aws>,
    lifecycle: OnceLock<Lifecycle>,
    heartbeats: OnceLock<Heartbeats>,
}

impl Discovered {
    /// Starts the heartbeats, and lowers the boot's deadline to what the group waits at most.
    fn keep_waiting(&self, run: &Arc<Run>, lifecycle: Lifecycle, deadline: &watch::Sender<Instant>) {
        if let Some(hook) = &lifecycle.hook {
            // The group has counted from before this boot began, so its limit comes a little earlier still.
            let limit = Instant::now() + hook.global_timeout;
            deadline.send_if_modified(|deadline| {
                let is_sooner = limit < *deadline;
                *deadline = limit.min(*deadline);
                is_sooner
            });
            if !run.is_dry()
                && let Some(heartbeats) = Heartbeats::start(run.clone(), lifecycle.clone(), limit)
            {
                // Set once: the lifecycle stage runs once.
                let _ = self.heartbeats.set(heartbeats);
            }
        }
        let _ = self.lifecycle.set(lifecycle);
    }
}

/// Boots this box, has the unit boot it, or follows the boot that runs already.
///
/// `order` is the one on record, where the command line names no source; its settings are among the world's.
///
/// # Errors
/// `source.missing` and `source.invalid`; those of taking turns with another boot and of handing over;
/// [`order::ANOTHER_BOX`], after which nothing is left of that order. A failed boot is no error: it is printed with its
/// cause.
pub(crate) async fn run(
    mut world: CommandContext,
    flags: &cli::Boot,
    order: Option<Order>,
) -> Result<RunResult, Cause> {
    // User-data comes before the settings of the image, as it does when cloud-init runs it.
    if flags.unit && order.is_none() {
        if let Some(order) = user_data::order(&world).await {
            return Ok(RunResult::Ordered(order));
        }
        // Whatever else the user-data is may write the settings file in that stage.
        wait_for_network_stage(&world).await;
        let (file, given) = (world.own_settings_file.as_deref(), order::flags(flags, None));
        world.settings = settings::load(&world.root, file, std::env::vars_os(), given, &world.secrets)?;
    }
    let source = match source(&world.settings, &flags.words) {
        Err(cause) if flags.unit && cause.kind == Kind::SourceMissing => {
            return Ok(RunResult::Ended(nothing_to_boot(&world.console)));
        }
        source => source?,
    };
    if flags.dry_run {
        return dry_run::run(world, &source, order.as_ref(), flags.force).await.map(RunResult::Ended);
    }
    // What the unit is to boot by from now on, also when this process does it today.
    let new = (names_source(flags) && delegate::has_unit(&world)).then(|| Order::new(&source, flags));
    let (verbosity, says_results) = (world.console.verbosity(), !world.console.is_journal());
    let mut stop = Stop::new()?;
    let ended = tokio::select! {
        biased;
        () = stop.came() => Err(Cause::host(
            Kind::BootStopped,
            "Stopped following the boot; the boot itself continues.",
            "Check on it: agent status",
        )),
        ended = another_process(&world, flags, &source, new.as_ref()) => ended,
    };
    let secrets = world.secrets.clone();
    let mut record = match ended? {
        Delegation::Ended(record) => *record,
        Delegation::Deferred => return Ok(RunResult::Ended(later())),
        Delegation::RunHere(exclusive) => {
            let order = new.or(order);
            supervise(world, &source, order.as_ref(), flags, exclusive, stop).await?
        }
    };
    record.scrub(&secrets);
    let exit = match (record.outcome, &record.cause) {
        (BootOutcome::InService, _) => Exit::Good,
        // systemd told it to stop, and should not take that for a failure.
        (BootOutcome::Interrupted, _) if flags.unit => Exit::Good,
        (_, Some(cause)) => Exit::from(cause),
        (_, None) => Exit::Failed,
    };
    // The journal has each event already, under its own priority.
    let text = if says_results { timeline(&record, false, verbosity) } else { String::new() };
    Ok(RunResult::Ended(CommandOutput { text, json: record.to_json(), exit }))
}

/// What a run came to.
pub(crate) enum RunResult {
    /// It is over.
    Ended(CommandOutput),
    /// The user-data orders a boot, whose settings are not among the world's yet.
    Ordered(Order),
}

/// Where the boot was done, if not here.
enum Delegation {
    Ended(Box<Record>),
    Deferred,
    RunHere(BootLock),
}

/// Has the boot done by another process, where there is one whose job it is.
async fn another_process(
    world: &CommandContext,
    flags: &cli::Boot,
    source: &Source,
    new: Option<&Order>,
) -> Result<Delegation, Cause> {
    // A boot that is given up at its deadline still tells the group.
    let longest = world.settings.deadline.saturating_add(world.settings.lifecycle.wait);
    if delegate::is_possible(world, flags) {
        match delegate::hand_over(world, source, new, longest).await? {
            Delegated::Ended(record) => return Ok(Delegation::Ended(record)),
            Delegated::Deferred => return Ok(Delegation::Deferred),
            // A box that boots without a supervisor is better than one that does not boot.
            Delegated::Refused(cause) => world.console.emit(Event::Note {
                stage: None,
                level: Level::Warning,
                text: "running in this process:".to_owned(),
                cause: Some(cause),
            }),
        }
    }
    match boot_lock::take_or_follow(&world.root, &world.console, longest).await? {
        LockOutcome::Acquired(exclusive) => Ok(Delegation::RunHere(exclusive)),
        LockOutcome::Followed(record) => {
            // Where this one is the unit, systemd waits for it as if it had done the work itself.
            if record.outcome == BootOutcome::InService {
                say_ready(&world.console, &record);
            }
            world.console.emit(Event::Over);
            Ok(Delegation::Ended(record))
        }
    }
}

/// Waits for cloud-init's network stage, for a boot that has not begun.
async fn wait_for_network_stage(world: &CommandContext) {
    let mut is_said = false;
    let say = |level, text: &str, cause: &Cause| {
        let (text, cause) = (text.to_owned(), Some(cause.clone()));
        world.console.emit(Event::Note { stage: None, level, text, cause });
    };
    let waiting = |cause: &Cause| {
        if !std::mem::replace(&mut is_said, true) {
            say(Level::Info, "waiting:", cause);
        }
    };
    if let Err(cause) = NetworkStage::of(&world.root).wait(waiting).await {
        say(Level::Warning, "going on without it:", &cause);
    }
}

/// At its first boot, a machine starts the unit before cloud-init has run the user-data that says what to boot.
fn nothing_to_boot(console: &Console) -> CommandOutput {
    let said = "no source configured: waiting for user-data";
    console.emit(Event::Ready { status: said.to_owned() });
    console.emit(Event::Over);
    CommandOutput {
        text: format!("{said}\n"),
        json: serde_json::json!({ "version": 1, "waiting_for": "user-data" }),
        exit: Exit::Good,
    }
}

fn later() -> CommandOutput {
    CommandOutput {
        text: format!(
            "{} will boot this instance as soon as the network is up; see: agent status\n",
            unit::NAME
        ),
        json: serde_json::json!({ "version": 1, "waiting_for": "network-online.target" }),
        exit: Exit::Good,
    }
}

async fn supervise(
    world: CommandContext,
    source: &Source,
    order: Option<&Order>,
    flags: &cli::Boot,
    exclusive: BootLock,
    mut stop: Stop,
) -> Result<Record, Cause> {
    let CommandContext { root, settings, console, secrets, .. } = world;
    let http = Http::new(root.clone());
    // Reading the trusted certificates takes milliseconds of computing, and IMDS is waited for meanwhile.
    let early = http.clone();
    tokio::task::spawn_blocking(move || early.load_trust());
    let previous = Record::read(&root).unwrap_or_else(|cause| {
        console.emit(Event::Note {
            stage: None,
            level: Level::Warning,
            text: "booting as if for the first time:".to_owned(),
            cause: Some(cause),
        });
        None
    });
    let (deadline, watched) = watch::channel(Instant::now() + settings.deadline);
    let mut begun = Record::begin(source.to_string(), previous.and_then(|record| record.instance));
    let mut network_stage = NetworkStage::over();
    if flags.unit {
        begun.switched_on_at = power::switched_on(begun.started_at);
        network_stage = NetworkStage::of(&root);
    }
    let run = Run::new(root, settings, console, http, secrets, flags.force, network_stage, begun);
    let writer = tokio::spawn(run.clone().keep_written());
    let mut told = Discovered::default();
    let ended = tokio::select! {
        biased;
        () = stop.came() => None,
        cause = overdue(&run, watched) => Some(Err(cause)),
        ended = run.alive(procedure(&run, source, order, &told, &deadline)) => Some(ended),
    };
    match ended {
        Some(Ok(())) => {
            run.finish(BootOutcome::InService);
            say_ready(&run.console, &run.record());
        }
        None => run.finish(BootOutcome::Interrupted),
        Some(Err(cause)) if cause.kind == order::ANOTHER_BOX => {
            if let Err(left) = run.withdraw() {
                run.warn(None, left);
            }
            return Err(cause);
        }
        Some(Err(cause)) => {
            tokio::select! {
                biased;
                () = stop.came() => {
                    if run.record().outcome == BootOutcome::Running {
                        run.finish(BootOutcome::Interrupted);
                    }
                }
                () = run.alive(failure::finish_failed(&run, &mut told, cause, exclusive)) => {}
            }
        }
    }
    writer.abort();
    let record = run.record();
    if record.outcome != BootOutcome::InService {
        let took = crate::record::between(record.started_at, record.ended_at.unwrap_or_else(Timestamp::now));
        let text = format!("boot {}", ending(&record, took, false));
        run.console.emit(Event::Failed { text, cause: record.cause.clone() });
    }
    run.console.emit(Event::Over);
    Ok(record)
}

fn say_ready(console: &Console, record: &Record) {
    let ended_at = record.ended_at.unwrap_or_else(Timestamp::now);
    let took = human(crate::record::between(record.started_at, ended_at));
    console.emit(Event::Ready { status: format!("in service after {took}") });
}

/// Ends when the deadline has passed, which may be moved meanwhile.
async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            Ok(()) = deadline.changed() => {}
        }
    }
}

/// Ends when the boot has taken too long, with what it waits for; the stages still run then, so that they can be asked.
async fn overdue(run: &Run, deadline: watch::Receiver<Instant>) -> Cause {
    passed(deadline).await;
    let record = run.record();
    let took = crate::record::between(record.started_at, Timestamp::now());
    let stage = record.stages.iter().rfind(|stage| {
        // The procedure has been dropped by now, and its stages were interrupted by that.
        matches!(stage.outcome, StageOutcome::Running | StageOutcome::Interrupted)
    });
    let name = stage.map_or("no stage", |stage| stage.name.as_str());
    let wait = stage.and_then(|stage| stage.waits.last());
    let class = wait.map_or(Class::Host, |wait| wait.cause.class);
    let cause = Cause::new(
        class,
        Kind::BootDeadline,
        format!("The boot did not finish within {}; it was in stage {name}.", human(took)),
        wait.map_or("See what took so long: agent status; or raise deadline in agent.toml.", |wait| {
            wait.cause.next_step.as_str()
        }),
    );
    let cause = match wait {
        Some(wait) => cause.with_sentence("waited for", &wait.cause),
        None => cause,
    };
    cause.after_waiting(took)
}

/// SIGTERM and SIGINT: stop cleanly, complete nothing.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self, Cause> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Cause::host(
                    Kind::HostSignals,
                    "Signal handlers cannot be installed.",
                    "Check the journal: journalctl -u boot-agent.",
                )
                .with_error(&error)
            })
        };
        Ok(Stop { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn came(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
