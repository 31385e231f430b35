//! What the system tells of connections and processes: proc(5).

use std::net::SocketAddr;

/// A connection at the server's end, as the kernel holds it.
pub(crate) struct ServerEnd {
    /// Bytes that the kernel has received and the server has not read.
    pub(crate) unread: u64,
}

/// The connections to this IPv4 address that are not yet over at the server's end. Their clients may be gone.
pub(crate) fn server_ends(addr: SocketAddr) -> Vec<ServerEnd> {
    const TIME_WAIT: &str = "06";
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", addr.port());
    let list = std::fs::read_to_string("/proc/net/tcp").expect("the system has a list");
    let server_end = |line: &str| {
        let [_, local, _, state, queues] = line.split_whitespace().collect::<Vec<_>>()[..5] else {
            unreachable!("there are five fields")
        };
        let is_held = local.ends_with(&port) && state != TIME_WAIT && state != LISTEN;
        is_held.then(|| {
            let (_, unread) = queues.split_once(':').expect("tx_queue:rx_queue");
            ServerEnd { unread: u64::from_str_radix(unread, 16).expect("a hexadecimal number") }
        })
    };
    list.lines().skip(1).filter_map(server_end).collect()
}

/// Whether each thread of the process waits in an interruptible call, such as `epoll_wait`.
pub(crate) fn is_asleep(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads.flatten().all(|thread| {
        let state = std::fs::read_to_string(thread.path().join("stat"));
        state.is_ok_and(|state| {
            state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    })
}
