//! How many connections each address has.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// Counts connections by IPv4 address, and by the IPv6 network that a subscriber usually gets.
///
/// There are two maps because an IPv4 key takes a third of the memory, and most keys are IPv4. Both use a hash with a
/// secret of this process, because peers choose the keys.
#[derive(Debug)]
pub(crate) struct PerIp {
    /// How many leading bits of an IPv6 address are its network.
    prefix: u8,
    v4: HashMap<u32, u32>,
    v6: HashMap<u128, u32>,
}

impl PerIp {
    pub(crate) fn new(prefix: u8) -> Self {
        Self { prefix, v4: HashMap::new(), v6: HashMap::new() }
    }

    pub(crate) fn count(&self, ip: IpAddr) -> u32 {
        let count = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.get(&ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(&self.network(ip.to_bits())),
        };
        count.copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, ip: IpAddr) {
        // An IPv6 socket reports IPv4 addresses as mapped ones.
        match ip.to_canonical() {
            IpAddr::V4(ip) => *self.v4.entry(ip.to_bits()).or_insert(0) += 1,
            IpAddr::V6(ip) => {
                let network = self.network(ip.to_bits());
                *self.v6.entry(network).or_insert(0) += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => remove(&mut self.v4, ip.to_bits()),
            IpAddr::V6(ip) => {
                let network = self.network(ip.to_bits());
                remove(&mut self.v6, network);
            }
        }
    }

    fn network(&self, address: u128) -> u128 {
        let host_bits = 128 - u32::from(self.prefix.min(128));
        address & u128::MAX.checked_shl(host_bits).unwrap_or(0)
    }
}

fn remove<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
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
        assert!(per_ip.v4.is_empty());
    }
}
