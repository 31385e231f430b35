//! The addresses to connect from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most connections from one address. At most half of its ports are used (`ip_local_port_range`, ip(7)): the kernel
/// takes long to find one of the last free ports.
const MOST_OF_ONE: u64 = 10_000;

/// How many addresses churn uses. A connection that the client closes first keeps its port for a minute (TIME_WAIT,
/// tcp(7)). With the 28,232 ports that Linux has by default, these addresses suffice for 470,000 connections a second.
const FOR_CHURN: u32 = 1_000;

/// The addresses to connect from. Connections take them in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sources {
    /// The kernel chooses.
    Any,
    /// The addresses of the plan.
    Given(Vec<SocketAddr>),
    /// `number` addresses of 127.0.0.0/8, from the one with the index `first`.
    Loopback { first: u32, number: u32 },
}

/// Addresses of 127.0.0.0/8 that end in 0 or 255 are left out, as some programs take them for broadcasts. So is
/// 127.0.0.0/16, where servers listen.
const NETS: u32 = 255 * 256;
const HOSTS: u32 = 254;

impl Sources {
    /// The addresses that `connections` to one of `targets` need.
    pub(super) fn choose(
        given: &[SocketAddr],
        targets: &[SocketAddr],
        connections: u32,
        churns: bool,
        process: u32,
        ports: Option<u64>,
    ) -> Self {
        if !given.is_empty() {
            return Self::Given(given.to_vec());
        }
        let of_one = ports.map_or(MOST_OF_ONE, |ports| (ports / 2).clamp(1, MOST_OF_ONE));
        let of_one = u32::try_from(of_one).unwrap_or(u32::MAX);
        match (targets.iter().any(is_loopback), churns) {
            (true, true) => Self::Loopback { first: start(process), number: FOR_CHURN },
            (true, false) if connections > of_one => {
                Self::Loopback { first: start(process), number: connections.div_ceil(of_one) }
            }
            _ => Self::Any,
        }
    }

    /// The source of a connection, counted from 0; `None` is any.
    pub(super) fn of(&self, connection: u64) -> Option<SocketAddr> {
        let turn = |number: u64| usize::try_from(connection % number).unwrap_or_default();
        let ip = match self {
            Self::Any => return None,
            Self::Given(all) => return Some(all[turn(all.len() as u64)]),
            Self::Loopback { first, number } => {
                let turn = u32::try_from(connection % u64::from(*number)).unwrap_or_default();
                IpAddr::V4(loopback(first.wrapping_add(turn) % (NETS * HOSTS)))
            }
        };
        Some(SocketAddr::new(ip, 0))
    }

    /// Whether all of them can reach this address.
    pub(super) fn reach(&self, target: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Given(all) => all.iter().all(|source| source.is_ipv4() == target.is_ipv4()),
            Self::Loopback { .. } => is_loopback(target),
        }
    }

    /// How many there are.
    pub(super) fn number(&self) -> usize {
        match self {
            Self::Any => 1,
            Self::Given(all) => all.len(),
            Self::Loopback { number, .. } => *number as usize,
        }
    }
}

/// Replaces the unspecified address by the loopback address. To connect to the unspecified address is to connect to
/// this machine. But from a given source, Linux connects to that source (`ip_route_output_key`), where the server may
/// not listen.
pub(super) fn as_reached(mut target: SocketAddr) -> SocketAddr {
    match target.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => target.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => target.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    target
}

/// How to get more addresses to connect from.
pub(super) fn how_to_add(targets: &[SocketAddr]) -> &'static str {
    let is_one_alone = |target: &SocketAddr| target.ip() == Ipv6Addr::LOCALHOST;
    if !targets.is_empty() && targets.iter().all(is_one_alone) {
        "have the server listen on 127.0.0.1 (::1 is reached from ::1 alone)"
    } else {
        "name more --source addresses"
    }
}

