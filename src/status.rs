//! `agent status`: the last boot as a timeline.

use crate::cause::Cause;
use crate::command::{Exit, Printed};
use crate::files::Root;
use crate::record::{BootOutcome, Record, timeline};

pub(crate) fn run(root: &Root) -> Result<Printed, Cause> {
    let record = Record::read(root)?.ok_or_else(|| {
        Cause::host(
            "record.none",
            "This box has not been booted by the agent.",
            "Boot it: agent boot s3://bucket/prefix",
        )
    })?;
    let exit = match record.outcome {
        BootOutcome::InService | BootOutcome::Running => Exit::Good,
        _ => Exit::Failed,
    };
    Ok(Printed { text: timeline(&record), json: record.to_json(), exit })
}
