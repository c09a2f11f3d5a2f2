//! `agent status`: the last boot as a timeline, or as a picture.

mod plot;

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::cause::Cause;
use crate::cli;
use crate::command::{CommandOutput, Exit};
use crate::console::Verbosity;
use crate::files::{self, Access, Root};
use crate::kind::Kind;
use crate::record::{self, BootOutcome, Record, timeline};
use crate::secret::Secrets;

pub(crate) fn run(
    root: &Root,
    flags: &cli::Status,
    verbosity: Verbosity,
    secrets: &Secrets,
) -> Result<CommandOutput, Cause> {
    // Asked before the record is read: a boot that ends in between has written its end by then.
    let is_running = record::boot_runs(root);
    let mut record = Record::read(root)?.ok_or_else(|| {
        Cause::host(
            Kind::RecordNone,
            "The agent has not booted this instance.",
            "Boot it: agent boot s3://bucket/prefix",
        )
    })?;
    record.scrub(secrets);
    let exit = match record.outcome {
        BootOutcome::InService => Exit::Good,
        BootOutcome::Running if is_running => Exit::Good,
        _ => Exit::Failed,
    };
    let mut json = record.to_json();
    json["is_running"] = is_running.into();
    let path = record::critical_path(&record.stages, Timestamp::now());
    json["critical_path"] = path.into_iter().map(|index| record.stages[index].name.as_str()).collect();
    let text = match flags.plot.as_deref() {
        Some(file) if file == Path::new("-") => plot::plot(&record),
        Some(file) => {
            draw(&record, file)?;
            timeline(&record, is_running, verbosity)
        }
        None => timeline(&record, is_running, verbosity),
    };
    Ok(CommandOutput { text, json, exit })
}

/// Draws the boot into `file`, a path of the machine on which the command was typed. Its directory must be there.
fn draw(record: &Record, file: &Path) -> Result<(), Cause> {
    let failed = |error: io::Error| files::failed("write", file, &error);
    let path = std::path::absolute(file).map_err(failed)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        return Err(Cause::config(
            Kind::UsageNoDirectory,
            format!("The directory {} does not exist.", directory.display()),
            format!("Create it: mkdir -p {}", directory.display()),
        ));
    }
    let picture = plot::plot(record);
    let access = Access { mode: 0o644, owner: None };
    files::replace(path, picture.as_bytes(), access).map_err(failed)
}
