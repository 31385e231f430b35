//! How a server stops accepting for a while.

/// What happens to new connections while a server is [suspended](crate::Handle::suspend).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspension {
    /// They wait in the kernel's backlog, and are accepted when the server [resumes](crate::Handle::resume).
    KeepListening,
    /// The kernel refuses them (ECONNREFUSED), so that clients can try another server at once. Connections in the
    /// backlog are reset. The server remembers the addresses and ports of its listeners, but does not reserve them:
    /// another process may take them meanwhile.
    ///
    /// An [inherited](crate::ListenOptions::from_std) listener stays open, as with
    /// [`KeepListening`](Self::KeepListening). Another process may hold the same socket. Then a close here would not
    /// refuse connections, and the server could not open the listener again.
    CloseListeners,
}
