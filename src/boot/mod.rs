//! `agent boot`: from a blank instance to in service.
//!
//! [`procedure`] is the whole boot, top to bottom; each stage is in its own file. Each stage checks its own
//! postcondition, so an interrupted boot resumes when it is re-run.
//!
//! On a box with the systemd unit, the command of a person or of user-data delegates to it ([`delegate`]).

mod airgap;
mod args;
mod boot_lock;
mod cloud_init;
mod databases;
mod deadline;
mod delegate;
mod discovered;
mod dry_run;
mod failure;
mod fetch;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod identity;
mod images;
mod install;
mod lifecycle;
pub(crate) mod order;
mod output;
mod place;
mod power;
mod ready;
mod report;
mod run;
mod signals;
mod stages;
mod systemctl;
mod trust;
mod user_data;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::aws::imds::{self, Imds};
use crate::cause::Cause;
use crate::cli;
use crate::command::{Achieved, CommandContext, CommandOutput};
use crate::console::{Event, Level};
use crate::docker::engine::Engine;
use crate::files::Root;
use crate::http::Http;
use crate::kind::Kind;
use crate::record::{BootOutcome, Record};
use crate::settings::{self, OnFailure, Source};
use crate::wait;

pub(crate) use args::{is_attended, names_source};
use boot_lock::BootLock;
use cloud_init::NetworkStage;
use delegate::Delegation;
use discovered::Discovered;
use order::Order;
use run::Run;
use signals::StopSignals;
use stages::{AIRGAP, DATABASES, FETCH, IMAGES, INSTALL, PLACE, READY, REPORT, VALIDATE};

/// How long after cloud-init's network stage the engine's socket is looked for without a pause between attempts.
const SOCKET_SOON: Duration = Duration::from_secs(2);

/// The procedure, of a boot and of a dry run. What it learns of AWS it leaves in `told`, so that a failure at any later
/// point can be reported.
async fn procedure(
    run: &Arc<Run>,
    source: &Source,
    order: Option<&Order>,
    told: &Discovered,
    deadline: &watch::Sender<Instant>,
) -> Result<(), Cause> {
    let (identity, aws) = told.identify(run, order).await?;
    let lifecycle = told.find_lifecycle(run, identity, aws, deadline);
    // The fetch runs concurrently with the group lookup, and its failure is reported after it.
    let fetch =
        async { Ok(run.early_stage(FETCH, async |stage| fetch::fetch(stage, source, aws).await).await) };
    let ((), fetched) = tokio::try_join!(lifecycle, fetch)?;
    let fetched = fetched?;
    let engine = Engine::connect(&run.root, std::env::var("DOCKER_HOST").ok().as_deref())?;
    let bundle = Arc::new(run.stage(VALIDATE, async |stage| validate::validate(stage, &fetched)).await?);
    run.early_stage(PLACE, async |stage| {
        if place::needs_volumes(&bundle) {
            stage.after_network_stage().await;
        }
        run.require_record()?;
        let placed = place::place(stage, &bundle).await?;
        Ok(match trust::rebuild(stage, &bundle).await? {
            Some(rebuilt) => Achieved::done((), format!("{}; {rebuilt}", placed.detail)),
            None => placed,
        })
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
        install::install(stage, &engine, lock.as_ref(), identity, &bundle).await
    })
    .await?;
    run.stage(READY, async |stage| ready::wait_for(stage, &engine).await).await?;
    run.stage(REPORT, async |stage| report::success(stage, told.lifecycle()).await).await
}

/// How long the metadata service is given to show that this machine is an instance, where nobody has said so by
/// installing the unit. Whoever runs a boot in user-data has it from there.
const INSTANCE_WAIT: Duration = Duration::from_secs(5);

/// Boots this box, has the unit boot it, or follows the boot that runs already.
///
/// `order` is the one on record, where the command line names no source; its settings are among the world's. With a
/// `fault`, which lies in what the boot is to go by, there is nothing to boot by, and the group is told why.
///
/// # Errors
/// `source.missing` and `source.invalid`, and the fault, where a person is there to see it, in a dry run, and on a machine
/// that is no instance; those of taking turns with another boot and of handing over; [`order::ANOTHER_BOX`], after which
/// nothing is left of that order. A failed boot is no error: it is printed with its cause.
pub(crate) async fn run(
    mut world: CommandContext,
    flags: &cli::Boot,
    order: Option<Order>,
    mut fault: Option<Cause>,
) -> Result<RunResult, Cause> {
    // User-data takes precedence over the image's settings, as when cloud-init runs it.
    if flags.unit && order.is_none() {
        if let Some(order) = user_data::order(&world).await {
            return Ok(RunResult::Ordered(order));
        }
        // Whatever else the user-data is may write the settings file in that stage.
        wait_for_network_stage(&world).await;
        let (file, given) = (world.own_settings_file.as_deref(), order::flags(flags, None));
        let (settings, unusable) =
            settings::load_usable(&world.root, file, std::env::vars_os, given, &world.secrets)?;
        world.settings = settings;
        fault = unusable.or(fault.filter(order::is_of));
    }
    let source = args::source(&world.settings, &flags.words);
    let wanted = match (fault, &source) {
        (Some(fault), _) => Err(fault),
        (None, Ok(source)) => Ok(source),
        (None, Err(cause)) => Err(cause.clone()),
    };
    if flags.unit
        && let Err(cause) = &wanted
        && (cause.kind == Kind::SourceMissing || order::is_of(cause) && user_data::is_to_come(&world.root))
    {
        return Ok(RunResult::Ended(output::nothing_to_boot(&world.console)));
    }
    match &wanted {
        Ok(source) if flags.dry_run => {
            return dry_run::run(world, source, order.as_ref(), flags.force).await.map(RunResult::Ended);
        }
        Err(cause) if flags.dry_run || is_attended(flags) => return Err(cause.clone()),
        Err(cause) if !flags.unit && !is_instance(&world.root).await => return Err(cause.clone()),
        _ => {}
    }
    // What the unit is to boot by from now on, also when this process does it today.
    let new = match &source {
        Ok(source) if names_source(flags) && delegate::has_unit(&world) => Some(Order::new(source, flags)),
        _ => None,
    };
    let console = world.console.clone();
    let mut stop = StopSignals::new()?;
    let delegation = tokio::select! {
        biased;
        () = stop.received() => Err(Cause::host(
            Kind::BootStopped,
            "Stopped following the boot; the boot itself continues.",
            "Check on it: agent status",
        )),
        delegation = delegate::delegate(&world, flags, wanted.as_ref().ok().copied(), new.as_ref()) => delegation,
    };
    let secrets = world.secrets.clone();
    let mut record = match delegation? {
        Delegation::Ended(record) => *record,
        Delegation::Deferred => return Ok(RunResult::Ended(output::later())),
        Delegation::RunHere(lock) => supervise(world, wanted, new.or(order), flags, lock, stop).await?,
    };
    record.scrub(&secrets);
    Ok(RunResult::Ended(output::of_record(&record, flags, &console)))
}

