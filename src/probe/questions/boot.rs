//! How the last boot of this box went.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;
use crate::cause::{Cause, Class};
use crate::console::StageOutcome;
use crate::record::{self, BootOutcome, Record};

pub(super) async fn outcome(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let Some(record) = Record::read(facts.ground.root)? else {
        return Ok(Outcome::not_asked("this box has not been booted by the agent"));
    };
    // Where nobody says which instance this is, the record is believed.
    if let Ok(identity) = inquiry.need(facts.identity()).await
        && record.instance.as_ref().is_some_and(|instance| instance.id != identity.instance_id)
    {
        return Ok(Outcome::not_asked("the record is another box's, baked into the image of this one"));
    }
    let at = record.ended_at.unwrap_or(record.started_at);
    let said = format!("{}, {at:.0}", record.outcome.as_str().replace('_', " "));
    Ok(match record.outcome {
        BootOutcome::InService => Outcome::good(said),
        BootOutcome::Running if record::boot_runs(facts.ground.root) => {
            let stage = running(&record).unwrap_or("between stages");
            Outcome::good(format!("running in stage {stage} since {:.0}", record.started_at))
        }
        BootOutcome::Running => Outcome::Failed { cause: killed(&record) },
        _ => Outcome::Failed { cause: not_in_service(&record) },
    })
}

/// The stage in which a boot stands, or stood when it was killed.
fn running(record: &Record) -> Option<&str> {
    let stage = record.stages.iter().rfind(|stage| stage.outcome == StageOutcome::Running);
    stage.map(|stage| stage.name.as_str())
}

fn killed(record: &Record) -> Cause {
    let stage = running(record).unwrap_or("no stage");
    Cause::host(
        "boot.killed",
        format!("The last boot was killed in stage {stage}."),
        "Run it again, it resumes: agent boot; and see what killed it: journalctl -t agent; dmesg.",
    )
    .with("started at", format!("{:.0}", record.started_at))
}

fn not_in_service(record: &Record) -> Cause {
    let class = record.cause.as_ref().map_or(Class::Host, |cause| cause.class);
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