fn is_loopback(target: &SocketAddr) -> bool {
    matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

/// The index of the first address of a process. Processes that run at once often have numbers close to each other: the
/// golden ratio keeps their addresses far apart (Knuth, The Art of Computer Programming, vol. 3, 6.4).
fn start(process: u32) -> u32 {
    let spread = u64::from(process.wrapping_mul(0x9e37_79b1));
    u32::try_from((spread * u64::from(NETS * HOSTS)) >> 32)
        .expect("less than the 2^32 it is a part of")
}

fn loopback(index: u32) -> Ipv4Addr {
    let (net, host) = (index / HOSTS + 256, index % HOSTS + 1);
    Ipv4Addr::from(127 << 24 | net << 8 | host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7);

    fn ips(sources: &Sources, connections: u64) -> HashSet<IpAddr> {
        (0..connections).filter_map(|connection| sources.of(connection)).map(|a| a.ip()).collect()
    }

    #[test]
    fn few_connections_leave_the_choice_to_the_kernel() {
        let sources = Sources::choose(&[], &[LOOPBACK], 10_000, false, 1, None);
        assert_eq!((sources.of(0), sources.number()), (None, 1));
    }

    #[test]
    fn many_are_spread_over_loopback_from_the_first_on() {
        let sources = Sources::choose(&[], &[LOOPBACK], 100_000, false, 1, None);
        assert_eq!(sources.number(), 10);
        assert_eq!(ips(&sources, 100_000).len(), 10);
        assert!(sources.of(0).is_some());
    }

    #[test]
    fn fewer_ports_take_more_addresses() {
        let sources = Sources::choose(&[], &[LOOPBACK], 60, false, 1, Some(51));
        assert_eq!(sources.number(), 3);
    }

    #[test]
    fn churn_on_loopback_has_many_sources() {
        let sources = Sources::choose(&[], &[LOOPBACK], 1, true, 1, None);
        assert_eq!(ips(&sources, 10_000).len(), 1_000);
    }

    #[test]
    fn no_address_in_particular_is_this_machine() {
        for (named, reached) in [
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("127.0.0.2:7", "127.0.0.2:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
        ] {
            assert_eq!(as_reached(named.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn with_one_possible_source_the_advice_does_not_ask_for_more() {
        let advice = |target: &str| how_to_add(&[target.parse().unwrap()]);
        assert!(advice("[::1]:7").contains("listen on 127.0.0.1"));
        assert!(advice("127.0.0.1:7").contains("--source"));
        assert!(advice("[2001:db8::1]:7").contains("--source"));
    }

    #[test]
    fn elsewhere_only_what_is_given_is_used() {
        let far = SocketAddr::from(([192, 0, 2, 1], 7));
        assert_eq!(Sources::choose(&[], &[far], 100_000, true, 1, None), Sources::Any);
        let given = [2, 3].map(|host| SocketAddr::from(([192, 0, 2, host], 0)));
        let sources = Sources::choose(&given, &[far], 1, false, 1, None);
        assert_eq!(ips(&sources, 3), HashSet::from(given.map(|addr| addr.ip())));
    }

    #[test]
    fn of_a_name_with_several_addresses_those_are_left_that_can_be_reached() {
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 7));
        let spread = Sources::choose(&[], &[v6, LOOPBACK], 1, true, 1, None);
        assert!(spread.reach(&LOOPBACK) && !spread.reach(&v6));
        let any = Sources::choose(&[], &[v6, LOOPBACK], 1, false, 1, None);
        assert!(any.reach(&LOOPBACK) && any.reach(&v6));
        let given = Sources::choose(&[v6], &[v6, LOOPBACK], 1, false, 1, None);
        assert!(!given.reach(&LOOPBACK) && given.reach(&v6));
    }

    #[test]
    fn processes_of_neighbouring_numbers_share_no_address() {
        let mut taken = HashSet::new();
        for process in 4_711..4_811 {
            let sources = Sources::choose(&[], &[LOOPBACK], 1, true, process, None);
            for ip in ips(&sources, 1_000) {
                assert!(taken.insert(ip), "{ip} is taken already");
            }
        }
    }

    #[test]
    fn every_address_is_one_of_loopback_and_no_broadcast() {
        for index in [0, 253, 254, NETS * HOSTS - 1] {
            let ip = loopback(index);
            assert!(ip.is_loopback(), "{ip}");
            assert!(!matches!(ip.octets()[3], 0 | 255), "{ip}");
            assert_ne!(ip.octets()[1], 0, "{ip}");
        }
    }
}
