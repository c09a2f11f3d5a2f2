//! Replicated and the app that it runs: its installer, the state of the app, and whether the app answers.
//!
//! As in [`crate::docker`], every function makes one bounded attempt; dropping a future stops what it started.

pub mod answers;
pub mod app;
pub mod daemon;
pub mod edition;
pub mod fetch_guard;
pub mod health;
pub mod installer;
pub mod pins;
pub mod script;

mod explain;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod output;
mod process;
