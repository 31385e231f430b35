//! A handler's view of its whole reactor.

use std::any::type_name;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Config;
use crate::conn::Conn;
use crate::conn_info::ConnInfo;
use crate::id::ConnId;
use crate::net::ConnectOptions;
use crate::stats::Stats;
use crate::table::Owner;
use crate::timer_key::TimerKey;
use crate::view::View;

/// A handler's view of its whole reactor: all connections, the reactor's own timers, its end.
///
/// A callback of a connection gets it by [`Conn::reactor`]. The callbacks of the reactor, such as
/// [`on_tick`](crate::Handler::on_tick), and closures from [other threads](crate::Handle::post) have it as their
/// argument. A program that makes the reactor's turns itself gets it by
/// [`Reactor::context`](crate::Reactor::context).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use readyloop::{Context, TimerKey};
///
/// const NEWS: TimerKey = TimerKey(0);
///
/// // What a handler's `on_start` and `on_tick` may call.
/// fn tell_the_news_each_minute(reactor: &mut Context) {
///     reactor.broadcast("no news\n");
///     reactor.set_timer(Duration::from_secs(60), NEWS);
/// }
/// ```
pub struct Context<'a> {
    pub(crate) view: View<'a>,
}

impl Conn<'_> {
    /// The reactor of this connection: its other connections, its timers, its end.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn tell_the_others(conn: &mut Conn, news: &str) {
    ///     conn.reactor().broadcast(news.to_owned());
    /// }
    /// ```
    pub fn reactor(&mut self) -> Context<'_> {
        Context { view: self.view.reborrow() }
    }
}

