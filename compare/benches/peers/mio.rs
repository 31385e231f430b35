//! An echo server of bare mio, as an experienced user writes it: connections in a slab, one large buffer for all reads,
//! no read more than readiness asks for.

use std::io::{ErrorKind, Read, Result, Write};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use crate::common::failure::Failure;
use crate::common::servers::announce;

const LISTENER: Token = Token(usize::MAX);

pub(crate) fn serve(listener: std::net::TcpListener) -> std::result::Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    announce(listener.local_addr()?)?;

    let mut connections = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(poll.registry(), &listener, &mut connections);
            } else if connections[event.token().0].serve(event, &mut buffer).is_err() {
                connections.remove(event.token().0);
            }
        }
    }
}

fn accept(registry: &Registry, listener: &TcpListener, connections: &mut Slab<Connection>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let vacant = connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, Token(vacant.key()), interest).is_ok() {
            vacant.insert(Connection { stream, unsent: Vec::new(), hung_up: false });
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Nothing is read while there is something in here.
    unsent: Vec<u8>,
    /// A short read does not mean any more that nothing is there.
    hung_up: bool,
}

impl Connection {
    /// An error is the end, also if it is an orderly one.
    fn serve(&mut self, event: &Event, buffer: &mut [u8]) -> Result<()> {
        self.hung_up |= event.is_read_closed() || event.is_write_closed() || event.is_error();
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        while self.unsent.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.send(&buffer[..count])?;
                    if count < buffer.len() && !self.hung_up {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps what the kernel does not take.
    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }
}
