//! What `strace -c` has written.

/// How many calls there were.
///
/// A row has a share of the time first, the number of calls in the fourth place, and a name at the end. The
/// heads are no rows, and the one with the total is left out.
///
/// # Errors
/// If there is no such row.
pub(crate) fn sum(table: &str) -> Result<u64, String> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| {
        row.first().is_some_and(|share| share.parse::<f64>().is_ok())
            && row.last() != Some(&"total")
    });
    let calls: Option<Vec<u64>> = rows.map(|row| row.get(3)?.parse().ok()).collect();
    let calls = calls.filter(|calls| !calls.is_empty());
    calls.map(|calls| calls.iter().sum()).ok_or_else(|| "strace has written no table".to_owned())
}
