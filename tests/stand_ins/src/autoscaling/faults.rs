//! What can be wrong with the Auto Scaling API.

use std::str::FromStr;
use std::time::{Duration, Instant};

use super::answers::Refusal;
use crate::text;

/// A fault. An action is named as in the API; `*` is every action.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// So many calls of the action are answered `Throttling`.
    Throttle(String, u32),
    /// The role may not call the action.
    Deny(String),
    /// So many calls of the action are answered HTTP 500 `InternalFailure`.
    Fail(String, u32),
    /// The action is never answered.
    Silent(String),
    /// So many calls that complete or heartbeat are told that no action is active, although the instance waits.
    Race(u32),
    /// The same, for so long after the instance came to wait.
    RaceFor(Duration),
    /// Every call is answered `ExpiredToken`.
    ExpiredToken,
}

impl FromStr for Fault {
    type Err = String;

    /// `throttle=ACTION:2`, `deny=ACTION`, `fail=ACTION:2`, `silent=ACTION`, `race=2`, `race-for=3s`, `expired-token`.
    fn from_str(written: &str) -> Result<Self, String> {
        let (name, argument) = text::split(written);
        let needed = || text::needed(name, argument).map(str::to_owned);
        let counted = || {
            let argument = needed()?;
            let (action, times) =
                argument.split_once(':').ok_or_else(|| format!("write {name}=ACTION:TIMES"))?;
            Ok::<_, String>((action.to_owned(), text::count(times)?))
        };
        Ok(match name {
            "throttle" => counted().map(|(action, times)| Self::Throttle(action, times))?,
            "fail" => counted().map(|(action, times)| Self::Fail(action, times))?,
            "deny" => Self::Deny(needed()?),
            "silent" => Self::Silent(needed()?),
            "race" => Self::Race(text::count(&needed()?)?),
            "race-for" => Self::RaceFor(text::duration(&needed()?)?),
            "expired-token" => Self::ExpiredToken,
            _ => return Err(format!("no such fault of Auto Scaling: {name}")),
        })
    }
}

/// The faults in force, each with how often it has struck.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, u32)>);

pub(super) enum Verdict {
    Serve,
    Silent,
    Refuse(Refusal),
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(super) fn cure(&mut self) {
        self.0.clear();
    }

    pub(super) fn judge(&mut self, action: &str, caller: &str, region: &str) -> Verdict {
        let meant = |name: &str| name == "*" || name == action;
        for (fault, struck) in &mut self.0 {
            match fault {
                Fault::Throttle(name, times) if meant(name) && *struck < *times => {
                    *struck += 1;
                    return Verdict::Refuse(Refusal::throttled());
                }
                Fault::Fail(name, times) if meant(name) && *struck < *times => {
                    *struck += 1;
                    return Verdict::Refuse(Refusal::internal());
                }
                Fault::Deny(name) if meant(name) => {
                    return Verdict::Refuse(Refusal::denied(action, caller, region));
                }
                Fault::Silent(name) if meant(name) => return Verdict::Silent,
                Fault::ExpiredToken => return Verdict::Refuse(Refusal::expired_token()),
                _ => {}
            }
        }
        Verdict::Serve
    }

    /// Whether a call about an instance that has waited since then runs into the propagation race.
    pub(super) fn races(&mut self, waiting_since: Instant, now: Instant) -> bool {
        for (fault, struck) in &mut self.0 {
            match fault {
                Fault::Race(times) if *struck < *times => {
                    *struck += 1;
                    return true;
                }
                Fault::RaceFor(time) if now < waiting_since + *time => return true,
                _ => {}
            }
        }
        false
    }
}
