//! Stage 3: fetches the whole bundle into memory.

use crate::aws::Aws;
use crate::aws::s3::S3;
use crate::bundle::Fetched;
use crate::cause::Cause;
use crate::command::Achieved;
use crate::kind::Kind;
use crate::settings::Source;
use crate::{source, wait};

use super::run::Stage;

/// Fetches the bundle, retrying while the source does not respond.
pub(super) async fn fetch(stage: &Stage<'_>, from: &Source, aws: &Aws) -> Result<Achieved<Fetched>, Cause> {
    let run = stage.run;
    let s3 = S3::new(aws);
    // A wrong clock is a problem of this box, and chrony corrects it within a minute after start.
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
