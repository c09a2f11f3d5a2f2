//! Stage 4: validates the whole bundle.

use crate::bundle::{self, Bundle, Fetched, Finding};
use crate::cause::Cause;
use crate::command::Achieved;

use super::run::Stage;

/// Validates everything; reports every finding, and combines the errors in the cause.
pub(super) fn validate(stage: &Stage<'_>, fetched: &Fetched) -> Result<Achieved<Bundle>, Cause> {
    let run = stage.run;
    let validation = bundle::validate(fetched, &run.settings.install.arguments, &run.secrets);
    let warnings: Vec<&Finding> = validation.findings.iter().filter(|finding| !finding.is_error()).collect();
    for finding in &warnings {
        stage.warn(finding.located());
    }
    let Some(bundle) = validation.bundle else {
        return Err(bundle::invalid(&validation.findings, "nothing was installed"));
    };
    let detail = match warnings.len() {
        0 => "valid".to_owned(),
        1 => "valid, with 1 warning".to_owned(),
        count => format!("valid, with {count} warnings"),
    };
    Ok(Achieved::done(bundle, detail))
}
