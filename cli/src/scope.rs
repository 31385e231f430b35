//! Scope ids: the interface of an IPv6 address, by its name or its number (RFC 4007).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Parses an address to connect from. Its port is 0: the system chooses one.
pub(crate) fn source(text: &str) -> Result<SocketAddr, String> {
    match text.split_once('%') {
        None => text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)).ok(),
        Some((ip, scope)) => match ip.parse::<Ipv6Addr>() {
            Ok(ip) => Some(SocketAddrV6::new(ip, 0, 0, number(scope)?).into()),
            Err(_) => None,
        },
    }
    .ok_or_else(|| "not an address, such as 192.0.2.1, 2001:db8::1 or fe80::1%eth0".to_owned())
}

/// Parses `[address%interface]:port`. `None` if the text has another form.
pub(crate) fn scoped(text: &str) -> Result<Option<SocketAddr>, String> {
    let parts = || {
        let (ip, rest) = text.strip_prefix('[')?.split_once('%')?;
        let (scope, port) = rest.split_once("]:")?;
        Some((ip.parse::<Ipv6Addr>().ok()?, scope, port.parse::<u16>().ok()?))
    };
    let Some((ip, scope, port)) = parts() else { return Ok(None) };
    Ok(Some(SocketAddrV6::new(ip, port, 0, number(scope)?).into()))
}

/// The number of an interface.
fn number(scope: &str) -> Result<u32, String> {
    if scope.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = scope.parse()
    {
        return Ok(number);
    }
    index_of(scope).ok_or_else(|| format!("this machine has no interface {scope:?}"))
}

#[cfg(target_os = "linux")]
fn index_of(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};

    let any_socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any_socket, name).ok()
}

/// By the resolver, which knows the interfaces of link-local addresses.
#[cfg(not(target_os = "linux"))]
fn index_of(name: &str) -> Option<u32> {
    use std::net::ToSocketAddrs;

    let scoped = (format!("fe80::1%{name}"), 0).to_socket_addrs().ok()?.next()?;
    if let SocketAddr::V6(addr) = scoped { Some(addr.scope_id()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_addresses_with_or_without_an_interface() {
        for (text, addr) in [
            ("192.0.2.1", "192.0.2.1:0"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("fe80::1%7", "[fe80::1%7]:0"),
        ] {
            assert_eq!(source(text), Ok(addr.parse().unwrap()));
        }
        for bad in
            ["", "%", "%1", "nowhere", "192.0.2.1%1", "[::1]", "::1%", "::1%no such", "::1%\n"]
        {
            assert!(source(bad).is_err(), "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_loopback_interface_has_a_number() {
        let Ok(SocketAddr::V6(addr)) = source("::1%lo") else { panic!("there is a lo") };
        assert_ne!(addr.scope_id(), 0);
        assert_eq!(
            scoped("[::1%lo]:7"),
            Ok(Some(SocketAddrV6::new(*addr.ip(), 7, 0, addr.scope_id()).into()))
        );
        assert!(scoped("[::1%lo9]:7").unwrap_err().contains("no interface \"lo9\""));
    }
}
