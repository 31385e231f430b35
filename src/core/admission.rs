//! Admission: which new connections are accepted.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Instant;

use super::per_ip::PerIp;
use super::token_bucket::TokenBucket;

/// The limits of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) per_ip: Option<u32>,
    pub(crate) ipv6_prefix: u8,
    /// The average rate of new connections per second, and the largest burst.
    pub(crate) rate: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Refuse,
    Evict,
}

/// What happens to a connection that was just accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admit,
    /// It is admitted, and the idlest connection is evicted.
    AdmitInsteadOfIdlest,
    Refuse(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    PerIp,
    Rate,
}

/// What a reactor reports of its idlest connection: the one that has received nothing for the longest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// How long the connection has received nothing, in milliseconds, without the time of a slow turn.
    pub(crate) silence: u64,
    /// The reactor has been in the same turn for a while.
    pub(crate) is_stalled: bool,
}

/// Judges new connections for all reactors of a server together. Keeps the counts of admitted connections that this
/// needs.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    bucket: Option<TokenBucket>,
    shares: Vec<Share>,
    /// The sum over all shares.
    open: usize,
    /// The reactor that got the last new connection.
    last: usize,
    /// A connection waits in the kernel's backlog until there is room.
    is_waited_for: bool,
    /// No connection is accepted any more.
    is_over: bool,
    /// The next limits. They apply when all reactors have counted their connections for them.
    coming: Option<Limits>,
}

/// The counts of one reactor.
#[derive(Debug)]
struct Share {
    open: usize,
    /// The addresses of admitted connections that are on their way to the reactor. They count as open.
    arriving: Vec<IpAddr>,
    /// How many of the arriving connections evict a connection of the reactor.
    evicting: usize,
    /// The connections of each address. `None` if there is no limit per address.
    per_ip: Option<PerIp>,
    /// `per_ip` for the next limits. `None` until the reactor has counted its connections for them.
    coming: Option<Option<PerIp>>,
}

impl Admission {
    pub(crate) fn new(limits: Limits, reactors: usize) -> Self {
        let share = || Share {
            open: 0,
            arriving: Vec::new(),
            evicting: 0,
            per_ip: limits.new_per_ip(),
            coming: None,
        };
        Self {
            limits,
            bucket: limits.new_bucket(),
            shares: std::iter::repeat_with(share).take(reactors).collect(),
            open: 0,
            last: 0,
            is_waited_for: false,
            is_over: false,
            coming: None,
        }
    }

    /// Reports that a reactor is ready for other limits, with the addresses of its connections. The limits apply when
    /// all reactors are ready, because only then are all connections counted. The token bucket is replaced only if the
    /// rate changes.
    pub(crate) fn prepare(
        &mut self,
        reactor: usize,
        limits: Limits,
        ips: impl Iterator<Item = IpAddr>,
    ) {
        if self.coming != Some(limits) {
            self.coming = Some(limits);
            self.shares.iter_mut().for_each(|share| share.coming = None);
        }
        let share = &mut self.shares[reactor];
        let mut per_ip = limits.new_per_ip();
        if let Some(per_ip) = &mut per_ip {
            ips.chain(share.arriving.iter().copied()).for_each(|ip| per_ip.add(ip));
        }
        share.coming = Some(per_ip);
        self.change_if_ready();
    }

    fn change_if_ready(&mut self) {
        let Some(limits) =
            self.coming.filter(|_| self.shares.iter().all(|share| share.coming.is_some()))
        else {
            return;
        };
        self.coming = None;
        if self.limits.rate != limits.rate {
            self.bucket = limits.new_bucket();
        }
        self.limits = limits;
        for share in &mut self.shares {
            share.per_ip = share.coming.take().flatten();
        }
    }

    /// The limit of connections.
    pub(crate) fn most_connections(&self) -> usize {
        self.limits.connections
    }

    /// Whether new connections have to wait in the kernel's backlog.
    pub(crate) fn keeps_waiting(&mut self) -> bool {
        self.is_waited_for = self.limits.when_full == WhenFull::Wait && self.is_full();
        self.is_waited_for
    }

    fn is_full(&self) -> bool {
        self.open >= self.limits.connections
    }

