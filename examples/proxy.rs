//! A TCP proxy: each client gets a connection to the server behind it, and what one side sends goes to the
//! other, no faster than that one takes it.
//!
//! ```text
//! cargo run --example proxy -- 127.0.0.1:7100 127.0.0.1:7000
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs};

use readyloop::{
    CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Handler, Input, Reactor, Result,
};

/// One handler for both sides: a connection's state is the id of the one that it is joined to.
pub(crate) struct Proxy {
    server: Vec<SocketAddr>,
    /// Whose connections to the server are being opened.
    clients: HashMap<ConnId, ConnId>,
}

impl Proxy {
    /// Its server is the first of these addresses that takes a connection.
    pub(crate) fn new(server: Vec<SocketAddr>) -> Self {
        Self { server, clients: HashMap::new() }
    }
}

impl Handler for Proxy {
    type State = ConnId;

    fn on_open(&mut self, conn: &mut Conn) -> Result<ConnId> {
        if conn.is_outbound() {
            let client = self.clients.remove(&conn.id()).ok_or("nobody has asked for it")?;
            conn.read_above_high_water(true);
            match conn.reactor().get(client) {
                Some(mut client) => client.resume(),
                None => conn.abort(), // the client has gone meanwhile
            }
            return Ok(client);
        }
        conn.pause(); // until there is somebody to send to
        conn.read_above_high_water(true); // each direction has a pace of its own
        let server = conn.reactor().connect(&self.server, &ConnectOptions::new());
        self.clients.insert(server, conn.id());
        Ok(server)
    }

    fn on_connect_failed(&mut self, reactor: &mut Context, id: ConnId, reason: &CloseReason) {
        if let Some(client) = self.clients.remove(&id) {
            eprintln!("no server for {client}: {reason}");
            if let Some(mut client) = reactor.get(client) {
                client.abort();
            }
        }
    }

    fn on_data(&mut self, conn: &mut Conn, other: &mut ConnId, input: &mut Input) -> Result {
        let mut reactor = conn.reactor();
        let Some(mut other) = reactor.get(*other).filter(Conn::is_writable) else {
            conn.abort(); // what it cannot pass on must not look whole
            return Ok(());
        };
        other.restart_idle_timeout(); // what one side says keeps both
        other.send(input.take());
        if other.is_above_high_water() {
            conn.pause(); // the other's on_low_water resumes this one
        }
        Ok(())
    }

    fn on_low_water(&mut self, conn: &mut Conn, other: &mut ConnId) -> Result {
        if let Some(mut other) = conn.reactor().get(*other) {
            other.resume();
        }
        Ok(())
    }

    /// A half-close goes through: the other direction may have much to say yet.
    fn on_eof(&mut self, conn: &mut Conn, other: &mut ConnId, _input: &mut Input) -> Result {
        if let Some(mut other) = conn.reactor().get(*other) {
            other.shutdown_write();
        }
        Ok(())
    }

    /// The two end together, whether the other is open or still being opened: what fails on one side ends in a
    /// reset on the other, and never looks whole there.
    fn on_close(&mut self, conn: &mut Conn, other: ConnId, reason: &CloseReason) {
        let mut reactor = conn.reactor();
        let Some(mut other) = reactor.get(other) else { return };
        match reason {
            CloseReason::PeerFinished
            | CloseReason::Closed
            | CloseReason::Drained
            | CloseReason::MaxAge { .. } => other.close(),
            _ => other.abort(),
        }
    }
}

#[allow(dead_code, reason = "the tests have the handler alone")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(server)) = (args.next(), args.next()) else {
        return Err("say where to listen, and where the server is: proxy ADDR ADDR".into());
    };
    let server = server.to_socket_addrs()?.collect();
    let mut reactor = Reactor::new(Config::new(), Proxy::new(server))?;
    println!("listening on {}", reactor.listen(listen)?);
    reactor.run()?;
    Ok(())
}
