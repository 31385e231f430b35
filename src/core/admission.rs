//! Who is let in.

use std::net::IpAddr;
use std::time::Instant;

use super::per_ip::PerIp;
use super::recency::Recency;
use super::token_bucket::TokenBucket;

/// The limits on newcomers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) per_ip: Option<u32>,
    pub(crate) ipv6_prefix: u8,
    /// A second, and at once.
    pub(crate) rate: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Refuse,
    Evict,
}

/// What becomes of a connection that was just accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admit,
    /// It is let in, and the one in this slot has to go for it.
    AdmitInsteadOf(u32),
    Refuse(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    PerIp,
    Rate,
}

/// Judges newcomers, and keeps what it needs for that of those who are in.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    /// Kept only if there is a limit for an address.
    per_ip: Option<PerIp>,
    /// Kept only if the idlest may have to go.
    recency: Option<Recency>,
    bucket: Option<TokenBucket>,
    open: usize,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            per_ip: limits.per_ip.map(|_| PerIp::new(limits.ipv6_prefix)),
            recency: (limits.when_full == WhenFull::Evict).then(Recency::new),
            bucket: limits.rate.map(|(per_second, burst)| TokenBucket::new(per_second, burst)),
            open: 0,
        }
    }

    /// Judges by other limits, as if nobody were here yet. Tokens are only new if the rate is.
    pub(crate) fn start_anew(&mut self, limits: Limits) {
        let former = std::mem::replace(self, Self::new(limits));
        if former.limits.rate == limits.rate {
            self.bucket = former.bucket;
        }
    }

    /// Whether newcomers have to stay in the kernel's queue for now.
    pub(crate) fn keeps_waiting(&self) -> bool {
        self.limits.when_full == WhenFull::Wait && self.is_full()
    }

    fn is_full(&self) -> bool {
        self.open >= self.limits.connections
    }

    /// Judges one. A token is taken only for one that nothing else speaks against.
    pub(crate) fn judge(&mut self, ip: IpAddr, now: Instant) -> Verdict {
        let idlest = self.recency.as_ref().and_then(Recency::idlest);
        if self.is_full() && idlest.is_none() {
            return Verdict::Refuse(Refusal::Full);
        }
        if let (Some(per_ip), Some(limit)) = (&self.per_ip, self.limits.per_ip)
            && per_ip.count(ip) >= limit
        {
            return Verdict::Refuse(Refusal::PerIp);
        }
        if self.bucket.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            return Verdict::Refuse(Refusal::Rate);
        }
        match idlest {
            Some(slot) if self.is_full() => Verdict::AdmitInsteadOf(slot),
            _ => Verdict::Admit,
        }
    }

    pub(crate) fn opened(&mut self, slot: u32, ip: IpAddr) {
        self.open += 1;
        if let Some(per_ip) = &mut self.per_ip {
            per_ip.add(ip);
        }
        self.heard_of(slot);
    }

    pub(crate) fn closed(&mut self, slot: u32, ip: IpAddr) {
        self.open -= 1;
        if let Some(per_ip) = &mut self.per_ip {
            per_ip.remove(ip);
        }
        if let Some(recency) = &mut self.recency {
            recency.forget(slot);
        }
    }

    /// Bytes have come from the one in this slot.
    pub(crate) fn heard_of(&mut self, slot: u32) {
        if let Some(recency) = &mut self.recency {
            recency.touch(slot);
        }
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

    #[test]
    fn the_cap_is_exact_and_room_is_used_again() {
        let mut admission = Admission::new(LIMITS);
        let now = Instant::now();
        for slot in 0..2 {
            assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
            admission.opened(slot, ip(1));
        }
        assert_eq!(admission.judge(ip(1), now), Verdict::Refuse(Refusal::Full));
        admission.closed(0, ip(1));
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
    }

    #[test]
    fn other_limits_bring_no_new_tokens() {
        let limits = Limits { connections: 10, rate: Some((1, 1)), ..LIMITS };
        let mut admission = Admission::new(limits);
        let now = Instant::now();
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
        admission.start_anew(Limits { connections: 11, ..limits });
        assert_eq!(admission.judge(ip(1), now), Verdict::Refuse(Refusal::Rate));
        admission.start_anew(Limits { rate: None, ..limits });
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
    }

    #[test]
    fn who_waits_is_not_judged() {
        let mut admission = Admission::new(Limits { when_full: WhenFull::Wait, ..LIMITS });
        for slot in 0..2 {
            assert!(!admission.keeps_waiting());
            admission.opened(slot, ip(1));
        }
        assert!(admission.keeps_waiting());
        admission.closed(1, ip(1));
        assert!(!admission.keeps_waiting());
    }

    #[test]
    fn the_one_who_was_silent_longest_goes() {
        let mut admission = Admission::new(Limits { when_full: WhenFull::Evict, ..LIMITS });
        admission.opened(0, ip(1));
        admission.opened(1, ip(2));
        admission.heard_of(0);
        assert_eq!(admission.judge(ip(3), Instant::now()), Verdict::AdmitInsteadOf(1));
    }

    #[test]
    fn an_address_at_its_limit_leaves_room_and_tokens_to_others() {
        let limits = Limits { per_ip: Some(1), rate: Some((1, 1)), ..LIMITS };
        let mut admission = Admission::new(limits);
        let now = Instant::now();
        assert_eq!(admission.judge(ip(1), now), Verdict::Admit);
        admission.opened(0, ip(1));
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(admission.judge(ip(1), later), Verdict::Refuse(Refusal::PerIp));
        assert_eq!(admission.judge(ip(2), later), Verdict::Admit);
        assert_eq!(admission.judge(ip(3), later), Verdict::Refuse(Refusal::Rate));
    }

    #[test]
    fn with_nobody_to_evict_a_newcomer_is_refused() {
        let limits = Limits { connections: 0, when_full: WhenFull::Evict, ..LIMITS };
        let verdict = Admission::new(limits).judge(ip(1), Instant::now());
        assert_eq!(verdict, Verdict::Refuse(Refusal::Full));
    }
}
