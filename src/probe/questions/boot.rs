//! How the last boot of this box went.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;
use crate::cause::Cause;
use crate::record::{BootOutcome, Record};

pub(super) async fn outcome(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let Some(record) = Record::read(inquiry.facts.ground.root)? else {
        return Ok(Outcome::not_asked("this box has not been booted by the agent"));
    };
    let at = record.ended_at.unwrap_or(record.started_at);
    let said = format!("{}, {at:.0}", record.outcome.as_str().replace('_', " "));
    Ok(match record.outcome {
        BootOutcome::InService => Outcome::good(said),
        _ => Outcome::Failed { cause: not_in_service(&record) },
    })
}

fn not_in_service(record: &Record) -> Cause {
    let class = record.cause.as_ref().map_or(crate::cause::Class::Host, |cause| cause.class);
    let cause = Cause::new(
        class,
        "boot.not_in_service",
        format!("The last boot ended {}.", record.outcome.as_str()),
        "See its stages: agent status",
    );
    match &record.cause {
        Some(why) => cause.with("cause", why),
        None => cause,
    }
}
