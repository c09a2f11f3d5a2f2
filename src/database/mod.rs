//! The app's databases: parsing of their addresses, and the ladder of checks for each.

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
