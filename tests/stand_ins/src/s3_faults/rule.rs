//! Scripted faults, each for the requests that its rule covers.

use std::str::FromStr;
use std::time::Duration;

use axum::http::Method;

use crate::text;

/// What happens instead of the upstream's answer, or to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// 403 `AccessDenied`; the message is S3's plain "Access Denied" unless another is given.
    AccessDenied(Option<String>),
    /// 403 `AccessDenied` in the words of S3 when the role may not decrypt with the object's key.
    KmsDenied,
    /// 404 `NoSuchKey`.
    NoSuchKey,
    /// 301 `PermanentRedirect` with `x-amz-bucket-region`: the bucket is in this region.
    PermanentRedirect(String),
    /// 400 `AuthorizationHeaderMalformed`: signed for the wrong region, expecting this one.
    WrongRegion(String),
    /// 503 `SlowDown`.
    SlowDown,
    /// 500 `InternalError`.
    InternalError,
    /// 403 `RequestTimeTooSkewed`; the server's clock is so many seconds ahead of the real one (behind, if negative).
    ClockSkew(i64),
    /// The upstream's headers, then only so many bytes of the body, then the connection is closed.
    CutShort(usize),
    /// The upstream's answer with one byte of the body flipped.
    Corrupted,
    /// The upstream's answer, so much later.
    Delayed(Duration),
    /// No answer.
    Silent,
}

/// Which requests a rule covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Requests for keys that end so, e.g. `license.rli`.
    Key(String),
    /// Listings of the bucket.
    Listing,
    /// Every request.
    All,
}

/// A fault, the requests it covers, and how often it strikes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(super) scope: Scope,
    pub(super) fault: Fault,
    pub(super) times: Option<u32>,
    pub(super) stubborn: bool,
}

impl Rule {
    /// The fault for every request whose key ends so. A fault about the region strikes only until the request is
    /// signed for the region it names.
    #[must_use]
    pub fn key(suffix: &str, fault: Fault) -> Self {
        Self { scope: Scope::Key(suffix.to_owned()), fault, times: None, stubborn: false }
    }

    /// The fault for every request.
    #[must_use]
    pub fn all(fault: Fault) -> Self {
        Self { scope: Scope::All, fault, times: None, stubborn: false }
    }

    /// The fault for listings of the bucket.
    #[must_use]
    pub fn listing(fault: Fault) -> Self {
        Self { scope: Scope::Listing, fault, times: None, stubborn: false }
    }

    /// Only for the first requests that the rule covers.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// A fault about the region strikes even when the request is signed for the region it names.
    #[must_use]
    pub fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }

    pub(super) fn covers(&self, method: &Method, path: &str, query: &str, region: Option<&str>) -> bool {
        // Path-style: the first segment is the bucket.
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        let covered = match &self.scope {
            Scope::All => true,
            Scope::Key(suffix) => !key.is_empty() && key.ends_with(suffix.as_str()),
            Scope::Listing => {
                let object = query
                    .split('&')
                    .any(|part| part.starts_with("versionId") || part.starts_with("uploadId"));
                method == Method::GET && key.is_empty() && !object
            }
        };
        let appeased = match &self.fault {
            Fault::PermanentRedirect(right) | Fault::WrongRegion(right) => {
                !self.stubborn && region == Some(right)
            }
            _ => false,
        };
        // The answer to a HEAD has no body that could be cut or corrupted.
        let is_of_the_body = matches!(self.fault, Fault::CutShort(_) | Fault::Corrupted);
        covered && !appeased && !(is_of_the_body && method == Method::HEAD)
    }
}

impl FromStr for Rule {
    type Err = String;

    /// `KEY FAULT [TIMES]`, divided by blanks; KEY is a key's end, `*` for every request, `?list` for listings.
    /// FAULT is `access-denied`, `kms-denied`, `no-such-key`, `redirect=REGION`, `wrong-region=REGION`, `slow-down`,
    /// `internal-error`, `clock-skew=SECONDS`, `cut-short=BYTES`, `corrupted`, `delayed=2s`, `silent`.
    fn from_str(written: &str) -> Result<Self, String> {
        let mut words = written.split_whitespace();
        let (Some(key), Some(fault), times, None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("write KEY FAULT [TIMES], not: {written}"));
        };
        let scope = match key {
            "*" => Scope::All,
            "?list" => Scope::Listing,
            key => Scope::Key(key.to_owned()),
        };
        let times = times.map(text::count).transpose()?;
        Ok(Self { scope, fault: fault.parse()?, times, stubborn: false })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (name, argument) = text::split(written);
        let needed = || text::needed(name, argument);
        Ok(match name {
            "access-denied" => Self::AccessDenied(None),
            "kms-denied" => Self::KmsDenied,
            "no-such-key" => Self::NoSuchKey,
            "redirect" => Self::PermanentRedirect(needed()?.to_owned()),
            "wrong-region" => Self::WrongRegion(needed()?.to_owned()),
            "slow-down" => Self::SlowDown,
            "internal-error" => Self::InternalError,
            "clock-skew" => {
                Self::ClockSkew(needed()?.parse().map_err(|_| format!("not seconds: {written}"))?)
            }
            "cut-short" => {
                Self::CutShort(needed()?.parse().map_err(|_| format!("not a number of bytes: {written}"))?)
            }
            "corrupted" => Self::Corrupted,
            "delayed" => Self::Delayed(text::duration(needed()?)?),
            "silent" => Self::Silent,
            _ => return Err(format!("no such fault of S3: {name}")),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_its_key_and_nothing_else() {
        let rule = Rule::key("license.rli", Fault::SlowDown);
        assert!(rule.covers(&Method::GET, "/bucket/prefix/license.rli", "", None));
        assert!(!rule.covers(&Method::GET, "/bucket/prefix/settings.conf", "", None));
        assert!(!rule.covers(&Method::GET, "/license.rli", "", None), "that is a bucket");
    }

    #[test]
    fn a_listing_is_not_an_object() {
        let rule = Rule::listing(Fault::AccessDenied(None));
        assert!(rule.covers(&Method::GET, "/bucket", "list-type=2&prefix=a", None));
        assert!(rule.covers(&Method::GET, "/bucket/", "list-type=2", None));
        assert!(!rule.covers(&Method::GET, "/bucket/key", "", None));
    }

    #[test]
    fn a_region_fault_ends_with_the_right_region_unless_stubborn() {
        let rule = Rule::all(Fault::WrongRegion("eu-west-1".into()));
        assert!(rule.covers(&Method::GET, "/b/k", "", Some("us-east-1")));
        assert!(!rule.covers(&Method::GET, "/b/k", "", Some("eu-west-1")));
        assert!(rule.stubborn().covers(&Method::GET, "/b/k", "", Some("eu-west-1")));
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        assert_eq!("license.rli slow-down 2".parse(), Ok(Rule::key("license.rli", Fault::SlowDown).times(2)));
        assert_eq!(
            "* redirect=eu-west-1".parse(),
            Ok(Rule::all(Fault::PermanentRedirect("eu-west-1".into())))
        );
        assert!("license.rli".parse::<Rule>().is_err());
        assert!("* nonsense".parse::<Rule>().is_err());
    }
}
