//! A client that blocks, for tests and scripts.

mod confirm;
mod deadline;
mod open;

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::core::kept::Kept;
use deadline::{Deadline, is_retried};

/// How much is read at once.
const CHUNK: usize = 32 * 1024;

/// [`Client::set_limit`] until it is set.
const LIMIT: usize = 16 * 1024 * 1024;

/// A connection to a server for tests and scripts, on which each call waits until it is done.
///
/// It is no part of a reactor, and must not be used inside of a callback, where it would hold up everybody;
/// there [`Context::connect`](crate::Context::connect) opens connections. It runs on the thread that calls it,
/// over `std::net`.
///
/// What has been received and was not asked for stays for the next call. No call takes longer than the
/// time-out, and one that fails loses nothing of what has come: the next call begins with it.
///
/// One call does one thing. While this sends, it does not receive: a server that sends back what it gets, and
/// stops reading when that is not taken (as [`Echo`](crate::services::Echo) does), stands still together with
/// this client when one [`send`](Self::send) is larger than what the buffers between them hold; it ends by the
/// time-out. For large amounts in both directions at once take the socket ([`into_parts`](Self::into_parts))
/// and two threads.
///
/// # Errors
/// All errors are [`io::Error`]s that say what was tried and how far it came. Their kinds:
///
/// - `TimedOut`: the time-out ran out.
/// - `UnexpectedEof`: the server has finished before what was asked for was complete.
/// - `ConnectionReset`: the server, or the network, has ended the connection with a RST.
/// - `BrokenPipe`: nothing can be sent any more, as one side has closed.
/// - `InvalidData`: more came than the [limit](Self::set_limit) allows.
/// - `InvalidInput`: an empty delimiter.
/// - Others as the system tells them, such as `ConnectionRefused`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use readyloop::{Client, Config, Reactor, services::Echo};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let addr = reactor.listen("127.0.0.1:0")?;
/// let handle = reactor.handle();
/// let server = std::thread::spawn(move || reactor.run());
///
/// let mut client = Client::connect(addr, Duration::from_secs(10))?;
/// for number in 1..=3 {
///     let message = format!("Hello, server {number}");
///     assert_eq!(client.request(message.as_bytes(), b"\n")?, message.as_bytes());
/// }
/// client.close()?;
///
/// handle.stop();
/// server.join().expect("the server does not panic")?;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    kept: Kept,
    timeout: Option<Duration>,
    limit: usize,
    /// What has ended the connection. The system tells it once, and an orderly end from then on.
    failure: Option<ErrorKind>,
    is_shut_down: bool,
}

