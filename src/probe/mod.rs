//! `agent probe`: asks every question about this node at the same time, and says what is broken and what to do.
//!
//! A [`check::Check`] is one question with a stable id; [`questions`] answer them, each with a deadline of its own, and
//! share what several need as [`facts`]. A [`round::ask`] gives one [`answer::Answer`] for each check, and
//! [`roots::rank`] finds which of the failures are the cause of the others. Nothing here changes anything on the box,
//! at the databases or in AWS.

mod answer;
mod check;
mod command;
mod facts;
mod live;
mod questions;
mod report;
mod roots;
mod round;
mod selection;
mod support;
mod text;

pub(crate) use command::run;
