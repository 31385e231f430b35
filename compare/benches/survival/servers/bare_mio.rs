use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::common::failure::Failure;
use crate::common::servers::{announce, listener};

const LISTENER: Token = Token(0);

pub(super) fn serve() -> Result<(), Failure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(128);
    let mut listener = TcpListener::from_std(listener()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    announce(listener.local_addr()?)?;

    let mut connections = HashMap::new();
    let mut next = LISTENER.0 + 1;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(poll.registry(), &listener, &mut connections, &mut next);
            } else if let Some(connection) = connections.get_mut(&event.token())
                && connection.serve().is_none_or(|is_done| is_done)
            {
                connections.remove(&event.token());
            }
        }
    }
}

/// Stops at any error, as it cannot know which of them is no more than "no connection waits"; what the
/// next connection brings is a new event.
fn accept(
    registry: &Registry,
    listener: &TcpListener,
    connections: &mut HashMap<Token, Connection>,
    next: &mut usize,
) {
    while let Ok((mut stream, _)) = listener.accept() {
        let token = Token(*next);
        *next += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, token, interest).is_ok() {
            connections.insert(token, Connection { stream, unsent: Vec::new(), finished: false });
        }
    }
}

struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
    finished: bool,
}

impl Connection {
    /// Returns whether all is done, or nothing if the connection is broken.
    fn serve(&mut self) -> Option<bool> {
        self.flush().ok()?;
        self.read().ok()?;
        Some(self.finished && self.unsent.is_empty())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while !self.finished {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.finished = true,
                Ok(count) => self.send(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.unsent.is_empty() { self.write(bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.write(&unsent);
        self.unsent = unsent;
        self.unsent.drain(..sent?);
        Ok(())
    }

    /// Writes until all is sent or the kernel takes no more, and returns how much that was.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
