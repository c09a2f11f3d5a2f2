//! `agent probe`: asks every question about this node at the same time, and says what is broken and what to do.
//!
//! A [`check::Check`] is one question with a stable id; [`questions`] answer them, each with a deadline of its own, and
//! share what several need as [`facts`]. A [`round::ask`] gives one [`answer::Answer`] for each check, and
//! [`root_causes::rank`] finds which of the failures are the cause of the others. Nothing here changes anything on the box,
//! at the databases or in AWS.

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

/// The cause to mend first among what the checks of these families find, if something of it is broken, with the checks
/// that saw it.
pub(crate) async fn leading_cause(ground: &ProbeContext<'_>, families: &[&'static str]) -> Option<Cause> {
    let answers = round::ask(ground, &selection::Selection::of(families), &inquiry::Nobody).await;
    let root = root_causes::rank(&answers).into_iter().find(|root| root.is_failure)?;
    Some(root.cause.with("seen by", text::joined(&root.seen_by)))
}
