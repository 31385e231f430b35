//! Preflight checks: open files and ports.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::error::Error;
use super::plan::Plan;
use super::sources::Sources;

/// Standard streams, the pipe for signals, files in `/proc`.
const OWN_FILES: u64 = 32;

/// The event queue of a reactor and its waker.
const FILES_A_THREAD: u64 = 4;

/// Checks that the limit of open files and the range of ports are large enough. `how_to_add` says how to get more
/// sources.
///
/// # Errors
/// [`Error::System`] if one of them is not.
pub(super) fn check(plan: &Plan, sources: &Sources, how_to_add: &str) -> Result<(), Error> {
    let problem = want_of_files(plan, getrlimit(Resource::Nofile).current)
        .or_else(|| want_of_ports(plan, sources, how_to_add, ports()));
    let flag = format!("--connections {}", plan.connections);
    problem.map_or(Ok(()), |problem| Err(Error::of_flag(flag, problem)))
}

fn want_of_files(plan: &Plan, limit: Option<u64>) -> Option<String> {
    let needed = u64::from(plan.connections) + OWN_FILES + FILES_A_THREAD * u64::from(plan.threads);
    let limit = limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "{needed} files would be open, and the limit is {limit}: raise the hard limit (ulimit -Hn), or \
         open fewer connections"
    ))
}

fn want_of_ports(
    plan: &Plan,
    sources: &Sources,
    how_to_add: &str,
    ports: Option<u64>,
) -> Option<String> {
    let (ports, number) = (ports?, sources.number() as u64);
    (u64::from(plan.connections) > ports * number).then(|| {
        let sources = match number {
            1 => format!("one source address with {ports} ports is"),
            _ => format!("{number} source addresses with {ports} ports each are"),
        };
        format!("{sources} not enough: {how_to_add}, or open fewer connections")
    })
}

/// How many ports the kernel gives out; `None` if it does not say.
pub(super) fn ports() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.trim().parse().ok()?);
    (last + 1).checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(connections: u32) -> Plan {
        Plan { connections, ..Plan::sample() }
    }

    #[test]
    fn what_is_open_beside_the_connections_counts_as_well() {
        assert_eq!(want_of_files(&plan_of(964), Some(1_000)), None);
        let problem = want_of_files(&plan_of(965), Some(1_000)).unwrap();
        assert!(problem.contains("1001 files") && problem.contains("ulimit"), "{problem}");
        assert_eq!(want_of_files(&plan_of(1_000_000), None), None);
    }

    #[test]
    fn ports_are_enough_if_there_are_sources_enough() {
        let two = Sources::Given(vec![([192, 0, 2, 1], 0).into(), ([192, 0, 2, 2], 0).into()]);
        assert_eq!(want_of_ports(&plan_of(200), &two, "name more", Some(100)), None);
        assert!(want_of_ports(&plan_of(201), &two, "name more", Some(100)).is_some());
        assert_eq!(want_of_ports(&plan_of(201), &two, "name more", None), None);
    }
}
