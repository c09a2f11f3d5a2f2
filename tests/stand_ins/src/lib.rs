//! What cannot be had in a test, made small: the instance metadata service, Auto Scaling's lifecycle actions,
//! the faults of S3, and Vault. Each server owns a thread with its own runtime, so that a synchronous test simply calls
//! `start`, reads `url()` from the handle, and drops the handle at the end.

pub mod autoscaling;
pub mod imds;
pub mod record;
pub mod replicated;
pub mod s3_faults;
pub mod vault;

mod server;
mod sigv4;
mod text;
