//! What the load costs the server: its processor time and memory, from `/proc`.

use std::collections::HashSet;
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
    /// Of the threads that exist now, in nanoseconds (`schedstat`). The time of a thread that has ended is missing.
    /// `None` if the kernel does not report it.
    threads: Option<u64>,
    /// Of all threads, those that have ended included, in ticks. If no thread has ended, only the proportion of the two
    /// is used, because a tick is coarse.
    user: u64,
    system: u64,
}

/// The nanoseconds of a tick: there are 100 in a second wherever Linux runs Rust programs (`USER_HZ`, time(7)).
const TICK: u64 = 10_000_000;

/// By how many ticks the two counts may differ although no thread has ended: a whole tick is charged to the thread that
/// runs at its end.
const FEW: u64 = 3;

/// Processor time between two readings, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    /// `None` if it cannot be read.
    pub(super) total: Option<f64>,
    /// User and system time, if either has a tick.
    pub(super) split: Option<(f64, f64)>,
}

impl Spent {
    /// Whether it is known to be 0. A process that does anything takes some nanoseconds.
    pub(super) fn is_nothing(&self) -> bool {
        self.total == Some(0.0)
    }
}

impl ServerSide {
    pub(super) fn new(pid: u32) -> Self {
        Self { proc: PathBuf::from(format!("/proc/{pid}")) }
    }

