//! Where a bundle comes from, and other S3 addresses.

use std::fmt;
use std::path::PathBuf;

use crate::cause::Cause;

/// Where the bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `s3://bucket/prefix`.
    S3(Location),
    /// `file:///directory`: an absolute path, which lies under the root.
    Directory(PathBuf),
}

/// A place in S3: a bucket and what its objects' keys start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name.
    pub bucket: String,
    /// Empty, or a prefix without slashes at its ends.
    pub prefix: String,
}

impl Location {
    /// The key of an object under this prefix.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// Reads `s3://bucket/prefix`; the prefix may be empty.
    ///
    /// # Errors
    /// `source.invalid`, saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| invalid(text, "it does not start with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(invalid(text, "it names no bucket"));
        }
        // The general rules for bucket names: 3 to 63 of these characters.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-' || c == '_';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(allowed) {
            return Err(invalid(text, "its bucket has a name that S3 does not allow"));
        }
        if prefix.contains("//") || prefix.chars().any(char::is_control) {
            return Err(invalid(text, "its prefix has an empty part or a control character"));
        }
        Ok(Location { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl Source {
    /// Reads `s3://bucket/prefix` or `file:///directory`.
    ///
    /// # Errors
    /// `source.invalid`, saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        if text.starts_with("s3://") {
            return Location::parse(text).map(Source::S3);
        }
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Source::Directory(PathBuf::from(path))),
            Some(_) => Err(invalid(text, "file:// needs an absolute path, so three slashes")),
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
        "source.invalid",
        format!("\"{text}\" is no source: {why}."),
        "Give s3://bucket/prefix or file:///directory.",
    )
}
