//! The kernel's network, through mio.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{self, Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{ConnectOptions, Event, ListenerConfig, Net, Token, Wake, sealed, transfer};
use crate::step_error::StepError;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("readyloop needs a 64-bit target: an event's token holds a slot and its tag");

/// How many events one `epoll_wait` can return. Further events are returned by the next one.
const EVENTS: usize = 1024;

/// The token of the waker. Its event only ends the wait, and is not passed on.
const WAKER: mio::Token = mio::Token(usize::MAX);

/// Slot numbers from here on denote listeners. No table has so many connections.
const FIRST_LISTENER: u32 = u32::MAX - u16::MAX as u32 - 1;

/// The range that Linux accepts for `TCP_KEEPIDLE`: from 1 to `MAX_TCP_KEEPIDLE` seconds (`include/net/tcp.h`). Outside
/// it setsockopt(2) fails with EINVAL.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(32_767);

/// The kernel's sockets and clock, watched by epoll or kqueue.
#[derive(Debug)]
pub struct Os {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
}

impl Os {
    /// # Errors
    /// As epoll_create1(2) and eventfd(2), or kqueue(2).
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, events: Events::with_capacity(EVENTS), waker })
    }

    fn watch_listener(&self, socket: Socket, token: Token) -> Result<TcpListener, StepError> {
        let mut listener = TcpListener::from_std(socket.into());
        let registry = self.poll.registry();
        registry
            .register(&mut listener, pack(token), Interest::READABLE)
            .map_err(at("register"))?;
        Ok(listener)
    }
}

#[cfg(unix)]
impl AsFd for Os {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

impl sealed::Sealed for Os {}

impl sealed::Socket for TcpStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn set_no_delay(&self, no_delay: bool) -> io::Result<()> {
        self.set_nodelay(no_delay)
    }

    fn set_keep_alive(&self, after: Option<Duration>) -> io::Result<()> {
        match after {
            Some(after) => set_keep_alive(&SockRef::from(self), after),
            None => SockRef::from(self).set_keepalive(false),
        }
    }
}

impl Net for Os {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn partial_means_blocked(&self) -> bool {
        cfg!(any(
            target_os = "linux",
            target_os = "android",
            target_os = "macos",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly",
        ))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    /// The soft limit of getrlimit(2). It does not need `/proc`.
    fn descriptor_limit(&self) -> Option<usize> {
        #[cfg(unix)]
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        #[cfg(not(unix))]
        let limit = None::<u64>;
        usize::try_from(limit?).ok()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)
    }

    fn events(&self, mut mark: impl FnMut(Event)) -> bool {
        let mut count = 0;
        for event in &self.events {
            count += 1;
            if event.token() != WAKER {
                mark(translate(event));
            }
        }
        count < EVENTS
    }

    fn listen(
        &mut self,
        addr: SocketAddr,
        config: &ListenerConfig,
        token: Token,
    ) -> Result<(TcpListener, SocketAddr), StepError> {
        let socket = bound_socket(addr, config)?;
        let backlog = i32::try_from(config.backlog).unwrap_or(i32::MAX);
        socket.listen(backlog).map_err(at("listen"))?;
        let listener = self.watch_listener(socket, token)?;
        let addr = listener.local_addr().map_err(at("getsockname"))?;
        Ok((listener, addr))
    }

    fn addr_of_inherited(listener: &net::TcpListener) -> Result<SocketAddr, String> {
        // Other systems do not have this check: there a socket that does not listen fails in `accept`.
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        if !SockRef::from(listener).is_listener().unwrap_or(false) {
            let addr = listener.local_addr().map_or_else(|_| "?".to_owned(), |it| it.to_string());
            return Err(format!(
                "the inherited socket on {addr} does not listen: call listen(2) on it before passing it on"
            ));
        }
        listener.local_addr().map_err(|error| {
            format!("the inherited socket is not a TCP socket: getsockname failed: {error}")
        })
    }

