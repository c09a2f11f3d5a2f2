//! Stage 3: the bundle, whole and in memory.

use crate::aws::Aws;
use crate::aws::s3::S3;
use crate::bundle::Fetched;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::kind::Kind;
use crate::settings::Source;
use crate::{source, wait};

use super::run::Stage;

/// Fetches the bundle, waiting for a source that does not answer.
pub(super) async fn fetch(stage: &Stage<'_>, from: &Source, aws: &Aws) -> Result<Achieved<Fetched>, Cause> {
    let run = stage.run;
    let s3 = S3::new(aws);
    // A wrong clock is the box's own fault, and chrony cures it within a minute of the start.
    let is_worth_waiting = |cause: &Cause| wait::is_external(cause) || cause.kind == Kind::S3ClockSkew;
    let fetched = stage
        .until(run.settings.fetch_wait, is_worth_waiting, async || {
            let warn = |cause| stage.warn(cause);
            source::fetch(&run.root, from, &run.settings.extra, Some(&s3), warn).await
        })
        .await?;
    let detail = source::described(&fetched, from);
    Ok(Achieved::done(fetched, detail))
}
