//! What the load costs the server, as its kernel counts it in `/proc`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// The server's process.
#[derive(Clone, Debug)]
pub(super) struct ServerSide {
    proc: PathBuf,
}

/// Processor time so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    /// Of all threads, in nanoseconds: `schedstat`.
    total: u64,
    /// In ticks, mostly of 10 ms: too coarse for more than the proportion.
    user: u64,
    system: u64,
}

/// Processor time of a while, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    pub(super) total: f64,
    /// User and system, if there was a tick in either.
    pub(super) split: Option<(f64, f64)>,
}

impl ServerSide {
    pub(super) fn new(pid: u32) -> Self {
        Self { proc: PathBuf::from(format!("/proc/{pid}")) }
    }

    /// Resident memory in bytes. `smaps_rollup` is exact, but closed to other users; the kernel may be
    /// behind with what `status` says (proc(5)).
    ///
    /// # Errors
    /// What `/proc` answers, most often that there is no such process.
    pub(super) fn resident(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.proc.join("smaps_rollup"))
            .or_else(|_| fs::read_to_string(self.proc.join("status")))?;
        resident_in(&text).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// # Errors
    /// As [`resident`](Self::resident).
    pub(super) fn cpu(&self) -> io::Result<Cpu> {
        let mut total = 0;
        for thread in fs::read_dir(self.proc.join("task"))? {
            // A thread that ends just now takes its time with it.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let first =
                text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            total += first.ok_or(ErrorKind::InvalidData)?;
        }
        let stat = fs::read_to_string(self.proc.join("stat"))?;
        let (user, system) = ticks_in(&stat).ok_or(ErrorKind::InvalidData)?;
        Ok(Cpu { total, user, system })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
impl Cpu {
    /// What was spent since.
    pub(super) fn since(self, before: Self) -> Spent {
        let total = self.total.saturating_sub(before.total) as f64;
        let user = self.user.saturating_sub(before.user) as f64;
        let system = self.system.saturating_sub(before.system) as f64;
        let ticks = user + system;
        let split = (ticks > 0.0).then(|| (total * user / ticks, total * system / ticks));
        Spent { total, split }
    }
}

fn resident_in(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:").or_else(|| line.strip_prefix("VmRSS:")))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// User and system time: fields 14 and 15 (proc(5)), counted behind the name, which may contain anything.
fn ticks_in(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(14 - 3);
    let mut next = || fields.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_both_files() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident_in("Rss:                  10 kB\nPss: 5 kB\n"), Some(10_240));
        assert_eq!(resident_in("Pss: 5 kB\n"), None);
    }

    #[test]
    fn ticks_are_found_whatever_the_process_is_called() {
        let stat = "4711 (a) 9 (b) S 1 2 3 4 5 6 7 8 9 10 111 222 13 14";
        assert_eq!(ticks_in(stat), Some((111, 222)));
        assert_eq!(ticks_in("4711 (a) S 1"), None);
    }

    #[test]
    fn what_was_spent_is_split_as_the_ticks_say() {
        let before = Cpu { total: 100, user: 1, system: 1 };
        let after = Cpu { total: 1_100, user: 2, system: 4 };
        assert_eq!(after.since(before), Spent { total: 1_000.0, split: Some((250.0, 750.0)) });
        assert_eq!(before.since(before), Spent { total: 0.0, split: None });
    }

    #[test]
    fn this_process_can_be_measured_and_one_that_there_is_not_cannot() {
        let own = ServerSide::new(std::process::id());
        let before = own.cpu().unwrap();
        assert!(own.resident().unwrap() > 0);
        let mut work = 0_u64;
        while own.cpu().unwrap().total == before.total {
            work = std::hint::black_box(work + 1);
        }
        let nobody = ServerSide::new(u32::MAX);
        assert_eq!(nobody.cpu().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(nobody.resident().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
