//! A server in a process of its own.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::binary;
use crate::common::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(60);

/// It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

/// What starts the real binary, on a free port.
///
/// # Errors
/// The binary cannot be built.
pub(crate) fn readyloop() -> Result<Command, Failure> {
    let mut command = Command::new(binary::readyloop()?);
    command.args(["--listen", "127.0.0.1:0"]);
    Ok(command)
}

impl Server {
    /// Returns when it has said where it listens.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        // The log is written, as with default settings, and discarded.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut server = Self { child, addr: SocketAddr::from(([0; 4], 0)) };
        server.addr = server.announced_addr()?;
        Ok(server)
    }

    fn announced_addr(&mut self) -> Result<SocketAddr, Failure> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on ").ok_or("it does not listen")?;
        Ok(addr.parse()?)
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The time that all its threads have spent on processors.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Failure> {
        self.scheduled(0)
    }

    /// The time that all its threads were ready to run and something else had the processor.
    pub(crate) fn queueing_time(&self) -> Result<Duration, Failure> {
        self.scheduled(1)
    }

    /// A time of schedstat (proc_pid_schedstat(5)), by its place.
    fn scheduled(&self, place: usize) -> Result<Duration, Failure> {
        let mut total = Duration::ZERO;
        for thread in std::fs::read_dir(self.proc_path("task"))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanos = text.split_whitespace().nth(place).ok_or("no such field")?.parse()?;
            total += Duration::from_nanos(nanos);
        }
        Ok(total)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open.
    pub(crate) fn open_files(&self) -> Result<usize, Failure> {
        Ok(std::fs::read_dir(self.proc_path("fd"))?.count())
    }

    /// Waits until it has this many descriptors open: until it has accepted or closed all connections.
    pub(crate) fn settle(&self, open_files: usize) -> Result<(), Failure> {
        let give_up = Instant::now() + TIMEOUT;
        while self.open_files()? != open_files {
            if Instant::now() > give_up {
                let has = self.open_files()?;
                return Err(format!("the server has {has} open files, not {open_files}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Resident memory in bytes, now.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        field(&self.proc("smaps_rollup")?, "Rss:")
    }

    /// The most resident memory in bytes since [`forget_peak`](Self::forget_peak).
    pub(crate) fn peak(&self) -> Result<u64, Failure> {
        field(&self.proc("status")?, "VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Result<(), Failure> {
        Ok(std::fs::write(self.proc_path("clear_refs"), "5")?)
    }

    /// Limits it to this many more descriptors. Returns the limits from before.
    pub(crate) fn leave_descriptors(&self, more: usize) -> Result<Rlimit, Failure> {
        let mut open = HashSet::new();
        for entry in std::fs::read_dir(self.proc_path("fd"))? {
            open.insert(entry?.file_name().to_str().ok_or("no number")?.parse::<u64>()?);
        }
        // The limit is on the number of a descriptor, and the lowest free one is taken first.
        let current = (0..).filter(|number| !open.contains(number)).nth(more);
        // Its hard limit is ours, and stays: only so can the soft one be raised again.
        let maximum = getrlimit(Resource::Nofile).maximum;
        Ok(prlimit(Some(self.pid()), Resource::Nofile, Rlimit { current, maximum })?)
    }

    pub(crate) fn set_descriptor_limit(&self, limit: Rlimit) -> Result<(), Failure> {
        prlimit(Some(self.pid()), Resource::Nofile, limit)?;
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn proc(&self, file: &str) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.proc_path(file))?)
    }

    fn proc_path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A field that is given in KiB, in bytes.
fn field(text: &str, name: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