    /// Judges a new connection. It takes a token of the rate limit only if all other limits admit it.
    pub(crate) fn judge(&mut self, ip: IpAddr, now: Instant) -> Verdict {
        let evicts = self.limits.when_full == WhenFull::Evict && self.open > 0;
        if self.is_full() && !evicts {
            return Verdict::Refuse(Refusal::Full);
        }
        if self.limits.per_ip.is_some_and(|limit| self.count(ip) >= limit) {
            return Verdict::Refuse(Refusal::PerIp);
        }
        if self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            return Verdict::Refuse(Refusal::Rate);
        }
        if self.is_full() { Verdict::AdmitInsteadOfIdlest } else { Verdict::Admit }
    }

    fn count(&self, ip: IpAddr) -> u32 {
        self.shares.iter().filter_map(|share| share.per_ip.as_ref()).map(|all| all.count(ip)).sum()
    }

    /// Chooses the reactor for the next new connection: the one with the fewest connections, in turn if several have
    /// equally few. A stalled reactor is chosen only if all are stalled, because the connection would wait for it.
    pub(crate) fn choose(&mut self, is_stalled: impl Fn(usize) -> bool) -> usize {
        let count = self.shares.len();
        let turned = (1..=count).map(|step| (self.last + step) % count);
        let rank = |index: &usize| (is_stalled(*index), self.shares[*index].open);
        self.last = turned.min_by_key(rank).unwrap_or_default();
        self.last
    }

    /// Chooses the reactor that evicts its idlest connection for the next new one. `None` if no reactor has a
    /// connection to evict.
    ///
    /// A stalled reactor is the last choice, because the new connection would wait for it. Of each other reactor only
    /// the idle time of its idlest connection is known, as of its last turn. Each eviction that is already under way is
    /// assumed to lower this time by an equal step. So many new connections at once are spread over the reactors.
    ///
    /// A connection that is on its way to a reactor is never evicted. This bounds how many are on their way.
    pub(crate) fn replaces_the_idlest(
        &self,
        idle: impl Fn(usize) -> Option<Idle>,
    ) -> Option<usize> {
        let rank = |index: usize| {
            let share = &self.shares[index];
            let residents = share.open - share.arriving.len();
            let left = residents.checked_sub(share.evicting).filter(|left| *left > 0)?;
            let Idle { silence, is_stalled } = idle(index)?;
            // Scaled up, so that the division does not round short times to 0.
            let silence = u128::from(silence.saturating_add(1)) << 16;
            let of_next = silence * left as u128 / residents as u128;
            Some(((is_stalled, Reverse(of_next)), index))
        };
        let best = (0..self.shares.len()).filter_map(rank).min();
        best.map(|(_, index)| index)
    }

    /// Counts a new connection from now on, while it is on its way to its reactor.
    pub(crate) fn opened(&mut self, reactor: usize, ip: IpAddr, evicts: bool) {
        self.open += 1;
        let share = &mut self.shares[reactor];
        share.open += 1;
        share.arriving.push(ip);
        share.evicting += usize::from(evicts);
        share.counts().for_each(|per_ip| per_ip.add(ip));
    }

    /// A new connection has arrived at its reactor. Returns whether there are more connections than the limit allows.
    pub(crate) fn arrived(&mut self, reactor: usize, ip: IpAddr, evicts: bool) -> bool {
        let share = &mut self.shares[reactor];
        let place = share.arriving.iter().position(|arriving| *arriving == ip);
        share.arriving.swap_remove(place.expect("the connection was admitted"));
        share.evicting -= usize::from(evicts);
        self.open > self.limits.connections
    }

    /// A new connection goes to another reactor than planned.
    pub(crate) fn moves(&mut self, from: usize, to: usize, ip: IpAddr, evicts: bool) {
        self.arrived(from, ip, evicts);
        self.closed(from, ip);
        self.opened(to, ip, evicts);
    }

    /// From now on no connection is accepted any more.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether no accepted connection is left, and none will come.
    pub(crate) fn is_deserted(&self) -> bool {
        self.is_over && self.open == 0
    }

    /// Counts a connection as closed. Returns whether another reactor may wait for that: there is room for a connection
    /// in the backlog, or this was the last connection.
    pub(crate) fn closed(&mut self, reactor: usize, ip: IpAddr) -> bool {
        self.open -= 1;
        let share = &mut self.shares[reactor];
        share.open -= 1;
        share.counts().for_each(|per_ip| per_ip.remove(ip));
        (self.is_waited_for && !self.is_full()) || self.is_deserted()
    }
}

impl Share {
    fn counts(&mut self) -> impl Iterator<Item = &mut PerIp> {
        self.per_ip.iter_mut().chain(self.coming.iter_mut().flatten())
    }
}

