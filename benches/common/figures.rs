//! Medians, and numbers as one reads them.

/// The middle one, or between the two in the middle. Sorts the numbers.
///
/// # Panics
/// If there are none.
pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() % 2 {
        0 => numbers[middle - 1].midpoint(numbers[middle]),
        _ => numbers[middle],
    }
}

/// The median, and in parentheses the least and the greatest if they look different.
pub(crate) fn spread(numbers: &mut [f64], unit: &str) -> String {
    let median = median(numbers);
    let [least, median, greatest] = [numbers[0], median, numbers[numbers.len() - 1]].map(readable);
    if least == greatest {
        format!("{median}{unit}")
    } else {
        format!("{median}{unit} ({least} to {greatest})")
    }
}

/// Two digits that count, or all before the point.
pub(crate) fn readable(number: f64) -> String {
    let decimals = match number.abs() {
        small if small == small.round() => 0,
        small if small < 0.995 => 2,
        small if small < 9.95 => 1,
        _ => 0,
    };
    grouped(&format!("{number:.decimals$}"))
}

/// With commas between thousands, from ten thousand on.
fn grouped(number: &str) -> String {
    let digits = number.trim_start_matches('-');
    if digits.len() < 5 || digits.contains('.') {
        return number.to_owned();
    }
    let mut text = number[..number.len() - digits.len()].to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