impl Client {
    /// Connects to the first of these addresses that answers. Each has an equal share of what is left of
    /// `timeout`. It is also the time-out of what follows, until [`set_timeout`](Self::set_timeout) says
    /// otherwise.
    ///
    /// The time that the resolver takes for a name is not counted. Small messages are sent at once
    /// (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of the resolver; `InvalidInput` if it gave no address; and of connecting the last one's kind, with
    /// a text that names all addresses and what each has said.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use readyloop::Client;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?; // nobody listens there any more
    /// let error = Client::connect(addr, Duration::from_secs(10)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    /// assert!(error.to_string().starts_with(&format!("cannot connect to {addr}: ")), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(addrs: impl ToSocketAddrs, timeout: Duration) -> io::Result<Self> {
        let addrs: Vec<_> = addrs
            .to_socket_addrs()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("the name has no address: {error}"))
            })?
            .collect();
        let (stream, peer) = open::first_of(&addrs, &Deadline::new(Some(timeout)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            peer,
            kept: Kept::default(),
            timeout: Some(timeout),
            limit: LIMIT,
            failure: None,
            is_shut_down: false,
        })
    }

    /// How long each call may take from now on, as a whole, however many pieces the bytes come in; `None` is
    /// for ever. With a time of 0 a call takes what is there already.
    ///
    /// # Examples
    /// ```
    /// # use std::io::ErrorKind;
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.set_timeout(Some(Duration::from_millis(10)));
    /// assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// How many bytes [`receive_until`](Self::receive_until) may look through, and
    /// [`receive_to_end`](Self::receive_to_end) may return: 16 MiB until this is said.
    ///
    /// # Examples
    /// ```
    /// # use std::io::ErrorKind;
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.set_limit(5);
    /// assert_eq!(client.request(b"12345", b"\n")?, b"12345");
    /// assert_eq!(client.request(b"123456", b"\n").unwrap_err().kind(), ErrorKind::InvalidData);
    /// assert_eq!(client.receive_exact(7)?, b"123456\n"); // nothing is lost by that
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Sends all of these bytes: returns when the kernel has them.
    ///
    /// # Errors
    /// As [above](Self#errors). How many bytes went out stands in the text; the server may have got some of
    /// them.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.send(b"a message ")?;
    /// client.send(b"in two pieces")?;
    /// assert_eq!(client.receive_exact(23)?, b"a message in two pieces");
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_within(bytes, &mut Deadline::new(self.timeout))
    }

    /// Receives what has come, and waits for something if nothing has. Empty when the server has finished.
    ///
    /// # Errors
    /// As [above](Self#errors).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.send(b"hello")?;
    /// client.shutdown_write()?;
    /// let mut echoed = Vec::new();
    /// loop {
    ///     let bytes = client.receive()?;
    ///     if bytes.is_empty() {
    ///         break;
    ///     }
    ///     echoed.extend(bytes); // in as many pieces as they come in
    /// }
    /// assert_eq!(echoed, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut deadline = Deadline::new(self.timeout);
        if self.kept.is_empty() {
            self.read_more(&mut deadline)
                .map_err(|error| deadline.explain(&error, "before anything came"))?;
        }
        Ok(self.take(self.kept.len()))
    }

    /// Receives so many bytes.
    ///
    /// # Errors
    /// As [above](Self#errors).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.send(b"Hello, server")?;
    /// assert_eq!(client.receive_exact(5)?, b"Hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut deadline = Deadline::new(self.timeout);
        while self.kept.len() < count {
            self.must_read_more(&mut deadline).map_err(|error| {
                let so_far = format!("after {} of {count} bytes", self.kept.len());
                deadline.explain(&error, &so_far)
            })?;
        }
        Ok(self.take(count))
    }

    /// Receives the bytes before the first `delimiter`, and the delimiter itself, which is not part of what
    /// is returned.
    ///
    /// # Errors
    /// As [above](Self#errors); `InvalidData` if more than the [limit](Self::set_limit) stands before the
    /// delimiter.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.send(b"one\r\ntwo\r\n")?;
    /// assert_eq!(client.receive_until(b"\r\n")?, b"one");
    /// assert_eq!(client.receive_until(b"\r\n")?, b"two");
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive_until(&mut self, delimiter: &[u8]) -> io::Result<Vec<u8>> {
        self.receive_until_within(delimiter, &mut Deadline::new(self.timeout))
    }

    /// Receives everything until the server finishes. Empty if it has finished before.
    ///
    /// # Errors
    /// As [above](Self#errors); `InvalidData` if it is more than the [limit](Self::set_limit).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// client.send(b"that is all")?;
    /// client.shutdown_write()?;
    /// assert_eq!(client.receive_to_end()?, b"that is all");
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut deadline = Deadline::new(self.timeout);
        loop {
            if self.kept.len() > self.limit {
                let text = format!("more than {} bytes came, which is the limit", self.limit);
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            let is_more = self.read_more(&mut deadline).map_err(|error| {
                let so_far = format!("after {} bytes, before the end", self.kept.len());
                deadline.explain(&error, &so_far)
            })?;
            if !is_more {
                return Ok(self.take(self.kept.len()));
            }
        }
    }

    /// Sends a message and a delimiter behind it, and receives the answer before the next delimiter: a line
    /// for a line, if that is `b"\n"`. Both together have the time of one call.
    ///
    /// After `TimedOut` the answer may still come, and the next request would take it for its own: drop the
    /// client then, or receive the late answer first.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive_until`](Self::receive_until).
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let mut client = Client::connect(addr, Duration::from_secs(10))?;
    /// assert_eq!(client.request(b"Hello, server", b"\n")?, b"Hello, server");
    /// # Ok(())
    /// # }
    /// ```
    pub fn request(&mut self, message: &[u8], delimiter: &[u8]) -> io::Result<Vec<u8>> {
        let mut deadline = Deadline::new(self.timeout);
        self.send_within(&[message, delimiter].concat(), &mut deadline)?;
        self.receive_until_within(delimiter, &mut deadline)
    }

    /// Tells the server that nothing more will be sent (a half-close: FIN). What it sends can still be
    /// received. To do so again does nothing.
    ///
    /// # Errors
    /// `ConnectionReset` if the connection has ended that way.
    ///
    /// # Examples
    /// See [`receive_to_end`](Self::receive_to_end).
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        if self.is_shut_down {
            return Ok(());
        }
        self.stream.shutdown(Shutdown::Write).map_err(|error| match error.kind() {
            // There was a connection, so it has been reset.
            ErrorKind::NotConnected => {
                let kind = *self.failure.get_or_insert(ErrorKind::ConnectionReset);
                io::Error::new(kind, "the connection was reset before it could be finished")
            }
            kind => io::Error::new(kind, format!("the connection cannot be finished: {error}")),
        })?;
        self.is_shut_down = true;
        Ok(())
    }

    /// Closes in order: finishes sending and waits until the server has finished too, and its system has taken all
    /// that was sent. What it still sends is thrown away.
    ///
    /// Dropping a `Client` closes at once. If the server was still to be heard then, it sees a reset, and may
    /// not get what was sent last.
    ///
    /// # Errors
    /// `TimedOut` if that does not come within the time-out, `ConnectionReset` if the server resets the connection
    /// instead. It also does so if it has closed before it got all that was sent. It is closed all the same.
    ///
    /// # Examples
    /// See [above](Self#examples).
    pub fn close(mut self) -> io::Result<()> {
        let mut deadline = Deadline::new(self.timeout);
        self.shutdown_write()?;
        loop {
            self.kept = Kept::default();
            let is_more = self
                .read_more(&mut deadline)
                .map_err(|error| deadline.explain(&error, "before the server had finished"))?;
            if !is_more {
                break;
            }
        }
        confirm::wait_for_peer(self.stream, &mut deadline).map_err(|error| {
            deadline.explain(&error, "before the server had taken all that was sent")
        })
    }

    /// The socket, on which every call waits for ever, and what was received and not asked for: for what this
    /// client cannot do.
    ///
    /// # Errors
    /// What the system says if it refuses to wait for ever.
    ///
    /// # Examples
    /// A large amount in both directions at once:
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::Shutdown;
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let client = Client::connect(addr, Duration::from_secs(10))?;
    /// let (mut stream, mut received) = client.into_parts()?;
    /// let mut sender = stream.try_clone()?;
    /// let sending = std::thread::spawn(move || {
    ///     sender.write_all(&vec![7; 10_000_000])?;
    ///     sender.shutdown(Shutdown::Write)
    /// });
    /// stream.read_to_end(&mut received)?;
    /// sending.join().expect("it does not panic")?;
    /// assert_eq!(received, vec![7; 10_000_000]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_parts(self) -> io::Result<(TcpStream, Vec<u8>)> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        Ok((self.stream, self.kept.bytes().to_vec()))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says, which can tell it as long as the socket is open.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use readyloop::{Client, Config, Reactor, services::Echo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// # let addr = reactor.listen("127.0.0.1:0")?;
    /// # std::thread::spawn(move || reactor.run());
    /// let client = Client::connect(addr, Duration::from_secs(10))?;
    /// assert!(client.local_addr()?.ip().is_loopback());
    /// assert_eq!(client.peer_addr(), addr);
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The address of the server: the one of several that has answered.
    ///
    /// # Examples
    /// See [`local_addr`](Self::local_addr).
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn send_within(&mut self, bytes: &[u8], deadline: &mut Deadline) -> io::Result<()> {
        if self.is_shut_down {
            let text = "nothing can be sent after shutdown_write, which has told the server so";
            return Err(io::Error::new(ErrorKind::BrokenPipe, text));
        }
        let mut sent = 0;
        while sent < bytes.len() {
            sent += self.write_some(&bytes[sent..], deadline).map_err(|error| {
                let so_far = format!("after {sent} of {} bytes were sent", bytes.len());
                deadline.explain(&error, &so_far)
            })?;
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8], deadline: &mut Deadline) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(deadline.next_wait()?)?;
            match self.stream.write(bytes) {
                Err(error) if is_retried(&error) => {}
                result => return self.remember(result),
            }
        }
    }

    fn receive_until_within(
        &mut self,
        delimiter: &[u8],
        deadline: &mut Deadline,
    ) -> io::Result<Vec<u8>> {
        if delimiter.is_empty() {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a delimiter has at least one byte",
            ));
        }
        loop {
            let mut search = self.kept.take_search();
            let found = search.find(self.kept.bytes(), delimiter);
            self.kept.put_search(search);
            // If it is not there, it begins at the earliest where the rest is too short for it.
            let too_short = (self.kept.len() + 1).saturating_sub(delimiter.len());
            if found.unwrap_or(too_short) > self.limit {
                let text = format!(
                    "no {} stands in the first {} bytes, which is the limit",
                    quoted(delimiter),
                    self.limit
                );
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            if let Some(at) = found {
                let mut message = self.take(at + delimiter.len());
                message.truncate(at);
                return Ok(message);
            }
            self.must_read_more(deadline).map_err(|error| {
                let so_far =
                    format!("after {} bytes without {}", self.kept.len(), quoted(delimiter));
                deadline.explain(&error, &so_far)
            })?;
        }
    }

    fn must_read_more(&mut self, deadline: &mut Deadline) -> io::Result<()> {
        let is_more = self.read_more(deadline)?;
        if is_more { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Adds to what is kept. Returns false when the server has finished.
    fn read_more(&mut self, deadline: &mut Deadline) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        loop {
            self.stream.set_read_timeout(deadline.next_wait()?)?;
            match self.stream.read(&mut chunk) {
                Err(error) if is_retried(&error) => {}
                Ok(0) => return self.failure.map_or(Ok(false), |kind| Err(kind.into())),
                result => {
                    let count = self.remember(result)?;
                    self.kept.append(&chunk[..count]);
                    return Ok(true);
                }
            }
        }
    }

    fn remember<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            // The server may have sent all it had and a FIN before it took no more: then this end is in order.
            if error.kind() != ErrorKind::BrokenPipe {
                self.failure.get_or_insert_with(|| error.kind());
            }
        })
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.kept.bytes()[..count].to_vec();
        let mut search = self.kept.take_search();
        search.advance(count);
        self.kept.consume(count);
        self.kept.put_search(search);
        taken
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer)
            .field("kept", &self.kept.len())
            .finish_non_exhaustive()
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
