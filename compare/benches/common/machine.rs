//! What the figures depend on: the machine, and the versions of what was measured.

use std::process::{Command, Stdio};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::common::failure::Failure;

/// Which processors are for servers, and which for clients.
pub(crate) struct Machine {
    /// How many there are for all.
    pub(crate) processors: u32,
    servers: CpuSet,
    clients: CpuSet,
}

impl Machine {
    /// Keeps the last processors, so many, for servers, and all others for clients. If none were left for
    /// clients, all share all.
    pub(crate) fn new(for_servers: u32) -> Result<Self, Failure> {
        let all = sched_getaffinity(None)?;
        let processors = all.count();
        let (mut servers, mut clients) = (all, all);
        if processors > for_servers {
            let numbers = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
            for (place, cpu) in (0..processors).zip(numbers) {
                let is_last = place >= processors - for_servers;
                if is_last { clients.unset(cpu) } else { servers.unset(cpu) }
            }
        }
        Ok(Self { processors, servers, clients })
    }

    pub(crate) fn is_divided(&self) -> bool {
        self.servers != self.clients
    }

    /// From now on the calling thread, and what it starts, is a client.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        Ok(sched_setaffinity(None, &self.clients)?)
    }

    /// What starts in there runs on the server's processor, as it inherits that.
    pub(crate) fn start_server<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        sched_setaffinity(None, &self.servers)?;
        let started = start();
        self.enter()?;
        Ok(started)
    }
}

/// The release of the kernel.
pub(crate) fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|error| error.to_string(), |text| format!("Linux {}", text.trim()))
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
pub(crate) fn versions() -> String {
    let mut text = format!("readyloop {}", env!("CARGO_PKG_VERSION"));
    for name in ["mio", "tokio", "message-io"] {
        let version = locked_version(include_str!("../../../Cargo.lock"), name);
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
