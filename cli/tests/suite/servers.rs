//! Servers to test clients against.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use readyloop::{Handler, from_fn};

use crate::util::DEADLINE;

/// Discards its input.
pub(crate) fn discard() -> impl Handler<State = ()> + Send {
    from_fn(|_, input| _ = input.take())
}

/// A server of one connection that does what the test says.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    thread: JoinHandle<()>,
}

impl Peer {
    pub(crate) fn start(serve: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_nodelay(true).unwrap();
            serve(stream);
        });
        Self { addr, thread }
    }

    pub(crate) fn join(self) {
        self.thread.join().expect("the server's thread does not panic");
    }
}