    /// Resident memory in bytes. `smaps_rollup` is exact, but other users cannot read it. The number in `status` may
    /// lag behind (proc(5)).
    ///
    /// # Errors
    /// The error of `/proc`, most often that there is no such process.
    pub(super) fn resident(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.proc.join("smaps_rollup"))
            .or_else(|_| fs::read_to_string(self.proc.join("status")))?;
        resident_in(&text).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Whether one of the process's sockets has this local port. A server has such a socket: its listener or a
    /// connection. `None` if that cannot be known: the process belongs to another user, or is in another network
    /// namespace, where the port may differ.
    pub(super) fn is_at_port(&self, port: u16) -> Option<bool> {
        let space = |of: PathBuf| fs::read_link(of.join("ns/net")).ok();
        if space(self.proc.clone())? != space(PathBuf::from("/proc/self"))? {
            return None;
        }
        let texts = ["net/tcp", "net/tcp6"].map(|file| fs::read_to_string(self.proc.join(file)));
        if texts.iter().all(Result::is_err) {
            return None;
        }
        let sockets: HashSet<_> =
            texts.iter().flatten().flat_map(|text| sockets_at(port, text)).collect();
        let mut files = fs::read_dir(self.proc.join("fd")).ok()?.flatten();
        Some(files.any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            target.to_str().is_some_and(|name| sockets.contains(name))
        }))
    }

    /// # Errors
    /// As [`resident`](Self::resident).
    pub(super) fn cpu(&self) -> io::Result<Cpu> {
        let mut threads = None;
        for thread in fs::read_dir(self.proc.join("task"))? {
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let first =
                text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            *threads.get_or_insert(0) += first.ok_or(ErrorKind::InvalidData)?;
        }
        let stat = fs::read_to_string(self.proc.join("stat"))?;
        let (user, system) = ticks_in(&stat).ok_or(ErrorKind::InvalidData)?;
        Ok(Cpu { threads, user, system })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
impl Cpu {
    /// The processor time between `before` and this reading.
    pub(super) fn since(self, before: Self) -> Spent {
        let user = self.user.saturating_sub(before.user);
        let system = self.system.saturating_sub(before.system);
        let ticks = user + system;
        let of_threads =
            self.threads.zip(before.threads).map(|(now, then)| now.saturating_sub(then));
        let total = match of_threads {
            Some(exact) if ticks * TICK <= exact + FEW * TICK => Some(exact),
            // Threads have ended, or the kernel has no other count.
            _ => (ticks > 0).then_some(ticks * TICK),
        };
        let total = total.map(|nanoseconds| nanoseconds as f64);
        let split = total.filter(|_| ticks > 0).map(|total| {
            let user = total * user as f64 / ticks as f64;
            (user, total - user)
        });
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

/// The names in `/proc/PID/fd` of the sockets with this local port. `text` is `/proc/net/tcp`: the second field is the
/// local address, the tenth the inode (proc(5)).
fn sockets_at(port: u16, text: &str) -> impl Iterator<Item = String> {
    let end = format!(":{port:04X}");
    text.lines().filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let is_there = fields.nth(1)?.ends_with(&end);
        is_there.then(|| fields.nth(7).map(|inode| format!("socket:[{inode}]")))?
    })
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
    fn sockets_are_found_by_their_own_port_and_no_other() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100\n\
            1: 0100007F:C350 0100007F:1B58 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20\n\
            2: 0100007F:1B58 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 20\n";
        let found: Vec<_> = sockets_at(7000, text).collect();
        assert_eq!(found, ["socket:[4711]", "socket:[4713]"]);
        assert_eq!(sockets_at(0x358, text).count(), 0);
    }

    #[test]
    fn this_process_is_at_the_port_that_it_listens_on_and_at_no_other() {
        let listener = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = ServerSide::new(std::process::id());
        assert_eq!(own.is_at_port(port), Some(true));
        drop(listener);
        assert_eq!(own.is_at_port(1), Some(false));
        assert_eq!(ServerSide::new(u32::MAX).is_at_port(port), None);
    }

    #[test]
    fn ticks_are_found_whatever_the_process_is_called() {
        let stat = "4711 (a) 9 (b) S 1 2 3 4 5 6 7 8 9 10 111 222 13 14";
        assert_eq!(ticks_in(stat), Some((111, 222)));
        assert_eq!(ticks_in("4711 (a) S 1"), None);
    }

    #[test]
    fn what_was_spent_is_split_as_the_ticks_say() {
        let before = Cpu { threads: Some(100), user: 1, system: 1 };
        let after = Cpu { threads: Some(1_100), user: 1, system: 4 };
        let spent = Spent { total: Some(1_000.0), split: Some((0.0, 1_000.0)) };
        assert_eq!(after.since(before), spent);
        assert_eq!(before.since(before), Spent { total: Some(0.0), split: None });
    }

    #[test]
    fn the_time_of_threads_that_have_ended_is_taken_from_the_ticks() {
        let before = Cpu { threads: Some(5 * TICK), user: 2, system: 3 };
        let after = Cpu { threads: Some(6 * TICK), user: 12, system: 33 };
        let expected = [40, 10, 30].map(|ticks| (ticks * TICK) as f64);
        let spent = after.since(before);
        assert_eq!(spent.total, Some(expected[0]));
        assert_eq!(spent.split, Some((expected[1], expected[2])));
    }

    #[test]
    fn without_a_count_of_the_threads_there_are_the_ticks_or_nothing() {
        let before = Cpu { threads: None, user: 1, system: 1 };
        let after = Cpu { threads: None, user: 2, system: 1 };
        assert_eq!(after.since(before).total, Some(TICK as f64));
        assert_eq!(before.since(before), Spent { total: None, split: None });
    }

    #[test]
    fn a_thread_that_has_ended_keeps_its_time_in_the_account() {
        let own = || ServerSide::new(std::process::id()).cpu().unwrap();
        let before = own();
        let ticks = |cpu: Cpu| cpu.user + cpu.system;
        let work = move || while ticks(own()) < ticks(before) + 20 {};
        std::thread::spawn(work).join().unwrap();
        let total = own().since(before).total.unwrap();
        assert!(total >= ((20 - FEW) * TICK) as f64, "{total}");
    }

    #[test]
    fn this_process_can_be_measured_and_one_that_there_is_not_cannot() {
        let own = ServerSide::new(std::process::id());
        let before = own.cpu().unwrap();
        assert!(own.resident().unwrap() > 0);
        let mut work = 0_u64;
        while own.cpu().unwrap().threads == before.threads {
            work = std::hint::black_box(work + 1);
        }
        let none = ServerSide::new(u32::MAX);
        assert_eq!(none.cpu().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(none.resident().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
