//! How many connections each address holds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts connections by IPv4 address, or by the IPv6 network that one subscriber usually gets.
#[derive(Debug)]
pub(crate) struct PerIp {
    /// How many bits of an IPv6 address name its network.
    prefix: u8,
    /// Hashed with a secret of this process, as peers choose the keys.
    counts: HashMap<IpAddr, u32>,
}

impl PerIp {
    pub(crate) fn new(prefix: u8) -> Self {
        Self { prefix, counts: HashMap::new() }
    }

    pub(crate) fn count(&self, ip: IpAddr) -> u32 {
        self.counts.get(&self.key(ip)).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, ip: IpAddr) {
        *self.counts.entry(self.key(ip)).or_insert(0) += 1;
    }

    pub(crate) fn remove(&mut self, ip: IpAddr) {
        let key = self.key(ip);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    /// An IPv4 address that comes by an IPv6 socket is still one.
    fn key(&self, ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let host_bits = 128 - u32::from(self.prefix.min(128));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
            v4 => v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_mapped_ipv4_as_ipv4() {
        let mut per_ip = PerIp::new(64);
        per_ip.add(ip("2001:db8::1"));
        per_ip.add(ip("2001:db8::ffff:1"));
        per_ip.add(ip("2001:db8:0:1::1"));
        per_ip.add(ip("192.0.2.1"));
        per_ip.add(ip("::ffff:192.0.2.1"));
        assert_eq!(per_ip.count(ip("2001:db8::2")), 2);
        assert_eq!(per_ip.count(ip("2001:db8:0:1::2")), 1);
        assert_eq!(per_ip.count(ip("192.0.2.1")), 2);
        assert_eq!(per_ip.count(ip("192.0.2.2")), 0);
    }

    #[test]
    fn the_prefix_can_be_all_bits_or_none() {
        for (prefix, expected) in [(128, 1), (0, 2)] {
            let mut per_ip = PerIp::new(prefix);
            per_ip.add(ip("2001:db8::1"));
            per_ip.add(ip("fe80::1"));
            assert_eq!(per_ip.count(ip("fe80::1")), expected);
        }
    }

    #[test]
    fn an_address_without_connections_costs_nothing() {
        let mut per_ip = PerIp::new(64);
        per_ip.add(ip("192.0.2.1"));
        per_ip.remove(ip("192.0.2.1"));
        per_ip.remove(ip("192.0.2.1"));
        assert!(per_ip.counts.is_empty());
    }
}