/// Whether this machine is an instance, as far as its metadata service is there to say so.
async fn is_instance(root: &Root) -> bool {
    let environment = |name: &str| std::env::var(name).ok();
    if environment("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return false;
    }
    let Ok(imds) = Imds::new(&Http::new(root.clone()), &imds::endpoint(environment)) else { return false };
    wait::until(INSTANCE_WAIT, |_| true, |_| {}, async || imds.identity().await).await.is_ok()
}

/// What a run came to.
pub(crate) enum RunResult {
    /// It is over.
    Ended(CommandOutput),
    /// The user-data orders a boot, whose settings are not among the world's yet.
    Ordered(Order),
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

/// Runs the procedure to its end, its deadline or a signal, and reports a failure. Where there is nothing to boot by, it
/// is reported to whoever can still be found.
async fn supervise(
    world: CommandContext,
    wanted: Result<&Source, Cause>,
    order: Option<Order>,
    flags: &cli::Boot,
    lock: BootLock,
    mut stop: StopSignals,
) -> Result<Record, Cause> {
    let CommandContext { root, mut settings, console, secrets, .. } = world;
    let http = Http::new(root.clone());
    // Loading the trusted certificates takes milliseconds of CPU time, while IMDS is being waited for.
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
    if let Err(fault) = &wanted {
        console.emit(Event::Note {
            stage: None,
            level: Level::Warning,
            text: "this boot cannot begin:".to_owned(),
            cause: Some(fault.clone()),
        });
        // Somebody is at work on this box, and may be the one who has just made the mistake.
        if previous.as_ref().is_some_and(|record| record.outcome == BootOutcome::Held) {
            settings.on_failure = OnFailure::Hold;
        }
    }
    let (deadline, watched) = watch::channel(Instant::now() + settings.deadline);
    let named = wanted.as_ref().map_or_else(|_| flags.words.join(" "), ToString::to_string);
    let mut begun = Record::begin(named, previous.and_then(|record| record.instance));
    let mut network_stage = NetworkStage::over();
    if flags.unit {
        begun.switched_on_at = power::switched_on(begun.started_at);
        network_stage = NetworkStage::of(&root);
    }
    let run = Run::new(root, settings, console, http, secrets, flags.force, begun);
    let run = Arc::new(run.beside(network_stage));
    let is_bootable = wanted.is_ok();
    if !is_bootable {
        run.withhold_record();
    }
    let order = order.as_ref();
    let mut told = Discovered::default();
    let procedure = async {
        match wanted {
            Ok(source) => procedure(&run, source, order, &told, &deadline).await,
            Err(fault) => {
                told.complete(&run, order, &deadline).await;
                Err(fault)
            }
        }
    };
    let writer = tokio::spawn(run.clone().keep_written());
    let ended = tokio::select! {
        biased;
        () = stop.received() => None,
        cause = deadline::overdue(&run, watched), if is_bootable => Some(Err(cause)),
        ended = run.alive(procedure) => Some(ended),
    };
    match ended {
        Some(Ok(())) => {
            run.finish(BootOutcome::InService);
            output::say_ready(&run.console, &run.record());
        }
        None => run.finish(BootOutcome::Interrupted),
        Some(Err(cause)) if cause.kind == order::ANOTHER_BOX => {
            if let Err(left) = run.withdraw() {
                run.warn(None, left);
            }
            return Err(cause);
        }
        // A machine that is no instance, for all that can be learned: nobody is to be told, and nothing is left on it.
        Some(Err(cause)) if !is_bootable && !told.is_identified() => {
            if flags.unit {
                failure::write_to_console(&run, &cause);
            }
            run.console.emit(Event::Over);
            return Err(cause);
        }
        Some(Err(cause)) => {
            run.release_record();
            tokio::select! {
                biased;
                () = stop.received() => {
                    if run.record().outcome == BootOutcome::Running {
                        run.finish(BootOutcome::Interrupted);
                    }
                }
                () = run.alive(async {
                    told.complete(&run, order, &deadline).await;
                    failure::finish_failed(&run, &mut told, cause, lock).await;
                }) => {}
            }
        }
    }
    writer.abort();
    let record = run.record();
    if record.outcome != BootOutcome::InService {
        output::say_failed(&run.console, &record);
    }
    run.console.emit(Event::Over);
    Ok(record)
}
