//! `agent status`: the last boot as a timeline, or as a picture.

mod plot;

use std::path::Path;

use crate::cause::Cause;
use crate::cli;
use crate::command::{Exit, Printed};
use crate::files::{self, Access, Root};
use crate::record::{BootOutcome, Record, timeline};
use crate::secret;

pub(crate) fn run(root: &Root, flags: &cli::Status) -> Result<Printed, Cause> {
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
    if let Some(file) = &flags.plot {
        draw(&record, file)?;
    }
    Ok(Printed { text: timeline(&record), json: record.to_json(), exit })
}

/// Draws the boot into `file`, a path of the machine on which the command was typed.
fn draw(record: &Record, file: &Path) -> Result<(), Cause> {
    let picture = plot::plot(record);
    let access = Access { mode: 0o644, owner: None };
    std::path::absolute(file)
        .and_then(|path| files::replace(path, secret::scrub(&picture).as_bytes(), access))
        .map_err(|error| files::failed("write", file, &error))
}
