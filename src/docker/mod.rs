//! The Docker engine of this box: what it holds, what it runs, and the images that were locked when the box was baked.
//!
//! Every function makes one attempt within its own time limit and says why it failed; whoever calls decides how long to
//! go on trying. Dropping a future stops what it started.

pub mod engine;
pub mod exec;
pub mod images;
pub mod lock;
pub mod pull;
pub mod reference;
mod transport;

mod credentials;
mod listing;

pub use credentials::register_logins;
