//! Where a bundle comes from.

use std::fmt;
use std::path::PathBuf;

use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::url;

pub use super::location::Location;

/// Where the bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `s3://bucket/prefix`.
    S3(Location),
    /// `file:///directory`: an absolute path, which lies under the root.
    Directory(PathBuf),
}

impl Source {
    /// Reads `s3://bucket/prefix` or `file:///directory`.
    ///
    /// # Errors
    /// `source.invalid`, saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        if text.starts_with("s3:") {
            return Location::parse(text).map(Source::S3);
        }
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Source::Directory(PathBuf::from(path))),
            Some(_) => Err(invalid(text, "file:// needs an absolute path, hence three slashes")),
            None => Err(invalid(text, "it starts with neither s3:// nor file://")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::S3(location) => location.fmt(f),
            Source::Directory(path) => write!(f, "file://{}", path.display()),
        }
    }
}

fn invalid(text: &str, why: &str) -> Cause {
    Cause::config(
        Kind::SourceInvalid,
        format!("\"{}\" is not a source: {why}.", url::shown(text)),
        "Give s3://bucket/prefix or file:///directory.",
    )
}
