//! `agent boot` on a box with the systemd unit: delegates the boot to the supervised unit and follows it.
//!
//! At first boot, user-data runs this inside cloud-init. It never waits for a systemd job to finish, since that job may
//! be queued behind the very part of cloud-init that waits for this process.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::cli;
use crate::command::CommandContext;
use crate::console::{Event, Level};
use crate::kind::Kind;
use crate::record::{BootOutcome, Record};
use crate::settings::Source;
use crate::unit;

use super::boot_lock::{self, BootLock, LOOK_EVERY, LockOutcome};
use super::follow::Shown;
use super::order::Order;
use super::output;
use super::systemctl::systemctl;

/// How often the unit's state is polled. Progress comes from the record; this detects an end that is not recorded.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The unit in which cloud-init runs user-data scripts.
const USER_DATA_UNIT: &str = "/cloud-final.service";

/// Where the boot was done, if not here.
pub(super) enum Delegation {
    /// Another process did it, and this is its record.
    Ended(Box<Record>),
    /// The unit will do it later.
    Deferred,
    /// It is this process's to do.
    RunHere(BootLock),
}

/// Has the boot done by another process, where there is one whose job it is. Without a source there is nothing to hand
/// over, and only a boot that runs already is followed.
///
/// # Errors
/// Those of [`hand_over`] and [`boot_lock::take_or_follow`].
pub(super) async fn delegate(
    world: &CommandContext,
    flags: &cli::Boot,
    source: Option<&Source>,
    new: Option<&Order>,
) -> Result<Delegation, Cause> {
    // A boot that times out still notifies the group.
    let longest = world.settings.deadline.saturating_add(world.settings.lifecycle.wait);
    if let Some(source) = source
        && is_possible(world, flags)
    {
        match hand_over(world, source, new, longest).await? {
            Delegated::Ended(record) => return Ok(Delegation::Ended(record)),
            Delegated::Deferred => return Ok(Delegation::Deferred),
            // Booting without a supervisor is better than not booting.
            Delegated::Refused(cause) => world.console.emit(Event::Note {
                stage: None,
                level: Level::Warning,
                text: "running in this process:".to_owned(),
                cause: Some(cause),
            }),
        }
    }
    match boot_lock::take_or_follow(&world.root, &world.console, longest).await? {
        LockOutcome::Acquired(lock) => Ok(Delegation::RunHere(lock)),
        LockOutcome::Followed(record) => {
            // Where this one is the unit, systemd waits for it as if it had done the work itself.
            if record.outcome == BootOutcome::InService {
                output::say_ready(&world.console, &record);
            }
            world.console.emit(Event::Over);
            Ok(Delegation::Ended(record))
        }
    }
}

/// What came of handing over.
enum Delegated {
    /// The unit's boot finished; this is its record.
    Ended(Box<Record>),
    /// It starts later in the machine's boot, which waiting here would block.
    Deferred,
    /// systemd rejected it.
    Refused(Cause),
}

/// Whether to delegate: the unit exists, and nothing requires this process to run the boot.
fn is_possible(world: &CommandContext, flags: &cli::Boot) -> bool {
    // Flags without a source are for this boot only, and the unit has no other way to receive them.
    let is_about_this_boot = flags.on_failure.is_some() || flags.deadline.is_some();
    let in_place = flags.unit || flags.foreground || flags.force || world.own_settings_file.is_some();
    if in_place || !has_unit(world) || (is_about_this_boot && !super::names_source(flags)) {
        return false;
    }
    let mut own = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    if let Some(variable) = own.find(|name| name.starts_with(crate::settings::ENVIRONMENT_PREFIX)) {
        let text =
            format!("running in this process: {variable} is set here, and {} would not see it", unit::NAME);
        world.console.note(Level::Warning, text);
        return false;
    }
    true
}

/// Whether systemd is running and the unit is installed.
pub(super) fn has_unit(world: &CommandContext) -> bool {
    // A masked unit is a link to /dev/null, which is not a regular file.
    world.root.is_system() && sd_notify::booted().unwrap_or(false) && world.root.path(unit::PATH).is_file()
}

/// Records a new boot request, starts the unit, and follows its boot to the end.
///
/// # Errors
/// `boot.other_runs`; `unit.no_result` when the unit ended without one; `unit.runs` when it has not ended
/// within `limit`.
async fn hand_over(
    world: &CommandContext,
    source: &Source,
    new: Option<&Order>,
    limit: Duration,
) -> Result<Delegated, Cause> {
    let source = source.to_string();
    let is_early = is_early().await;
    if is_early && crate::record::boot_runs(&world.root) {
        // It waits for the stage of cloud-init that waits for this process.
        if let Err(cause) = systemctl(&["stop", unit::NAME]).await {
            return Ok(Delegated::Refused(cause));
        }
    }
    let lock = loop {
        match boot_lock::take_or_follow(&world.root, &world.console, limit).await? {
            LockOutcome::Acquired(lock) => break lock,
            LockOutcome::Followed(record) if is_result(&record) && record.source == source => {
                return Ok(Delegated::Ended(record));
            }
            LockOutcome::Followed(_) => {}
        }
    };
    let before = Record::read(&world.root).ok().flatten();
    let is_under_way = new.is_some_and(|new| runs_user_data() && is_booted_by(world, new));
    if is_under_way
        && let Some(record) = before.as_ref().filter(|record| is_result(record) && record.source == source)
    {
        Shown::default().show_news(&world.console, record);
        world.console.emit(Event::Over);
        return Ok(Delegated::Ended(Box::new(record.clone())));
    }
    let before = before.map(|record| record.started_at);
    // If its process just died, systemd is about to restart it.
    if !is_under_way || is_over().await.is_some() {
        if let Some(Err(cause)) = new.map(|order| order.write(&world.root)) {
            return Ok(Delegated::Refused(cause));
        }
        drop(lock);
        if let Err(cause) = start().await {
            return Ok(Delegated::Refused(cause));
        }
    } else {
        drop(lock);
    }
    if is_early {
        return Ok(Delegated::Deferred);
    }
    world.console.note(Level::Info, format!("delegated to {}: following it", unit::NAME));
    follow(world, before, limit).await.map(Delegated::Ended)
}

