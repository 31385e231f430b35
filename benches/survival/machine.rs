//! The machine: its processors, and the names of what was measured.

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Who runs where.
pub(crate) struct Processors {
    count: u32,
    /// The server's and the clients', if there is more than one.
    split: Option<(CpuSet, CpuSet)>,
}

impl Processors {
    /// Keeps the calling thread, and those that it starts from now on, off the server's processor.
    pub(crate) fn split() -> Result<Self, Failure> {
        let mut clients = sched_getaffinity(None)?;
        let count = clients.count();
        if count < 2 {
            return Ok(Self { count, split: None });
        }
        let last = (0..CpuSet::MAX_CPU).rfind(|&cpu| clients.is_set(cpu)).ok_or("no processor")?;
        let mut server = CpuSet::new();
        server.set(last);
        clients.unset(last);
        sched_setaffinity(None, &clients)?;
        Ok(Self { count, split: Some((server, clients)) })
    }

    /// What starts in there runs on the server's processor, as it inherits that.
    pub(crate) fn start_server<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        let Some((server, clients)) = &self.split else { return Ok(start()) };
        sched_setaffinity(None, server)?;
        let started = start();
        sched_setaffinity(None, clients)?;
        Ok(started)
    }

    pub(crate) fn describe(&self) -> String {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.map_or_else(|error| error.to_string(), |text| text.trim().to_owned());
        let placed = match self.split {
            Some(_) => "one for the server, the rest for the clients",
            None => "server and clients share it",
        };
        format!("{} processors, {placed}; Linux {kernel}", self.count)
    }
}

/// Puts all this bench's threads and servers before what else the machine does, so that less of that is
/// in the figures. Returns whether it was allowed, as it is to root.
pub(crate) fn go_first() -> bool {
    setpriority_process(None, -15).is_ok()
}

/// Puts the calling thread behind the others of this bench.
pub(crate) fn stand_back() {
    // On Linux these are the calling thread's own. To be nicer is never refused.
    let _ = getpriority_process(None).and_then(|now| setpriority_process(None, now + 10));
}

/// The versions of the libraries that this bench was built with.
pub(crate) fn versions() -> String {
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
