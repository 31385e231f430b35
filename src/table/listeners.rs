//! The listeners that the connections of a table came by, and what holds for each of them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::entry::MOST_LISTENERS;
use crate::config::Config;
use crate::conn_settings::ConnSettings;
use crate::core::deadlines::{Timeouts, millis};
use crate::net::ListenerConfig;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// A listener, as all reactors of a server know it. It outlives its socket for as long as it has connections.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) addr: SocketAddr,
    pub(crate) tag: u64,
    /// What it overrides of the reactor's settings.
    overrides: Config,
    /// How many connections may have come by it.
    most: Option<usize>,
    /// How many have. Only counted if there is a limit. The first reactor alone adds to it, so that the limit is
    /// exact.
    open: AtomicUsize,
    /// It was closed on purpose, and accepts no more connections.
    is_closed: AtomicBool,
}

impl Listener {
    pub(crate) fn new(addr: SocketAddr, config: &ListenerConfig) -> Self {
        Self {
            addr,
            tag: config.tag,
            most: config.overrides.asked_connections(),
            overrides: config.overrides.clone(),
            open: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether its next connections have to wait in the backlog.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.open.load(Ordering::Acquire) >= most)
    }

    /// A connection has come by it.
    #[inline]
    pub(crate) fn enters(&self) {
        if self.most.is_some() {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One of its connections has ended. Returns whether others may have waited for that.
    #[inline]
    pub(crate) fn leaves(&self) -> bool {
        self.most.is_some_and(|most| self.open.fetch_sub(1, Ordering::AcqRel) == most)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// What holds for some of the connections.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) settings: ConnSettings,
    pub(super) timeouts: Timeouts,
}

impl Rules {
    fn new(settings: ConnSettings, quiet: Option<u64>) -> Self {
        Self { timeouts: settings.timeouts(quiet), settings }
    }
}

#[derive(Debug)]
struct Listed {
    listener: Arc<Listener>,
    rules: Rules,
}

/// The listeners that a table knows, by numbers. A number stays with its listener for as long as that listens or
/// has connections here.
#[derive(Debug)]
pub(super) struct Listeners {
    listed: Vec<Option<Listed>>,
    /// For outbound connections.
    outbound: Rules,
    /// The quiet time of accepted connections, once the reactor drains.
    quiet: Option<u64>,
    /// The quiet time of outbound connections, once no accepted one is left in the server that may need them.
    outbound_quiet: Option<u64>,
}

impl Listeners {
    pub(super) fn new(config: &Config) -> Self {
        let outbound = Rules::new(config.conn_settings(), None);
        Self { listed: Vec::new(), outbound, quiet: None, outbound_quiet: None }
    }

    pub(super) fn get(&self, number: u16) -> Option<&Listener> {
        Some(&*self.listed(number)?.listener)
    }

    fn listed(&self, number: u16) -> Option<&Listed> {
        self.listed.get(usize::from(number))?.as_ref()
    }

    pub(super) fn rules(&self, number: Option<u16>) -> &Rules {
        let listed = number.and_then(|number| self.listed(number));
        listed.map_or(&self.outbound, |listed| &listed.rules)
    }

    pub(super) fn find(&self, listener: &Arc<Listener>) -> Option<u16> {
        let is_it = |listed: &Listed| Arc::ptr_eq(&listed.listener, listener);
        let index = self.listed.iter().position(|listed| listed.as_ref().is_some_and(is_it))?;
        u16::try_from(index).ok()
    }

    /// Returns its number, or `None` if all are taken.
    pub(super) fn add(&mut self, listener: Arc<Listener>, config: &Config) -> Option<u16> {
        let free = self.listed.iter().position(Option::is_none);
        let index = free.unwrap_or(self.listed.len());
        if index >= MOST_LISTENERS {
            return None;
        }
        if index == self.listed.len() {
            self.listed.push(None);
        }
        let settings = config.overridden_by(&listener.overrides).conn_settings();
        self.listed[index] = Some(Listed { listener, rules: Rules::new(settings, self.quiet) });
        u16::try_from(index).ok()
    }

    /// Whether some were closed on purpose.
    pub(super) fn has_closed(&self) -> bool {
        self.listed.iter().flatten().any(|listed| listed.listener.is_closed())
    }

    /// Forgets those that were closed on purpose, but for the numbers that are in use.
    pub(super) fn forget_closed(&mut self, in_use: &HashSet<u16>) {
        for (number, listed) in (0..).zip(&mut self.listed) {
            listed.take_if(|listed| listed.listener.is_closed() && !in_use.contains(&number));
        }
    }

    pub(super) fn reconfigure(&mut self, config: &Config) {
        let quiet = millis(config.drain_quiet);
        self.quiet = self.quiet.map(|_| quiet);
        self.outbound_quiet = self.outbound_quiet.map(|_| quiet);
        self.apply(config);
    }

    /// From now on connections without work are closed: outbound connections too, or not yet.
    pub(super) fn close_the_quiet(&mut self, config: &Config, outbound_too: bool) {
        let quiet = Some(millis(config.drain_quiet));
        self.quiet = quiet;
        self.outbound_quiet = quiet.filter(|_| outbound_too);
        self.apply(config);
    }

    fn apply(&mut self, config: &Config) {
        self.outbound = Rules::new(config.conn_settings(), self.outbound_quiet);
        for listed in self.listed.iter_mut().flatten() {
            let config = config.overridden_by(&listed.listener.overrides);
            listed.rules = Rules::new(config.conn_settings(), self.quiet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(overrides: Config) -> Arc<Listener> {
        let addr = SocketAddr::from(([192, 0, 2, 1], 7));
        let config = ListenerConfig { overrides, ..ListenerConfig::default() };
        Arc::new(Listener::new(addr, &config))
    }

    #[test]
    fn the_number_of_a_closed_listener_is_used_again_once_it_has_no_connections() {
        let config = Config::new();
        let mut listeners = Listeners::new(&config);
        let (first, second) = (listener(Config::new()), listener(Config::new()));
        assert_eq!(listeners.add(Arc::clone(&first), &config), Some(0));
        assert_eq!(listeners.add(Arc::clone(&second), &config), Some(1));
        assert!(!listeners.has_closed());
        first.close();
        assert!(listeners.has_closed());
        listeners.forget_closed(&HashSet::from([0]));
        assert_eq!(listeners.find(&first), Some(0), "it still has connections");
        listeners.forget_closed(&HashSet::new());
        assert_eq!((listeners.find(&first), listeners.find(&second)), (None, Some(1)));
        assert_eq!(listeners.add(listener(Config::new()), &config), Some(0));
    }

    #[test]
    fn there_are_no_more_listeners_than_numbers() {
        let config = Config::new();
        let mut listeners = Listeners::new(&config);
        let one = listener(Config::new());
        for number in 0..u16::MAX {
            let listed = Listed {
                listener: Arc::clone(&one),
                rules: Rules::new(config.conn_settings(), None),
            };
            listeners.listed.push(Some(listed));
            assert!(listeners.get(number).is_some());
        }
        assert_eq!(listeners.add(listener(Config::new()), &config), None);
        listeners.listed[7] = None;
        assert_eq!(listeners.add(listener(Config::new()), &config), Some(7));
    }

    #[test]
    fn connections_without_a_listener_have_the_settings_of_the_reactor() {
        let config = Config::new().max_input(5);
        let mut listeners = Listeners::new(&config);
        let number = listeners.add(listener(Config::new().max_input(9)), &config);
        let max_input = |listeners: &Listeners, number| listeners.rules(number).settings.max_input;
        assert_eq!((max_input(&listeners, None), max_input(&listeners, number)), (5, 9));
        listeners.reconfigure(&Config::new().max_input(6));
        assert_eq!((max_input(&listeners, None), max_input(&listeners, number)), (6, 9));
    }

    #[test]
    fn a_limit_counts_arrivals_and_departures_and_tells_when_others_may_have_waited() {
        let limited = listener(Config::new().max_connections(2));
        limited.enters();
        assert!(!limited.is_full());
        limited.enters();
        assert!(limited.is_full());
        assert!(limited.leaves());
        assert!(!limited.is_full());
        let unlimited = listener(Config::new());
        unlimited.enters();
        assert!(!unlimited.is_full() && !unlimited.leaves());
    }
}
