//! x
mod finding;
mod json;
pub(crate) mod shell;
