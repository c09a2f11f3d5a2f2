//! What a boot comes to, as it is printed.

use jiff::Timestamp;

use crate::cli;
use crate::command::{CommandOutput, Exit};
use crate::console::{Console, Event, human};
use crate::record::{BootOutcome, Record, ending, timeline};
use crate::unit;

/// The result of a boot that has ended, here or elsewhere.
pub(super) fn of_record(record: &Record, flags: &cli::Boot, console: &Console) -> CommandOutput {
    let exit = match (record.outcome, &record.cause) {
        (BootOutcome::InService, _) => Exit::Good,
        // systemd stopped it, and should not treat that as a failure.
        (BootOutcome::Interrupted, _) if flags.unit => Exit::Good,
        (_, Some(cause)) => Exit::from(cause),
        (_, None) => Exit::Failed,
    };
    // The journal has each event already, under its own priority.
    let text = match console.is_journal() {
        true => String::new(),
        false => timeline(record, false, console.verbosity()),
    };
    CommandOutput { text, json: record.to_json(), exit }
}

/// At first boot, the unit starts before cloud-init has run the user-data with the boot command.
pub(super) fn nothing_to_boot(console: &Console) -> CommandOutput {
    let said = "no source configured: waiting for user-data";
    console.emit(Event::Ready { status: said.to_owned() });
    console.emit(Event::Over);
    CommandOutput {
        text: format!("{said}\n"),
        json: serde_json::json!({ "version": 1, "waiting_for": "user-data" }),
        exit: Exit::Good,
    }
}

/// The unit will boot the box when the machine has come further.
pub(super) fn later() -> CommandOutput {
    CommandOutput {
        text: format!(
            "{} will boot this instance as soon as the network is up; see: agent status\n",
            unit::NAME
        ),
        json: serde_json::json!({ "version": 1, "waiting_for": "network-online.target" }),
        exit: Exit::Good,
    }
}

/// Tells systemd, and whoever looks, that the box is in service.
pub(super) fn say_ready(console: &Console, record: &Record) {
    let ended_at = record.ended_at.unwrap_or_else(Timestamp::now);
    let took = human(crate::record::between(record.started_at, ended_at));
    console.emit(Event::Ready { status: format!("in service after {took}") });
}

/// Says last how a boot ended that is not in service.
pub(super) fn say_failed(console: &Console, record: &Record) {
    let took = crate::record::between(record.started_at, record.ended_at.unwrap_or_else(Timestamp::now));
    let text = format!("boot {}", ending(record, took, false));
    console.emit(Event::Failed { text, cause: record.cause.clone() });
}
