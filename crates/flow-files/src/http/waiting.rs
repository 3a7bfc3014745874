//! How long to wait before a page is asked for again.

use jiff::Timestamp;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A server that asks for more patience than this gets it from the schedule.
pub const LONGEST: Duration = Duration::from_secs(300);

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// The longest that nobody asked for.
const USUAL: Duration = Duration::from_secs(30);

/// Before try `number`, from 1: twice as long each time, and not the same for all who failed together.
pub fn backoff(number: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << (number - 1).min(10)).min(USUAL);
    // Between a half and all of it.
    let part = RandomState::new().build_hasher().finish() % 1000;
    whole.mul_f64(0.5 + part as f64 / 2000.0)
}

/// What the header `Retry-After` asks for: seconds, or a date.
pub fn asked_for(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_by_seconds_or_by_a_date() {
        let now: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
        assert_eq!(asked_for("120", now), Some(Duration::from_secs(120)));
        assert_eq!(asked_for("Wed, 21 Oct 2015 07:28:07 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(asked_for("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(asked_for("soon", now), None);
    }

    #[test]
    fn waits_grow_and_end_at_a_bound() {
        for number in 1..40 {
            let wait = backoff(number);
            assert!(wait >= FIRST / 2 && wait <= USUAL, "{wait:?}");
        }
        assert!(backoff(4) >= Duration::from_secs(2));
    }
}