    fn adopt(
        &mut self,
        listener: net::TcpListener,
        config: &ListenerConfig,
        token: Token,
    ) -> Result<TcpListener, StepError> {
        let socket = Socket::from(listener);
        #[cfg(unix)]
        socket.set_cloexec(true).map_err(at("fcntl"))?;
        socket.set_nonblocking(true).map_err(at("fcntl"))?;
        set_stream_options(&socket, config.no_delay, config.keep_alive)
            .map_err(at("setsockopt"))?;
        self.watch_listener(socket, token)
    }

    fn accept(&mut self, listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept()
    }

    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for non-blocking
    /// 2. `setsockopt`: `TCP_NODELAY`
    /// 3. `bind`, if a source is given
    /// 4. `connect`
    fn connect(
        &mut self,
        addr: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<TcpStream, StepError> {
        let socket = new_socket(addr)?;
        set_stream_options(&socket, true, None).map_err(at("setsockopt"))?;
        if let Some(source) = options.source {
            socket.bind(&source.into()).map_err(at("bind"))?;
        }
        match socket.connect(&addr.into()) {
            Err(error) if !is_under_way(&error) => Err(at("connect")(error)),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }

    fn is_connected(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            // If no socket listens on a local port, the system may assign that port to the connecting socket itself.
            // TCP then connects the socket to itself (RFC 9293, 3.5, simultaneous open).
            Ok(peer) if stream.local_addr()? == peer => Err(ErrorKind::ConnectionRefused.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn register(&mut self, stream: &mut TcpStream, token: Token) -> io::Result<()> {
        self.poll.registry().register(stream, pack(token), interest())
    }

    fn read(&mut self, stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
        transfer::read(stream, into)
    }

    fn write(&mut self, stream: &mut TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        transfer::write(stream, slices)
    }

    fn take_error(&mut self, stream: &mut TcpStream) -> io::Result<Option<io::Error>> {
        stream.take_error()
    }

    fn shutdown_write(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }

    fn close(&mut self, stream: TcpStream) {
        // close(2) also removes the descriptor from epoll: one system call, not two.
        drop(stream);
    }

    fn reset(&mut self, stream: TcpStream) {
        // A linger time of zero makes close(2) send a RST (RFC 1122, 4.2.2.13, and socket(7)). If setting it fails,
        // the socket is dead already.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        drop(stream);
    }
}

impl Wake for Waker {
    fn wake(&self) -> io::Result<()> {
        Self::wake(self)
    }
}

/// Both directions are registered at once. With edge triggering no later `epoll_ctl` is needed, and pausing is only a
/// flag. Urgent data is watched too, because recv(2) stops at its mark: a short read before the mark looks like an
/// empty socket.
fn interest() -> Interest {
    let both = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let both = both | Interest::PRIORITY;
    both
}

fn translate(event: &mio::event::Event) -> Event {
    let hung_up = event.is_error() || event.is_write_closed();
    let more_follows = hung_up || event.is_read_closed() || event.is_priority();
    Event {
        token: unpack(event.token()),
        readable: event.is_readable() || more_follows,
        writable: event.is_writable() || hung_up,
        more_follows,
        hung_up,
    }
}

/// A socket with its options and its address, which does not listen yet:
///
/// 1. `socket`, with `SOCK_CLOEXEC`
/// 2. `fcntl` for non-blocking
/// 3. `setsockopt`: `IPV6_V6ONLY`, `SO_REUSEADDR`, `TCP_NODELAY`, and on request `SO_REUSEPORT`, `SO_KEEPALIVE` and
///    `TCP_KEEPIDLE`
/// 4. `bind`
fn bound_socket(addr: SocketAddr, config: &ListenerConfig) -> Result<Socket, StepError> {
    let socket = new_socket(addr)?;
    set_options(&socket, addr, config).map_err(at("setsockopt"))?;
    socket.bind(&addr.into()).map_err(at("bind"))?;
    Ok(socket)
}

fn set_options(socket: &Socket, addr: SocketAddr, config: &ListenerConfig) -> io::Result<()> {
    if addr.is_ipv6() {
        // Set in both cases, because the system's default can be changed (net.ipv6.bindv6only).
        socket.set_only_v6(config.only_v6)?;
    }
    // On Windows SO_REUSEADDR would let another program take over the port.
    #[cfg(unix)]
    // A killed server can restart at once, although connections are in TIME_WAIT (socket(7)).
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    set_stream_options(socket, config.no_delay, config.keep_alive)
}

fn set_stream_options(
    socket: &Socket,
    no_delay: bool,
    keep_alive: Option<Duration>,
) -> io::Result<()> {
    socket.set_tcp_nodelay(no_delay)?;
    keep_alive.map_or(Ok(()), |after| set_keep_alive(socket, after))
}

fn set_keep_alive(socket: &Socket, after: Duration) -> io::Result<()> {
    let after = after.clamp(SHORTEST_KEEP_ALIVE, LONGEST_KEEP_ALIVE);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after))
}

fn new_socket(addr: SocketAddr) -> Result<Socket, StepError> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
        .map_err(at("socket"))?;
    socket.set_nonblocking(true).map_err(at("fcntl"))?;
    Ok(socket)
}

/// Whether connect(2) continues in the background. A signal does not end it either. On Unix EAGAIN is a failure
/// (connect(2): "insufficient entries in the routing cache").
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let goes_on = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS);
    #[cfg(not(unix))]
    let goes_on = error.kind() == ErrorKind::WouldBlock;
    goes_on || error.kind() == ErrorKind::Interrupted
}

