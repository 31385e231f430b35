//! What the figures depend on: the machine, and the versions of what was measured.

use std::process::{Command, Stdio};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Who runs where.
pub(crate) struct Machine {
    processors: u32,
    /// The calling thread goes before all others.
    goes_first: bool,
    /// The server's and the clients', if they are divided.
    divided: Option<(CpuSet, CpuSet)>,
}

impl Machine {
    /// Keeps the last processor for servers, and all others for the calling thread and those that it
    /// starts, if there is more than one.
    pub(crate) fn divided() -> Result<Self, Failure> {
        let (mut server, mut clients) = (CpuSet::new(), sched_getaffinity(None)?);
        let processors = clients.count();
        let goes_first = go_first();
        if processors < 2 {
            return Ok(Self { processors, goes_first, divided: None });
        }
        let last = (0..CpuSet::MAX_CPU).rfind(|&cpu| clients.is_set(cpu)).ok_or("no processor")?;
        server.set(last);
        clients.unset(last);
        sched_setaffinity(None, &clients)?;
        Ok(Self { processors, goes_first, divided: Some((server, clients)) })
    }

    /// What starts in there runs on the server's processor, as it inherits that.
    pub(crate) fn start_server<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        let Some((server, clients)) = &self.divided else { return Ok(start()) };
        sched_setaffinity(None, server)?;
        let started = start();
        sched_setaffinity(None, clients)?;
        Ok(started)
    }

    pub(crate) fn describe(&self) -> String {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.map_or_else(|error| error.to_string(), |text| text.trim().to_owned());
        let placed = match self.divided {
            Some(_) => "one for servers, the rest for clients",
            None => "shared by servers and clients",
        };
        let priority = match self.goes_first {
            true => "measuring threads have real-time priority",
            false => "measuring threads have no priority, for want of the right",
        };
        let processors = self.processors;
        format!("{processors} processors, {placed}; {priority}; Linux {kernel}; {}.", versions())
    }
}

/// Has the calling thread run whenever it is ready, but not those that it starts. Returns whether that is
/// so: it needs a right that root has, and chrt(1).
pub(crate) fn go_first() -> bool {
    let thread = gettid().as_raw_pid().to_string();
    let mut command = Command::new("chrt");
    command.args(["--reset-on-fork", "--fifo", "--pid", "1", &thread]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Puts the calling thread behind the others of this bench.
pub(crate) fn stand_back(by: i32) {
    // On Linux these are the calling thread's own. To be nicer is never refused.
    let _ = getpriority_process(None).and_then(|now| setpriority_process(None, now + by));
}

/// The versions of the libraries that this bench was built with.
fn versions() -> String {
    let mut text = format!("readyloop {}", env!("CARGO_PKG_VERSION"));
    for name in ["mio", "tokio", "message-io"] {
        let version = locked_version(include_str!("../../Cargo.lock"), name);
        text += &format!(", {name} {}", version.unwrap_or("of unknown version"));
    }
    text
}

/// The version of a direct dependency. Where several are in the file, the entry of this package names
/// its own beside the name.
fn locked_version<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let package = |name: &str| {
        let head = format!("\nname = \"{name}\"\n");
        lock.split("[[package]]").filter(move |entry| entry.starts_with(&head))
    };
    let own = package(env!("CARGO_PKG_NAME")).next()?;
    let listed = own.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
    let mut listed = listed.filter_map(|entry| entry.strip_prefix(name));
    match listed.find(|rest| rest.is_empty() || rest.starts_with(' '))? {
        "" => package(name).next()?.split("version = \"").nth(1)?.split('"').next(),
        several => several.split(' ').nth(1),
    }
}
