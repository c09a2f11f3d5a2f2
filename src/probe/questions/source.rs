//! The source of the bundle.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;
use crate::cause::Cause;
use crate::source::described;

pub(super) async fn bundle(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let (fetched, warnings) = inquiry.facts.fetched().await?;
    if !warnings.is_empty() {
        return Ok(Outcome::Warning { cause: Cause::together(warnings.clone()) });
    }
    Ok(match inquiry.facts.source() {
        Some(source) => Outcome::good(described(fetched, &source)),
        None => Outcome::good("fetched"),
    })
}
