//! Medians, and numbers as people read them.

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
    precise_spread(numbers, unit, 2)
}

/// The same, with this many significant digits.
pub(crate) fn precise_spread(numbers: &mut [f64], unit: &str, digits: usize) -> String {
    let median = median(numbers);
    let [least, median, greatest] =
        [numbers[0], median, numbers[numbers.len() - 1]].map(|number| readable(number, digits));
    if least == greatest {
        format!("{median}{unit}")
    } else {
        format!("{median}{unit} ({least} to {greatest})")
    }
}

/// A number with this many significant digits, or all digits before the point.
pub(crate) fn readable(number: f64, digits: usize) -> String {
    let (mut decimals, mut limit) = (if number == number.round() { 0 } else { digits }, 1.0);
    while decimals > 0 && number.abs() >= limit - 0.5 / 10_f64.powi(decimals as i32) {
        decimals -= 1;
        limit *= 10.0;
    }
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
