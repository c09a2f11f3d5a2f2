//! One file of a support bundle before it is scrubbed.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

/// What one collection brought, or why it brought nothing.
#[derive(Debug)]
pub(super) struct Section {
    /// The file's name in the bundle.
    pub(super) name: String,
    /// Where it comes from: a path, a command.
    pub(super) source: String,
    pub(super) found: Result<Found, String>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) content: Content,
    /// What is missing of it.
    pub(super) cut: Option<String>,
}

#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    Json(Value),
    /// The program's own words, scrubbed.
    Own(String),
}

impl Section {
    pub(super) fn new(
        name: impl Into<String>,
        source: impl Into<String>,
        found: Result<Found, String>,
    ) -> Self {
        Section { name: name.into(), source: source.into(), found }
    }

    /// Whether it is this program's own words.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.found, Ok(Found { content: Content::Own(_), .. }))
    }
}

impl Found {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Found { content: Content::Text(text.into()), cut: None }
    }

    pub(super) fn json(value: Value) -> Self {
        Found { content: Content::Json(value), cut: None }
    }

    pub(super) fn own(text: String) -> Self {
        Found { content: Content::Own(text), cut: None }
    }

    pub(super) fn cut(mut self, why: Option<String>) -> Self {
        self.cut = why;
        self
    }
}

/// Reads files on a separate thread, which may hang on a dead network file system, and waits at most `limit`.
pub(super) async fn on_a_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err("reading it failed unexpectedly".to_owned()),
        Err(_) => Err(format!("it could not be read within {} s", limit.as_secs())),
    }
}