impl Limits {
    fn new_per_ip(&self) -> Option<PerIp> {
        self.per_ip.map(|_| PerIp::new(self.ipv6_prefix))
    }

    fn new_bucket(&self) -> Option<TokenBucket> {
        self.rate.map(|(per_second, burst)| TokenBucket::new(per_second, burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connections: 2,
        when_full: WhenFull::Refuse,
        per_ip: None,
        ipv6_prefix: 64,
        rate: None,
    };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn open(admission: &mut Admission, reactor: usize, ip: IpAddr) {
        admission.opened(reactor, ip, false);
        admission.arrived(reactor, ip, false);
    }

    #[test]
    fn the_cap_is_exact_and_room_is_used_again() {
        let mut admission = Admission::new(LIMITS, 1);
        let now = Instant::now();
        for _ in 0..2 {
            assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
            open(&mut admission, 0, ip(1));
        }
        assert_eq!(admission.judge(ip(1), now), Verdict::Refuse(Refusal::Full));
        admission.closed(0, ip(1));
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
    }

    #[test]
    fn other_limits_bring_no_new_tokens() {
        let limits = Limits { connections: 10, rate: Some((1, 1)), ..LIMITS };
        let mut admission = Admission::new(limits, 1);
        let now = Instant::now();
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
        admission.prepare(0, Limits { connections: 11, ..limits }, std::iter::empty());
        assert_eq!(admission.judge(ip(1), now), Verdict::Refuse(Refusal::Rate));
        admission.prepare(0, Limits { rate: None, ..limits }, std::iter::empty());
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
    }

    #[test]
    fn a_waiting_connection_is_not_judged() {
        let mut admission = Admission::new(Limits { when_full: WhenFull::Wait, ..LIMITS }, 1);
        for _ in 0..2 {
            assert!(!admission.keeps_waiting());
            open(&mut admission, 0, ip(1));
        }
        assert!(admission.keeps_waiting());
        admission.closed(0, ip(1));
        assert!(!admission.keeps_waiting());
    }

    #[test]
    fn a_new_connection_goes_to_the_emptiest_reactor_or_to_each_in_turn() {
        let limits = Limits { connections: 100, ..LIMITS };
        let mut admission = Admission::new(limits, 3);
        let fill = |admission: &mut Admission, count| -> Vec<usize> {
            let mut chosen = Vec::new();
            for _ in 0..count {
                let reactor = admission.choose(|_| false);
                open(admission, reactor, ip(1));
                chosen.push(reactor);
            }
            chosen
        };
        let shares = |admission: &Admission| -> Vec<usize> {
            admission.shares.iter().map(|share| share.open).collect()
        };
        fill(&mut admission, 10);
        assert!(shares(&admission).iter().all(|share| (3..=4).contains(share)));
        for _ in 0..3 {
            admission.closed(1, ip(1));
        }
        fill(&mut admission, 2);
        assert!(shares(&admission)[1] >= 2, "{:?}", shares(&admission));
    }

    #[test]
    fn no_new_connection_takes_the_place_of_another_on_its_way() {
        let limits = Limits { connections: 3, when_full: WhenFull::Evict, ..LIMITS };
        let mut admission = Admission::new(limits, 2);
        for reactor in [0, 1, 1] {
            open(&mut admission, reactor, ip(1));
        }
        let idlest = |index| Some(Idle { silence: [95, 91][index], is_stalled: false });
        let mut chosen = Vec::new();
        while let Some(reactor) = admission.replaces_the_idlest(idlest) {
            admission.opened(reactor, ip(2), true);
            chosen.push(reactor);
        }
        assert_eq!(chosen, [0, 1, 1]);
        admission.arrived(1, ip(2), true);
        admission.closed(1, ip(1));
        assert_eq!(admission.replaces_the_idlest(idlest), Some(1));
    }

    /// How many of `count` new connections each reactor gets, each in the place of its idlest.
    fn parts(count: usize, residents: &[usize], idle: &[Idle]) -> Vec<usize> {
        let limits = Limits { connections: 0, when_full: WhenFull::Evict, ..LIMITS };
        let mut admission = Admission::new(limits, residents.len());
        for (reactor, count) in residents.iter().enumerate() {
            (0..*count).for_each(|_| open(&mut admission, reactor, ip(1)));
        }
        let mut parts = vec![0; residents.len()];
        for _ in 0..count {
            let reactor = admission.replaces_the_idlest(|index| Some(idle[index])).unwrap();
            admission.opened(reactor, ip(2), true);
            parts[reactor] += 1;
        }
        parts
    }

    #[test]
    fn many_new_connections_at_once_evict_evenly_from_the_idlest_reactors() {
        let idle = |silence| Idle { silence, is_stalled: false };
        let parts_of = |silences: [u64; 3]| parts(30, &[30; 3], &silences.map(idle));
        assert_eq!(parts_of([700; 3]), [10; 3], "equal parts");
        assert_eq!(parts_of([0; 3]), [10; 3], "equal parts without silence");
        assert_eq!(parts_of([3_600_000, 9, 9]), [30, 0, 0]);
        assert_eq!(parts_of([0, 1_000, 500]), [0, 20, 10]);
        assert_eq!(parts(12, &[30, 10], &[idle(50), idle(50)]), [9, 3]);
    }

    #[test]
    fn a_stalled_reactor_gets_connections_only_if_no_other_can_take_one() {
        let idle = |silence, is_stalled| Idle { silence, is_stalled };
        let one = [idle(9, false), idle(3_600_000, true), idle(8, false)];
        assert_eq!(parts(25, &[10; 3], &one), [10, 5, 10]);
        let all = [idle(9, true), idle(3_600_000, true), idle(8, true)];
        assert_eq!(parts(9, &[10; 3], &all), [0, 9, 0]);

        let limits = Limits { connections: 100, ..LIMITS };
        let mut admission = Admission::new(limits, 3);
        for _ in 0..12 {
            let reactor = admission.choose(|index| index == 1);
            open(&mut admission, reactor, ip(1));
        }
        let open: Vec<_> = admission.shares.iter().map(|share| share.open).collect();
        assert_eq!(open, [6, 0, 6]);
        assert!(admission.choose(|_| true) < 3);
    }

    #[test]
    fn a_connection_on_its_way_is_counted_by_the_next_limits_too() {
        let limits = Limits { connections: 100, ..LIMITS };
        let mut admission = Admission::new(limits, 2);
        admission.opened(1, ip(1), false);
        let stricter = Limits { per_ip: Some(1), ..limits };
        admission.prepare(0, stricter, std::iter::empty());
        assert_eq!(
            admission.judge(ip(1), Instant::now()),
            Verdict::Admit,
            "not all reactors have counted"
        );
        admission.prepare(1, stricter, std::iter::empty());
        assert_eq!(admission.judge(ip(1), Instant::now()), Verdict::Refuse(Refusal::PerIp));
        admission.closed(1, ip(1));
        assert_eq!(admission.judge(ip(1), Instant::now()), Verdict::Admit);
    }

    #[test]
    fn an_addresss_share_is_counted_over_all_reactors() {
        let limits = Limits { connections: 100, per_ip: Some(2), ..LIMITS };
        let mut admission = Admission::new(limits, 2);
        let now = Instant::now();
        open(&mut admission, 0, ip(1));
        open(&mut admission, 1, ip(1));
        assert_eq!(admission.judge(ip(1), now), Verdict::Refuse(Refusal::PerIp));
        admission.closed(1, ip(1));
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
    }

    #[test]
    fn a_connection_is_evicted_only_if_the_limit_is_reached() {
        let mut admission = Admission::new(Limits { when_full: WhenFull::Evict, ..LIMITS }, 1);
        open(&mut admission, 0, ip(1));
        assert_eq!(admission.judge(ip(3), Instant::now()), Verdict::Admit);
        open(&mut admission, 0, ip(2));
        assert_eq!(admission.judge(ip(3), Instant::now()), Verdict::AdmitInsteadOfIdlest);
    }

    #[test]
    fn an_address_at_its_limit_leaves_room_and_tokens_to_others() {
        let limits = Limits { per_ip: Some(1), rate: Some((1, 1)), ..LIMITS };
        let mut admission = Admission::new(limits, 1);
        let now = Instant::now();
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
        open(&mut admission, 0, ip(1));
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(admission.judge(ip(1), later), Verdict::Refuse(Refusal::PerIp));
        assert_eq!(admission.judge(ip(2), later), Verdict::Admit);
        assert_eq!(admission.judge(ip(3), later), Verdict::Refuse(Refusal::Rate));
    }

    #[test]
    fn with_no_connection_to_evict_a_new_one_is_refused() {
        let limits = Limits { connections: 0, when_full: WhenFull::Evict, ..LIMITS };
        let verdict = Admission::new(limits, 1).judge(ip(1), Instant::now());
        assert_eq!(verdict, Verdict::Refuse(Refusal::Full));
    }
}
