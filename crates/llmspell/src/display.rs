//! Durations and costs as text.

use std::time::Duration;

use crate::observe::cost::Cost;

/// Returns a duration with three significant digits and a unit: `850 µs`, `1.35 s`, `2 min 5 s`.
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

/// Returns a cost with four significant digits, or more if there are more before the point and two behind it: `0.00125`,
/// `12.5`, `1234.57`.
pub(crate) fn amount(cost: Cost) -> String {
    let amount = cost.as_f64();
    let before = amount.abs().log10().floor();
    let decimals = if before.is_finite() { (3.0 - before).clamp(2.0, 9.0) as usize } else { 2 };
    trimmed(&format!("{amount:.decimals$}"))
}

fn trimmed(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

fn digits(number: f64) -> String {
    let decimals = match number {
        _ if number < 9.995 => 2,
        _ if number < 99.95 => 1,
        _ => 0,
    };
    trimmed(&format!("{number:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_significant_digits() {
        let cases = [
            (0.0, "0"),
            (0.00125, "0.00125"),
            (0.000_012_3, "0.0000123"),
            (0.3, "0.3"),
            (12.5, "12.5"),
            (1234.567, "1234.57"),
            (5000.0, "5000"),
        ];
        for (number, text) in cases {
            assert_eq!(amount(Cost::new(number)), text);
        }
    }

    #[test]
    fn durations_have_three_digits_and_a_unit() {
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
