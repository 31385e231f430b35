//! The address of a peer or a listener.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::option;

/// The address of a peer or a listener, as returned by [`Conn::peer_addr`](crate::Conn::peer_addr) and
/// [`Conn::local_addr`](crate::Conn::local_addr).
///
/// Today each address is an IP address and a port. Addresses of Unix sockets may be added without a breaking change. An
/// `Addr` is displayed like a [`SocketAddr`], and can be compared with one.
///
/// # Examples
/// ```
/// use std::net::{IpAddr, SocketAddr};
/// use readyloop::{Addr, Conn, Result};
///
/// fn on_open(conn: &mut Conn, friends: &[IpAddr]) -> Result {
///     match conn.peer_addr().ip() {
///         Some(ip) if friends.contains(&ip) => Ok(()),
///         _ => Err(format!("{} is no friend", conn.peer_addr()))?,
///     }
/// }
///
/// let addr = Addr::from(SocketAddr::from(([127, 0, 0, 1], 7000)));
/// assert_eq!(addr, SocketAddr::from(([127, 0, 0, 1], 7000)));
/// assert_eq!(addr.to_string(), "127.0.0.1:7000");
/// assert_eq!(addr.port(), Some(7000));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a TCP port.
    Ip(SocketAddr),
}

impl Addr {
    /// The IP address. `None` for an address of another kind.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(addr) => Some(addr.ip()),
        }
    }

    /// The port. `None` for an address of another kind.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(addr) => Some(addr.port()),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl PartialEq<SocketAddr> for Addr {
    fn eq(&self, other: &SocketAddr) -> bool {
        *self == Self::Ip(*other)
    }
}

impl PartialEq<Addr> for SocketAddr {
    fn eq(&self, other: &Addr) -> bool {
        other == self
    }
}

/// So that `TcpStream::connect(addr)` works.
impl ToSocketAddrs for Addr {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let Self::Ip(addr) = self;
        Ok(Some(*addr).into_iter())
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
        }
    }
}

/// The same as [`Display`](fmt::Display).
impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
