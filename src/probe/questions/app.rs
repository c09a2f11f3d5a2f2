//! The app, as Replicated sees it.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;
use crate::replicated::app;

pub(super) async fn status(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let engine = inquiry.need(inquiry.facts.engine()).await?;
    let apps = app::app_status(engine).await?;
    app::ready(&apps)?;
    let doing: Vec<String> = apps.iter().map(app::AppStatus::doing).collect();
    Ok(Outcome::good(doing.join(", ")))
}
