//! Real parts, started when a test first asks for one and gone when the test program is.
#![allow(dead_code, reason = "a part offers what its like offers, whether or not a test asks for it today")]

pub(crate) mod agent;
pub(crate) mod certificates;
pub(crate) mod dns;
pub(crate) mod engine;
pub(crate) mod mongo;
pub(crate) mod parts;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod s3;
pub(crate) mod schema;
pub(crate) mod shell;
pub(crate) mod vendor;
