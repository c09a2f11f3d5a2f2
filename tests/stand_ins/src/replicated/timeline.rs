//! What the app does, second by second.

use std::str::FromStr;

/// How the app's health URL answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// With this status.
    Status(u16),
    /// Accepts, and never answers.
    Silent,
    /// Closes the connection without a word.
    Closed,
}

/// The state of the app from some second on.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    since: f64,
    /// As `replicatedctl app status` names it.
    pub state: String,
    /// The same of the state it is going to.
    pub desired: String,
    /// Whether it is on its way there.
    pub transitioning: bool,
    /// The health URL.
    pub health: Health,
}

/// Moments in order. A state `absent` means that no app is installed, as before the first moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline(Vec<Moment>);

impl Default for Timeline {
    /// Starting for a second, then started and healthy.
    fn default() -> Self {
        let moment = |since, state: &str, transitioning, status| Moment {
            since,
            state: state.to_owned(),
            desired: "started".to_owned(),
            transitioning,
            health: Health::Status(status),
        };
        Self(vec![moment(0.0, "starting", true, 503), moment(1.0, "started", false, 200)])
    }
}

impl Timeline {
    pub(super) fn at(&self, elapsed: f64) -> Option<Moment> {
        let mut reached = self.0.iter().filter(|moment| moment.since <= elapsed);
        reached.next_back().filter(|moment| moment.state != "absent").cloned()
    }
}

impl FromStr for Timeline {
    type Err = String;

    /// Lines `SECONDS STATE DESIRED TRANSITIONING HEALTH`, e.g. `1.5 started started false 200`; HEALTH is an HTTP
    /// status, `silent` or `closed`. Empty lines and `#` lines are passed over.
    fn from_str(written: &str) -> Result<Self, String> {
        let lines = written.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut moments = lines.map(moment).collect::<Result<Vec<_>, _>>()?;
        moments.sort_by(|one, other| one.since.total_cmp(&other.since));
        Ok(Self(moments))
    }
}

fn moment(line: &str) -> Result<Moment, String> {
    let wrong = || format!("write SECONDS STATE DESIRED TRANSITIONING HEALTH, not: {line}");
    let words: Vec<_> = line.split_whitespace().collect();
    let [since, state, desired, transitioning, health] = words.as_slice() else {
        return Err(wrong());
    };
    Ok(Moment {
        since: since.parse().map_err(|_| wrong())?,
        state: (*state).to_owned(),
        desired: (*desired).to_owned(),
        transitioning: transitioning.parse().map_err(|_| wrong())?,
        health: match *health {
            "silent" => Health::Silent,
            "closed" => Health::Closed,
            status => Health::Status(status.parse().map_err(|_| wrong())?),
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_holds_at_each_second() {
        let written =
            "# late\n2 starting started true 503\n\n3.5 started started false 200\n9 absent - false closed\n";
        let timeline: Timeline = written.parse().unwrap();
        assert_eq!(timeline.at(1.9), None);
        assert_eq!(timeline.at(2.0).unwrap().state, "starting");
        let started = timeline.at(4.0).unwrap();
        assert_eq!(
            (started.state.as_str(), started.transitioning, started.health),
            ("started", false, Health::Status(200))
        );
        assert_eq!(timeline.at(9.0), None);
    }

    #[test]
    fn a_line_of_another_form_is_an_error() {
        assert!("0 started started maybe 200".parse::<Timeline>().is_err());
        assert!("0 started".parse::<Timeline>().is_err());
    }
}