impl Context<'_> {
    /// Returns a connection of this reactor, with the same methods as in its own callbacks. Returns `None` if the
    /// connection has ended, or if the id belongs to another reactor.
    ///
    /// It returns an outbound connection as soon as [`connect`](Self::connect) has returned the id, and a closing one
    /// until its [`on_close`](crate::Handler::on_close). [`Conn::is_writable`] tells whether it can be sent to.
    ///
    /// In a callback of the reactor and in a posted closure, `get` also offers the connection's unread input to the
    /// handler again, because the handler may have waited for this event. In a callback of another connection,
    /// [`Conn::resume`] does so. In a connection's own callback, `get` returns that connection too.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Conn, ConnId};
    ///
    /// fn kick(conn: &mut Conn, id: ConnId) {
    ///     match conn.reactor().get(id) {
    ///         Some(mut other) => other.close(),
    ///         None => conn.send(b"has left already\n"),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn get(&mut self, id: ConnId) -> Option<Conn<'_>> {
        let View { table, current, .. } = &mut self.view;
        let entry = table.get_mut(id).filter(|entry| !entry.phase.is_closed())?;
        // A callback of a connection does not do this. Otherwise two callbacks that call `get` for each other's
        // connection would cause each other without end.
        if current.is_none() {
            entry.offer_again();
            table.list_if_busy(id);
        }
        Some(Conn::new(self.view.reborrow(), id))
    }

    /// Calls a closure with each connection that [can be sent to](Conn::is_writable), in no particular order. The
    /// connection whose callback runs is left out.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Conn, SendError};
    ///
    /// /// Returns how many others were too slow to get the news.
    /// fn tell_the_others(conn: &mut Conn, news: &[u8]) -> usize {
    ///     let mut missed = 0;
    ///     conn.reactor().for_each(|other| {
    ///         missed += usize::from(other.try_send(news) == Err(SendError::Full));
    ///     });
    ///     missed
    /// }
    /// ```
    pub fn for_each(&mut self, mut act: impl FnMut(&mut Conn<'_>)) {
        let ids: Vec<_> = self.ids().collect();
        for id in ids {
            act(&mut Conn::new(self.view.reborrow(), id));
        }
    }

    /// The ids of the connections that [`for_each`](Self::for_each) visits.
    fn ids(&self) -> impl Iterator<Item = ConnId> {
        let View { table, current, .. } = &self.view;
        table.ids().filter(|id| Some(*id) != *current && table.sends(*id))
    }

    /// A snapshot of each connection, including the connection whose callback runs.
    pub(crate) fn infos(&self) -> Vec<ConnInfo> {
        let View { table, .. } = &self.view;
        table.ids().filter_map(|id| Some(self.view.info(id, table.get(id)?))).collect()
    }

    /// Sends the same body to each connection that [`for_each`](Self::for_each) visits, as [`Conn::send_bytes`] does:
    /// they share one allocation. The call takes time in proportion to their number.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Bytes, Context};
    ///
    /// fn tell_all(reactor: &mut Context, news: &[u8]) {
    ///     reactor.broadcast("here is the news:\n"); // static bytes, a Vec, a String: no copy
    ///     reactor.broadcast(Bytes::copy_from_slice(news)); // borrowed bytes: one copy for all
    /// }
    /// ```
    pub fn broadcast(&mut self, body: impl Into<Bytes>) {
        let body = body.into();
        self.for_each(|conn| conn.send_bytes(body.clone()));
    }

    /// Begins to open an outbound connection, and returns the id that it will have. The call never blocks. The
    /// addresses are tried in order until one accepts. `"example.org:80".to_socket_addrs()` resolves a name, which may
    /// block.
    ///
    /// When the callback has returned, exactly one of [`on_open`](crate::Handler::on_open) and
    /// [`on_connect_failed`](crate::Handler::on_connect_failed) follows with this id. After `on_open` the connection is
    /// like any other, but the limits on new connections do not apply to it. Before `on_open`, [`Conn::close`] gives
    /// the attempt up.
    ///
    /// If the reactor is about to stop, or if its drain is at its deadline, nothing is begun and no callback follows.
    ///
    /// An address that cannot be used fails at once, and the next one is tried. Causes are: there is no route to it,
    /// its family is not supported, there is no free local port, or the source address does not belong to this machine.
    /// If the system lacks descriptors or memory, the same address is tried again until the
    /// [timeout](ConnectOptions::timeout).
    ///
    /// On Linux each address that is tried costs
    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for `O_NONBLOCK`
    /// 2. `setsockopt`, for `TCP_NODELAY`
    /// 3. `bind`, if there is a source address
    /// 4. `connect`
    /// 5. `epoll_ctl`
    /// 6. after the answer, `getsockopt` for `SO_ERROR`, `getpeername` and `getsockname`
    ///
    /// # Examples
    /// ```
    /// use std::net::SocketAddr;
    /// use readyloop::{Conn, ConnId, ConnectOptions};
    ///
    /// // What the `on_open` of a proxy may call.
    /// fn dial_upstream(client: &mut Conn, upstream: SocketAddr) -> ConnId {
    ///     client.pause(); // until the other side is open
    ///     client.reactor().connect(&[upstream], &ConnectOptions::new())
    /// }
    /// ```
    pub fn connect(&mut self, addrs: &[SocketAddr], options: &ConnectOptions) -> ConnId {
        self.view.table.dial(addrs.to_vec(), options.clone())
    }

    /// Sets a timer of the reactor itself: [`on_tick`](crate::Handler::on_tick) is called after the given time, with
    /// this key. Otherwise as [`Conn::set_timer`].
    pub fn set_timer(&mut self, after: Duration, key: TimerKey) {
        self.view.table.set_timer(Owner::Reactor, after, key);
    }

    /// Cancels a timer of the reactor. Returns whether it was set.
    pub fn cancel_timer(&mut self, key: TimerKey) -> bool {
        self.view.table.cancel_timer(Owner::Reactor, key)
    }

    /// Calls a closure with the handler and this context, and returns the result of the closure. Closures from [other
    /// threads](crate::Handle::post) use it to reach the handler.
    ///
    /// Returns `None` in a callback, without calling the closure: there the handler is `self`.
    ///
    /// # Panics
    /// If `H` is not the type of the reactor's handler.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Context, Handle, Refusal};
    /// # use readyloop::{Conn, Handler, Input, Result};
    ///
    /// struct Shop { is_open: bool }
    /// # impl Handler for Shop {
    /// #     type State = ();
    /// #     fn on_open(&mut self, _: &mut Conn) -> Result { Ok(()) }
    /// #     fn on_data(&mut self, _: &mut Conn, _: &mut (), _: &mut Input) -> Result { Ok(()) }
    /// # }
    ///
    /// fn close_shop(reactor: &mut Context) {
    ///     reactor.with_handler(|shop: &mut Shop, reactor| {
    ///         shop.is_open = false;
    ///         reactor.broadcast("we are closed\n");
    ///     });
    /// }
    ///
    /// fn close_shop_from_another_thread(handle: &Handle) -> Result<(), Refusal> {
    ///     handle.post(0, close_shop).map_err(|refused| refused.why)
    /// }
    /// ```
    pub fn with_handler<H: 'static, R>(
        &mut self,
        act: impl FnOnce(&mut H, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let View { table, owned, current } = self.view.reborrow();
        let (mut act, mut result) = (Some(act), None);
        owned.with_handler(&mut |handler, owned| {
            let handler = handler.downcast_mut();
            let handler =
                handler.unwrap_or_else(|| panic!("the handler is not a {}", type_name::<H>()));
            let view = View { table, owned, current };
            result = act.take().map(|act| act(handler, &mut Context { view }));
        });
        result
    }

    /// What this reactor has counted so far, this turn included.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.view.table.stats.get()
    }

    /// The settings, as they were set.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.view.table.config()
    }

    /// The settings in force: those of [`config`](Self::config) with the defaults filled in. `max_connections` is the
    /// limit that applies, which the limit of open files may have lowered.
    #[must_use]
    pub fn config_in_force(&self) -> Config {
        let table = &self.view.table;
        table.config().in_force(table.admission().most_connections())
    }

    /// The time of this turn. It costs no system call, and is virtual on a simulated network.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.view.table.clock.now()
    }

    /// Whether this reactor [drains](crate::Handle::drain). Then a handler should open an outbound connection only if
    /// an open connection needs it.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.view.table.is_draining
    }

    /// Stops all reactors of the server, this one at the end of its turn. Then [`run`](crate::Reactor::run) returns.
    /// Connections end at once. To let them finish their work, drain the server: `handle().drain(timeout)`.
    pub fn stop(&mut self) {
        self.view.table.stopping = true;
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("current", &self.view.current).finish_non_exhaustive()
    }
}
