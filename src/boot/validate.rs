//! Stage 4: the bundle, looked at as a whole.

use crate::bundle::{self, Bundle, Fetched, Finding};
use crate::cause::{Cause, Evidence};

use super::run::{Achieved, Stage};

/// Validates all of it; every finding is said, the errors together in the cause.
pub(super) fn validate(stage: &Stage<'_>, fetched: &Fetched) -> Result<Achieved<Bundle>, Cause> {
    let validation = bundle::validate(fetched);
    let warnings: Vec<&Finding> = validation.findings.iter().filter(|finding| !finding.is_error()).collect();
    for finding in &warnings {
        stage.warn(located(finding));
    }
    let Some(bundle) = validation.bundle else {
        return Err(invalid(&validation.findings));
    };
    let detail = match warnings.len() {
        0 => "nothing to find fault with".to_owned(),
        1 => "valid, with 1 warning".to_owned(),
        count => format!("valid, with {count} warnings"),
    };
    Ok(Achieved::done(bundle, detail))
}

/// A finding's cause that says where it was found.
fn located(finding: &Finding) -> Cause {
    let place = match finding.position {
        Some(position) => format!("{}:{}:{}", finding.file, position.line, position.column),
        None => finding.file.clone(),
    };
    let mut cause = finding.cause.clone();
    cause.evidence.insert(0, Evidence { name: "file".into(), value: place });
    cause
}

pub(super) fn invalid(findings: &[Finding]) -> Cause {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
    let count = match errors.len() {
        1 => "one mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    let cause = Cause::config(
        "bundle.invalid",
        format!("The bundle has {count}; nothing of it was placed."),
        "Correct the files at the source. To try them from anywhere: agent check DIRECTORY",
    );
    errors.into_iter().fold(cause, |cause, finding| {
        cause.with("mistake", format!("{finding}\n→ {}", finding.cause.next_step))
    })
}
