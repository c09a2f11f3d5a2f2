//! Compares this box's clock with those of trusted servers.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap};

use super::failure::{SET_CLOCK, http_date, offset};
use super::imds::Imds;
use crate::cause::Cause;
use crate::http::{self, Http};
use crate::kind::Kind;

/// Timeout for S3's time. Below the limit of a check, so that there is time left for the metadata service.
const PATIENCE: Duration = Duration::from_secs(5);

/// The warning threshold. AWS's clocks agree within a second and chrony keeps a box within milliseconds, so a minute
/// means that nothing sets the clock.
const NOTABLE: u64 = 60;

/// The failure threshold, at which services begin to reject requests: Auto Scaling and STS after five minutes, S3 after
/// fifteen.
const BROKEN: u64 = 300;

/// One server's time, and this box's at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    own: Timestamp,
    server: Timestamp,
    by: &'static str,
}

/// The state of a clock.
#[derive(Debug)]
pub enum ClockState {
    /// Correct; the difference, in a few words.
    Right(String),
    /// Wrong, but within what services tolerate.
    Off(Cause),
    /// So wrong that services reject its requests.
    Wrong(Cause),
}

/// Gets the time from S3 at `endpoint` and from the metadata service, preferring S3. `None` if neither responds.
///
/// # Errors
/// Those of setting up a client: `http.setup`, `http.ca_bundle`.
pub async fn read(http: &Http, endpoint: &str, imds: Option<&Imds>) -> Result<Option<ClockReading>, Cause> {
    let client = http::build(http.outgoing()?.timeout(PATIENCE))?;
    let of_s3 = async {
        let response = client.head(endpoint).send().await.ok()?;
        Some(ClockReading { own: Timestamp::now(), server: date_of(response.headers())?, by: "S3" })
    };
    let of_imds = async {
        let server = imds?.time().await.ok()?;
        Some(ClockReading { own: Timestamp::now(), server, by: "the metadata service" })
    };
    let (of_s3, of_imds) = futures_util::join!(of_s3, of_imds);
    Ok(of_s3.or(of_imds))
}

impl ClockReading {
    /// Judges the difference: `host.clock_skew` (host).
    pub fn judge(&self) -> ClockState {
        let ClockReading { own, server, by } = *self;
        let seconds = own.as_second().abs_diff(server.as_second());
        if seconds < NOTABLE {
            return ClockState::Right(format!("within {} s of {by}'s", seconds.max(1)));
        }
        let cause = Cause::host(
            Kind::HostClockSkew,
            format!("This box's clock is {} {by}'s.", offset(own, server)),
            SET_CLOCK,
        )
        .with("this box's time", own)
        .with("server's time", server);
        if seconds < BROKEN { ClockState::Off(cause) } else { ClockState::Wrong(cause) }
    }
}

/// The time in a response, to the second.
pub(super) fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn judged(seconds: i64) -> ClockState {
        let server = Timestamp::from_second(1_795_000_000).unwrap();
        let own = Timestamp::from_second(1_795_000_000 + seconds).unwrap();
        ClockReading { own, server, by: "S3" }.judge()
    }

    #[test]
    fn a_minute_deserves_a_look_and_five_break_things() {
        for seconds in [0, 1, -1, 59, -59] {
            assert!(matches!(judged(seconds), ClockState::Right(_)), "{seconds}");
        }
        for seconds in [60, -60, 299, -299] {
            assert!(matches!(judged(seconds), ClockState::Off(_)), "{seconds}");
        }
        let ClockState::Wrong(cause) = judged(-7200) else { panic!("two hours are wrong") };
        assert_eq!(cause.sentence, "This box's clock is 2h behind S3's.");
    }
}
