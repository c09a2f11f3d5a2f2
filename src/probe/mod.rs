//! `agent probe`: runs all checks of this node concurrently, and reports root causes with next steps.
//!
//! A [`check::Check`] has a stable ID; [`questions`] implement them, each with its own timeout, on shared [`facts`].
//! [`round::ask`] returns one [`answer::Answer`] for each check, and [`root_causes::rank`] finds which failures cause
//! the others. Nothing here changes anything on the box, in the databases or in AWS.

mod answer;
mod catalogue;
mod check;
mod command;
mod facts;
mod inquiry;
mod live;
mod questions;
mod report;
mod root_causes;
mod round;
mod selection;
mod support;
mod text;

use crate::cause::Cause;

pub(crate) use command::run;
pub(crate) use facts::ProbeContext;

/// The first root cause among the failures of these groups of checks, if any, with the checks that saw it.
pub(crate) async fn leading_cause(ground: &ProbeContext<'_>, families: &[&'static str]) -> Option<Cause> {
    let answers = round::ask(ground, &selection::Selection::of(families), &inquiry::Nobody).await;
    let root = root_causes::rank(&answers).into_iter().find(|root| root.is_failure)?;
    Some(root.cause.with("seen by", text::joined(&root.seen_by)))
}
