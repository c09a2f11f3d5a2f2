//! What can be wrong with the instance metadata service.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::text;

/// A fault of the metadata service. Durations count from the moment the fault is injected; one given in the
/// configuration counts from the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Connections are refused for so long.
    RefusedFor(Duration),
    /// Connections are accepted, and nothing is answered for so long; then whoever still waits is served.
    SilentFor(Duration),
    /// Accepts, and never answers.
    Dead,
    /// The endpoint is switched off for this instance: 403 for everything.
    Disabled,
    /// The token request is answered 403.
    TokenRefused,
    /// The token request is never answered, while everything else is: the hop limit is too small.
    TokenSilent,
    /// Knows no tokens: answers the token request with this status, and everything else without a token.
    V1Only(u16),
    /// Tokens are given and not demanded (`HttpTokens=optional`): for others than the agent, such as a cloud-init that
    /// does not see that it runs on AWS.
    TokensOptional,
    /// This item, and what lies below it, is 404. Named as below `meta-data/` (`local-ipv4`), or from the version
    /// on (`dynamic/instance-identity`).
    Missing(String),
    /// As [`Fault::Missing`], for so long: at launch the credentials come a moment late.
    MissingFor(String, Duration),
    /// The next request with a good token is answered 401, and that token is forgotten.
    ExpireTokenOnce,
    /// So many requests are answered with this status: 503 when throttled, 500 when the service is ill.
    Failing(u16, u32),
}

impl FromStr for Fault {
    type Err = String;

    /// `refused-for=10s`, `silent-for=10s`, `dead`, `disabled`, `token-refused`, `token-silent`, `v1-only[=405]`,
    /// `tokens-optional`, `missing=ITEM`, `missing-for=ITEM:3s`, `expire-token-once`, `failing=503:2`.
    fn from_str(written: &str) -> Result<Self, String> {
        let (name, argument) = text::split(written);
        let needed = || text::needed(name, argument);
        let pair =
            || needed()?.rsplit_once(':').ok_or_else(|| format!("{name} needs two arguments: {name}=…:…"));
        let status = |text: &str| text.parse::<u16>().map_err(|_| format!("not an HTTP status: {text}"));
        Ok(match name {
            "refused-for" => Self::RefusedFor(text::duration(needed()?)?),
            "silent-for" => Self::SilentFor(text::duration(needed()?)?),
            "dead" => Self::Dead,
            "disabled" => Self::Disabled,
            "token-refused" => Self::TokenRefused,
            "token-silent" => Self::TokenSilent,
            "v1-only" => Self::V1Only(argument.map_or(Ok(405), status)?),
            "tokens-optional" => Self::TokensOptional,
            "missing" => Self::Missing(needed()?.to_owned()),
            "missing-for" => {
                let (item, time) = pair()?;
                Self::MissingFor(item.to_owned(), text::duration(time)?)
            }
            "expire-token-once" => Self::ExpireTokenOnce,
            "failing" => {
                let (code, times) = pair()?;
                Self::Failing(status(code)?, text::count(times)?)
            }
            _ => return Err(format!("no such fault of IMDS: {name}")),
        })
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Active>);

#[derive(Debug)]
struct Active {
    fault: Fault,
    since: Instant,
    times: u32,
}

/// What the faults make of a request before it is looked at.
pub(super) enum Verdict {
    Serve,
    SilentUntil(Instant),
    Silent,
    Status(u16),
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault, now: Instant) {
        self.0.push(Active { fault, since: now, times: 0 });
    }

    pub(super) fn cure(&mut self) {
        self.0.clear();
    }

    pub(super) fn refused_until(&self) -> Option<Instant> {
        let until = |active: &Active| match active.fault {
            Fault::RefusedFor(time) => Some(active.since + time),
            _ => None,
        };
        self.0.iter().filter_map(until).max()
    }

    pub(super) fn judge(&mut self, token_request: bool, now: Instant) -> Verdict {
        for active in &mut self.0 {
            match active.fault {
                Fault::Dead => return Verdict::Silent,
                Fault::SilentFor(time) if now < active.since + time => {
                    return Verdict::SilentUntil(active.since + time);
                }
                // A connection kept open from before is not refused by the kernel, so it falls silent instead.
                Fault::RefusedFor(time) if now < active.since + time => {
                    return Verdict::SilentUntil(active.since + time);
                }
                Fault::Disabled => return Verdict::Status(403),
                Fault::TokenRefused if token_request => return Verdict::Status(403),
                Fault::TokenSilent if token_request => return Verdict::Silent,
                Fault::V1Only(status) if token_request => return Verdict::Status(status),
                Fault::Failing(status, times) if active.times < times => {
                    active.times += 1;
                    return Verdict::Status(status);
                }
                _ => {}
            }
        }
        Verdict::Serve
    }

    pub(super) fn without_tokens(&self) -> bool {
        self.0.iter().any(|active| matches!(active.fault, Fault::V1Only(_) | Fault::TokensOptional))
    }

    /// True once for each [`Fault::ExpireTokenOnce`].
    pub(super) fn expire_token(&mut self) -> bool {
        let found = self.0.iter().position(|active| active.fault == Fault::ExpireTokenOnce);
        found.map(|index| self.0.remove(index)).is_some()
    }

    /// Whether the item, named from the version on, is hidden now.
    pub(super) fn hides(&self, item: &str, now: Instant) -> bool {
        self.0.iter().any(|active| match &active.fault {
            Fault::Missing(name) => covers(name, item),
            Fault::MissingFor(name, time) => now < active.since + *time && covers(name, item),
            _ => false,
        })
    }
}

fn covers(name: &str, item: &str) -> bool {
    let name = name.trim_matches('/');
    let below =
        |item: &str| item.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below(item) || item.strip_prefix("meta-data/").is_some_and(below)
}