/// Whether this process was started by a user-data script. A person running the same command wants another boot; a
/// script means the boot that the unit already started after reading the user-data itself.
fn runs_user_data() -> bool {
    std::fs::read_to_string("/proc/self/cgroup").is_ok_and(|cgroup| cgroup.contains(USER_DATA_UNIT))
}

/// Whether this instance is already booting with the same request.
fn is_booted_by(world: &CommandContext, new: &Order) -> bool {
    let order = Order::read(&world.root).ok().flatten().filter(|order| order.is_same(new));
    let record = Record::read(&world.root).ok().flatten();
    let instance = record.as_ref().and_then(|record| record.instance.as_ref());
    order.is_some_and(|order| {
        order.instance().is_some() && order.instance() == instance.map(|instance| instance.id.as_str())
    })
}

/// Starts the unit. A leftover process of it is either holding a failed boot or has nothing to do, and is stopped.
async fn start() -> Result<(), Cause> {
    // Earlier failures must not count against this start.
    systemctl(&["reset-failed", unit::NAME])
        .await
        .or_else(|cause| if is_answer(&cause) { Ok(String::new()) } else { Err(cause) })?;
    systemctl(&["restart", "--no-block", unit::NAME]).await.map(drop)
}

/// Whether this runs in a part of cloud-init up to its network stage, as a boothook does: a boot waits for the end of that
/// stage, and so must not be followed from within it.
async fn is_early() -> bool {
    let network = systemctl(&["show", "--property=ActiveState", "--value", "network-online.target"]).await;
    let system = systemctl(&["show", "--property=SystemState", "--value"]).await;
    network.is_ok_and(|state| state != "active")
        && system.is_ok_and(|state| state == "initializing" || state == "starting")
}

async fn follow(
    world: &CommandContext,
    before: Option<Timestamp>,
    limit: Duration,
) -> Result<Box<Record>, Cause> {
    let started = Instant::now();
    let mut shown = Shown::default();
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // The unit's state is read before the record, which is written before the unit exits.
        let over = if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            is_over().await
        } else {
            None
        };
        let record = Record::read(&world.root).ok().flatten();
        let record = record.filter(|record| Some(record.started_at) != before);
        if let Some(record) = &record {
            shown.show_news(&world.console, record);
        }
        match (record, over) {
            (Some(record), None) if is_result(&record) => break Ok(Box::new(record)),
            (Some(record), Some(_)) if record.outcome != BootOutcome::Running => break Ok(Box::new(record)),
            (_, Some(how)) => {
                break Err(Cause::host(
                    Kind::UnitNoResult,
                    format!("{} ended without a result.", unit::NAME),
                    format!(
                        "Check journalctl --unit {}; to run in this process instead: agent boot --foreground",
                        unit::NAME
                    ),
                )
                .with("systemd says", how));
            }
            (_, None) if started.elapsed() >= limit => {
                break Err(Cause::host(
                    Kind::UnitRuns,
                    format!("{} is still running.", unit::NAME),
                    "See what it is waiting for: agent status",
                )
                .after_waiting(started.elapsed()));
            }
            (_, None) => {}
        }
    }
    .inspect(|_| world.console.emit(Event::Over))
}

/// A boot stopped by a signal is not a result: systemd may be restarting it.
fn is_result(record: &Record) -> bool {
    !matches!(record.outcome, BootOutcome::Running | BootOutcome::Interrupted)
}

/// How the unit ended, if it is neither running nor about to. A systemctl timeout is retried.
async fn is_over() -> Option<String> {
    let properties = "--property=ActiveState,Job,Result,ExecMainCode,ExecMainStatus";
    let answer = systemctl(&["show", properties, unit::NAME]).await.ok()?;
    let value = |name: &str| {
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    let is_down = matches!(value("ActiveState"), "inactive" | "failed");
    let has_job = !matches!(value("Job"), "" | "0");
    (is_down && !has_job).then(|| answer.lines().collect::<Vec<_>>().join(", "))
}

/// Whether systemctl reached systemd and reported an error.
fn is_answer(cause: &Cause) -> bool {
    cause.kind == Kind::UnitRefused
}
