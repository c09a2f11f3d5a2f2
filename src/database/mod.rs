//! The app's databases: what their addresses mean, and the ladder that says which rung of the way to them is broken.

mod connect;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod ladder;
mod listener;
mod mongo;
mod postgres;
pub mod rung;
mod srv;
mod stream;
mod tls;
pub mod uri;
mod vault;
