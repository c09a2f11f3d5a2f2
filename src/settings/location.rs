//! A place in S3: `s3://bucket/prefix`.

use std::fmt;
use std::net::Ipv4Addr;

use crate::cause::Cause;
use crate::kind::Kind;

/// A place in S3: a bucket and what its objects' keys start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket's name.
    pub bucket: String,
    /// Empty, or a prefix without slashes at its ends.
    pub prefix: String,
}

impl Location {
    /// Reads `s3://bucket` or `s3://bucket/prefix`; a slash at the end means nothing.
    ///
    /// # Errors
    /// `source.invalid` (config), saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let Some(rest) = text.strip_prefix("s3://") else {
            let hint = match text.split_once(':') {
                Some(("s3", _)) => "s3: must be followed by two slashes.",
                Some(("http" | "https", _)) => "Write the bucket and the prefix, not the object's web URL.",
                Some((scheme, _)) if scheme.eq_ignore_ascii_case("s3") => "Write s3:// in lower case.",
                _ => "It does not begin with s3://.",
            };
            return Err(invalid(text, hint));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(fault) = fault_of_bucket(bucket) {
            return Err(invalid(text, &fault));
        }
        if prefix.chars().any(char::is_control) {
            return Err(invalid(text, "The prefix contains a control character."));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        // S3 would take it, as a part with an empty name; nobody who writes it means that.
        if prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains("//") {
            return Err(invalid(text, "The prefix contains an extra slash."));
        }
        // An object's key has at most 1024 bytes; what remains is for the names below the prefix.
        if prefix.len() > 900 {
            return Err(invalid(text, "The prefix is longer than 900 bytes."));
        }
        Ok(Location { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The key of the object that lies below the prefix under this name.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// The address of the object that lies below the prefix under this name, as the AWS command line takes it.
    pub fn url(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(name))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// The rules for bucket names, with the capitals and underscores that us-east-1 allowed until 2018: such buckets live on.
fn fault_of_bucket(bucket: &str) -> Option<String> {
    let stray = bucket.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._".contains(*c)));
    let edge = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric());
    if bucket.is_empty() {
        Some("It has no bucket.".to_owned())
    } else if let Some(stray) = stray {
        Some(format!("A bucket name cannot contain {stray:?}."))
    } else if !(3..=63).contains(&bucket.len()) {
        Some(format!("A bucket name has 3 to 63 characters; {bucket} has {}.", bucket.len()))
    } else if edge(bucket.chars().next()) || edge(bucket.chars().next_back()) {
        Some("A bucket name begins and ends with a letter or a digit.".to_owned())
    } else if bucket.contains("..") {
        Some("A bucket name cannot contain two dots in a row.".to_owned())
    } else if bucket.parse::<Ipv4Addr>().is_ok() {
        Some("A bucket name cannot be an IP address.".to_owned())
    } else {
        None
    }
}

fn invalid(text: &str, fault: &str) -> Cause {
    Cause::config(
        Kind::SourceInvalid,
        format!("The source is not an S3 URL. {fault}"),
        "Write it as s3://bucket/prefix.",
    )
    .with_url("source", text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_ones() {
        for (text, bucket, key) in [
            ("s3://ha-bucket/services-box", "ha-bucket", "services-box/settings.conf"),
            ("s3://ha-bucket/services-box/", "ha-bucket", "services-box/settings.conf"),
            ("s3://ha-bucket", "ha-bucket", "settings.conf"),
            ("s3://ha-bucket/", "ha-bucket", "settings.conf"),
            ("s3://my.bucket/a/b c/é", "my.bucket", "a/b c/é/settings.conf"),
            ("s3://Old_Bucket/x", "Old_Bucket", "x/settings.conf"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(
                (location.bucket.as_str(), location.key("settings.conf").as_str()),
                (bucket, key),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_ones_say_what_is_wrong() {
        for (text, fault) in [
            ("s3:/ha-bucket/x", "two slashes"),
            ("s3:ha-bucket", "two slashes"),
            ("S3://ha-bucket", "lower case"),
            ("https://ha-bucket.s3.amazonaws.com/x", "not the object's web URL"),
            ("ha-bucket/x", "does not begin"),
            ("", "does not begin"),
            ("s3://", "no bucket"),
            ("s3:///x", "no bucket"),
            ("s3://ab/x", "3 to 63"),
            ("s3://-abc/x", "begins and ends"),
            ("s3://a..b/x", "two dots"),
            ("s3://10.0.0.1/x", "IP address"),
            ("s3://ha bucket/x", "' '"),
            ("s3://user@bucket/x", "'@'"),
            ("s3://<bucket>/x", "'<'"),
            ("s3://bucket/a\nb", "control"),
            ("s3://bucket//a", "extra slash"),
            ("s3://bucket/a//", "extra slash"),
            ("s3://bucket/a//b", "extra slash"),
        ] {
            let cause = Location::parse(text).unwrap_err();
            assert_eq!(cause.kind, Kind::SourceInvalid, "{text}");
            assert!(cause.sentence.contains(fault), "{text}: {}", cause.sentence);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bucket in "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", prefix in "([a-zA-Z0-9 ._-]{1,9}/){0,3}[^/\\p{Cc}]{0,9}") {
            let location = Location::parse(&format!("s3://{bucket}/{prefix}")).unwrap();
            prop_assert_eq!(&Location::parse(&location.to_string()).unwrap(), &location);
            prop_assert_eq!(location.bucket, bucket);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,40}") {
            let _ = Location::parse(&text);
        }
    }
}
