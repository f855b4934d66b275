//! The deadline of a call, as gRPC writes it: at most eight digits and a unit.

use crate::outcome::Invalid;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// Nobody waits longer. What is further away is as good as none, and sums with it cannot overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
const HEADER: &str = "grpc-timeout";
const DIGITS_MAX: usize = 8;

/// How long the client wants to wait, if it says so.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Invalid> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    match parse(value) {
        Some(timeout) if timeout > LONGEST => Ok(None),
        Some(timeout) => Ok(Some(timeout)),
        None => Err(Invalid::BadTimeout { value: String::from_utf8_lossy(value.as_bytes()).into_owned() }),
    }
}

fn parse(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value.as_bytes().split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b"H" => Some(Duration::from_secs(count * 3_600)),
        b"M" => Some(Duration::from_secs(count * 60)),
        b"S" => Some(Duration::from_secs(count)),
        b"m" => Some(Duration::from_millis(count)),
        b"u" => Some(Duration::from_micros(count)),
        b"n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static [u8]) -> Result<Option<Duration>, Invalid> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        of(&headers)
    }

    #[test]
    fn every_unit_is_known() {
        let spans: [(&'static [u8], Duration); 6] = [
            (b"2H", Duration::from_hours(2)),
            (b"2M", Duration::from_mins(2)),
            (b"2S", Duration::from_secs(2)),
            (b"2m", Duration::from_millis(2)),
            (b"2u", Duration::from_micros(2)),
            (b"99999999n", Duration::from_nanos(99_999_999)),
        ];
        for (value, span) in spans {
            assert_eq!(read(value), Ok(Some(span)));
        }
        assert_eq!(of(&HeaderMap::new()), Ok(None));
        assert_eq!(read(b"0n"), Ok(Some(Duration::ZERO)));
    }

    #[test]
    fn a_lifetime_is_no_deadline() {
        assert_eq!(read(b"99999999H"), Ok(None));
        assert_eq!(read(b"87600H"), Ok(Some(LONGEST)));
    }

    #[test]
    fn everything_else_is_refused() {
        for value in [
            b"".as_slice(),
            b"S",
            b"-1S",
            b"+1S",
            b"1",
            b"1s",
            b"1.5S",
            b"123456789n",
            b" 1S",
            b"1 S",
            b"\xff",
        ] {
            assert!(matches!(read(value), Err(Invalid::BadTimeout { .. })), "{value:?}");
        }
    }
}
