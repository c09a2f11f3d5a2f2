//! boot-agent: takes a CircleCI Enterprise services box from a blank instance to in service, and says what is broken
//! when it cannot.
//!
//! Modules depend only on modules of lower layers; see ARCHITECTURE.md.

// Entry points.
pub mod cli;
mod dispatch;
pub use command::Exit;
pub use dispatch::{misused, run};

// Commands.
mod bake;
mod boot;
mod check;
mod command;
mod explain;
mod probe;
mod schema;
mod status;
pub mod usage;

// The external systems and data formats.
mod airgap;
pub mod aws;
pub mod bundle;
pub mod database;
pub mod docker;
mod draft;
mod lifecycle;
mod placement;
pub mod record;
pub mod replicated;
pub mod source;

// Foundations.
pub mod cause;
pub mod console;
#[cfg(test)]
mod cpu_time;
pub mod digest;
pub mod dns;
pub mod files;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod kind;
mod race;
pub mod secret;
pub mod settings;
mod suggest;
mod trust;
pub mod unit;
pub mod wait;
