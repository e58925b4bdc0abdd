//! Durations as people write them.

use std::time::Duration;

/// Three significant digits and a unit: `850 µs`, `1.35 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        _ if micros < 1.0 => "0".to_owned(),
        _ if micros < 999.5 => format!("{} µs", digits(micros)),
        _ if micros < 999.5e3 => format!("{} ms", digits(micros / 1e3)),
        _ if micros < 119.5e6 => format!("{} s", digits(micros / 1e6)),
        _ => {
            let seconds = (micros / 1e6).round() as u64;
            match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, 0) => format!("{minutes} min"),
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

fn digits(number: f64) -> String {
    let decimals = match number {
        _ if number < 9.995 => 2,
        _ if number < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let cases = [
            (0, "0"),
            (1, "1 µs"),
            (850, "850 µs"),
            (999_499, "999 ms"),
            (999_600, "1 s"),
            (1_350_000, "1.35 s"),
            (2_000_000, "2 s"),
            (59_960_000, "60 s"),
            (100_000, "100 ms"),
            (125_000_000, "2 min 5 s"),
            (120_000_000, "2 min"),
            (3_661_000_000, "1 h 1 min"),
        ];
        for (micros, text) in cases {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }
}
