//! Durations as people write them: `250ms`, `5s`, `2m`, `1h`; a bare number is seconds.

use std::time::Duration;

const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Reads a duration of at most a year.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write 250ms, 5s, 2m or 1h (at most a year)");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Writes a duration as people would.
pub(crate) fn shown(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1000.0;
    let whole = |unit: u64| span.subsec_nanos() == 0 && span.as_secs().is_multiple_of(unit);
    match span.as_secs() {
        seconds if seconds > 0 && whole(3600) => format!("{}h", seconds / 3600),
        seconds if seconds > 0 && whole(60) => format!("{}m", seconds / 60),
        seconds if whole(1) => format!("{seconds}s"),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let read = |text| duration(text).expect("a duration");
        assert_eq!(
            ["250ms", "5s", "2m", "1h", "3", "0", "1.5s"].map(|t| read(t).as_millis()),
            [250, 5_000, 120_000, 3_600_000, 3_000, 0, 1_500]
        );
        for text in ["250ms", "5s", "2m", "1h", "0s", "1500ms", "90s"] {
            assert_eq!(shown(read(text)), text);
        }
        for wrong in ["", "s", "-1s", "5 s", "5d", "nan", "inf", "9999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
