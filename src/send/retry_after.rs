//! `Retry-After` in all its forms: seconds, fractions of them, and dates.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::send::transport::Answer;

/// No wait that a service names is taken as shorter.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// A longer one is a hold.
pub const LONGEST: Duration = Duration::from_secs(3600);
/// A hold for a long wait is probed at the latest after this.
pub const LONGEST_PROBE: Duration = Duration::from_secs(24 * 3600);

/// What a service asked for, held between [`SHORTEST`] and [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Wait(Duration),
    /// Longer than [`LONGEST`].
    TooLong(Duration),
}

impl Asked {
    /// Sorts a wait as it was asked for.
    pub fn from_wait(wait: Duration) -> Asked {
        if wait > LONGEST {
            Asked::TooLong(wait)
        } else {
            Asked::Wait(wait.max(SHORTEST))
        }
    }

    /// The wait itself, at most [`LONGEST`].
    pub fn wait(self) -> Duration {
        match self {
            Asked::Wait(wait) => wait,
            Asked::TooLong(_) => LONGEST,
        }
    }
}

/// What the answer's `Retry-After` header asks for; `None` without one that can be read.
pub(crate) fn asked(answer: &Answer, now: Timestamp) -> Option<Asked> {
    let value = answer.header("retry-after")?;
    parse(value, now).map(Asked::from_wait)
}

/// Reads the header's value; a date in the past is no wait.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return seconds_wait(seconds);
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    Some(Timestamp(date.as_millisecond()).since(now))
}

/// A number of seconds as a wait; `None` for what is none (negative, not a number).
pub(crate) fn seconds_wait(seconds: f64) -> Option<Duration> {
    if seconds.is_sign_negative() || seconds.is_nan() {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, want: Option<Duration>) {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(parse(value, now), want, "{value}");
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        check("7", Some(Duration::from_secs(7)));
        check(" 0.35 ", Some(Duration::from_millis(350)));
        check("1e400", Some(Duration::MAX));
        check(
            "Sat, 21 Nov 2026 08:01:30 GMT",
            Some(Duration::from_secs(90)),
        );
        check("Sat, 21 Nov 2026 07:00:00 GMT", Some(Duration::ZERO));
        check("-3", None);
        check("NaN", None);
        check("soon", None);
        check("", None);
    }

    #[test]
    fn waits_are_held_between_a_second_and_an_hour() {
        let of = |seconds| Asked::from_wait(Duration::from_secs_f64(seconds));
        assert_eq!(of(0.0), Asked::Wait(SHORTEST));
        assert_eq!(of(1.5), Asked::Wait(Duration::from_millis(1500)));
        assert_eq!(of(3600.0), Asked::Wait(LONGEST));
        assert_eq!(of(3601.0), Asked::TooLong(Duration::from_secs(3601)));
    }
}
