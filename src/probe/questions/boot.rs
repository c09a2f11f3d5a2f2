//! How the last boot of this box went.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::inquiry::Inquiry;
use crate::cause::Cause;
use crate::console::StageOutcome;
use crate::kind::Kind;
use crate::record::{self, BootOutcome, Record};

const KIND: Kind = Kind::BootNotInService;

pub(super) async fn outcome(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let facts = inquiry.facts;
    let Some(record) = Record::read(facts.ground.root)? else {
        return Ok(Outcome::not_asked("the agent has not booted this instance"));
    };
    // If the instance is unknown, the record is assumed to be its own.
    if let Ok(identity) = inquiry.need(facts.identity()).await
        && record.instance.as_ref().is_some_and(|instance| instance.id != identity.instance_id)
    {
        return Ok(Outcome::not_asked("the record belongs to another instance and was baked into the image"));
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

/// The stage that a boot is in, or was in when it was killed.
fn running(record: &Record) -> Option<&str> {
    let stage = record.stages.iter().rfind(|stage| stage.outcome == StageOutcome::Running);
    stage.map(|stage| stage.name.as_str())
}

fn killed(record: &Record) -> Cause {
    let stage = running(record).unwrap_or("no stage");
    Cause::host(
        Kind::BootKilled,
        format!("The last boot was killed in stage {stage}."),
        "To resume: agent boot. To see what killed it: journalctl -u boot-agent; dmesg.",
    )
    .with("started at", format!("{:.0}", record.started_at))
}

fn not_in_service(record: &Record) -> Cause {
    let stage = record
        .stages
        .iter()
        .rfind(|stage| matches!(stage.outcome, StageOutcome::Failed | StageOutcome::Interrupted));
    let place = stage.map_or(String::new(), |stage| format!(" in stage {}", stage.name));
    let at = format!("{:.0}", record.ended_at.unwrap_or(record.started_at));
    let Some(why) = &record.cause else {
        let how = match record.outcome {
            BootOutcome::Interrupted => "was stopped by a signal",
            _ => "failed",
        };
        let sentence = format!("The last boot {how}{place}.");
        return Cause::host(KIND, sentence, "To resume: agent boot").with("at", at);
    };
    let said = why.sentence.trim_end_matches('.');
    let sentence = format!("The last boot failed{place}: {said} ({}).", why.kind);
    let mut cause = Cause::new(why.class, KIND, sentence, &why.next_step).with("at", at);
    cause.quotes = why.kinds().collect();
    cause.evidence.extend(why.evidence.iter().cloned());
    cause
}
