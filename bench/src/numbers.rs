//! Numbers as people read them.

/// With a comma at each thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To three digits, in the unit that suits.
pub(super) fn time(microseconds: f64) -> String {
    let (value, unit) = match microseconds {
        _ if microseconds >= 999_500.0 => (microseconds / 1e6, "s"),
        _ if microseconds >= 999.5 => (microseconds / 1e3, "ms"),
        _ => (microseconds, "µs"),
    };
    match value {
        _ if value >= 99.95 => format!("{value:.0} {unit}"),
        _ if value >= 9.995 => format!("{value:.1} {unit}"),
        _ => format!("{value:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_have_three_digits() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let times = [0.004, 1.0, 12.34, 123.4, 999.6, 56_789.0, 1_234_567.0];
        let texts = ["0.00 µs", "1.00 µs", "12.3 µs", "123 µs", "1.00 ms", "56.8 ms", "1.23 s"];
        assert_eq!(times.map(time), texts);
    }
}
