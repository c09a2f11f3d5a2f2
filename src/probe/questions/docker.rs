//! The Docker engine and where it stores.

use super::super::answer::Outcome;
use super::super::facts::Stopped;
use super::super::round::Inquiry;

pub(super) async fn engine(inquiry: &Inquiry<'_>) -> Result<Outcome, Stopped> {
    let engine = inquiry.facts.engine().await?;
    Ok(Outcome::good(format!("{} answers at {}", engine.version().await?, engine.address())))
}