fn at(step: &'static str) -> impl FnOnce(io::Error) -> StepError {
    move |source| StepError { step, source }
}

fn pack(token: Token) -> mio::Token {
    let (slot, tag) = match token {
        Token::Listener(index) => (FIRST_LISTENER + u32::from(index), 0),
        Token::Conn { slot, tag } => (slot, tag),
    };
    mio::Token((tag as usize) << 32 | slot as usize)
}

#[expect(clippy::cast_possible_truncation, reason = "the inverse of pack")]
fn unpack(token: mio::Token) -> Token {
    let (slot, tag) = (token.0 as u32, (token.0 >> 32) as u32);
    match slot.checked_sub(FIRST_LISTENER) {
        Some(index) => Token::Listener(index as u16),
        None => Token::Conn { slot, tag },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_given() {
        let tokens = [
            Token::Listener(0),
            Token::Listener(u16::MAX),
            Token::Conn { slot: 0, tag: 0 },
            Token::Conn { slot: FIRST_LISTENER - 1, tag: u32::MAX },
        ];
        for token in tokens {
            assert_eq!(unpack(pack(token)), token);
            assert_ne!(pack(token), WAKER);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_of_descriptors_is_known() {
        let limit = Os::new().unwrap().descriptor_limit().expect("this process has a limit");
        assert!(limit >= 64, "{limit}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn accepted_sockets_inherit_no_delay_and_keep_alive() {
        let mut os = Os::new().unwrap();
        let config = ListenerConfig {
            keep_alive: Some(Duration::from_secs(77)),
            ..ListenerConfig::default()
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut listener, addr) = os.listen(any_port, &config, Token::Listener(0)).unwrap();
        let _client = std::net::TcpStream::connect(addr).unwrap();
        os.poll(None).unwrap();
        let (accepted, _) = os.accept(&mut listener).unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn keep_alive_times_that_linux_refuses_are_brought_into_its_range() {
        let os = &mut Os::new().unwrap();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        for (asked, set) in [
            (Duration::ZERO, SHORTEST_KEEP_ALIVE),
            (Duration::from_secs(32_767), LONGEST_KEEP_ALIVE),
            (Duration::from_secs(32_768), LONGEST_KEEP_ALIVE),
            (Duration::MAX, LONGEST_KEEP_ALIVE),
        ] {
            let config = ListenerConfig { keep_alive: Some(asked), ..ListenerConfig::default() };
            let (listener, _) = os.listen(any_port, &config, Token::Listener(0)).unwrap();
            assert_eq!(SockRef::from(&listener).tcp_keepalive_time().unwrap(), set, "{asked:?}");
        }
    }
}
