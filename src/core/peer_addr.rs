//! An address in 23 bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A [`SocketAddr`] without the flow information of IPv6, which `accept` does not return. It takes 23 bytes without
/// alignment, instead of 32, in the entry of each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddr {
    /// An IPv4 address uses the first four.
    octets: [u8; 16],
    scope_id: [u8; 4],
    port: [u8; 2],
    is_v4: bool,
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut octets = [0; 16];
        let scope_id = match addr {
            SocketAddr::V4(addr) => {
                octets[..4].copy_from_slice(&addr.ip().octets());
                0
            }
            SocketAddr::V6(addr) => {
                octets = addr.ip().octets();
                addr.scope_id()
            }
        };
        Self {
            octets,
            scope_id: scope_id.to_ne_bytes(),
            port: addr.port().to_ne_bytes(),
            is_v4: addr.is_ipv4(),
        }
    }
}

impl From<PeerAddr> for SocketAddr {
    fn from(addr: PeerAddr) -> Self {
        let PeerAddr { octets, scope_id, port, is_v4 } = addr;
        let (scope_id, port) = (u32::from_ne_bytes(scope_id), u16::from_ne_bytes(port));
        if is_v4 {
            let [a, b, c, d, ..] = octets;
            Self::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
        } else {
            SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope_id).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_went_in() {
        assert_eq!((size_of::<PeerAddr>(), align_of::<PeerAddr>()), (23, 1));
        for text in ["127.0.0.1:7000", "[::1]:7", "[fe80::1%3]:65535", "[::ffff:10.0.0.1]:80"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(PeerAddr::from(addr)), addr);
        }
    }
}
