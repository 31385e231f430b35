//! A TCP proxy: each client gets its own connection to the server. The proxy passes the bytes of each side on to the
//! other side, no faster than that side reads.
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

/// One handler for both sides: the state of a connection is the id of the connection on the other side.
pub(crate) struct Proxy {
    server: Vec<SocketAddr>,
    /// The clients whose connections to the server are being opened, by the ids of these connections.
    clients: HashMap<ConnId, ConnId>,
}

impl Proxy {
    /// Connects each client to the first of these addresses that accepts a connection.
    pub(crate) fn new(server: Vec<SocketAddr>) -> Self {
        Self { server, clients: HashMap::new() }
    }
}

impl Handler for Proxy {
    type State = ConnId;

    fn on_open(&mut self, conn: &mut Conn) -> Result<ConnId> {
        if conn.is_outbound() {
            let client =
                self.clients.remove(&conn.id()).ok_or("no client belongs to this connection")?;
            conn.read_above_high_water(true);
            match conn.reactor().get(client) {
                Some(mut client) => client.resume(),
                None => conn.abort(), // the client has disconnected meanwhile
            }
            return Ok(client);
        }
        conn.pause(); // until the connection to the server is open
        conn.read_above_high_water(true); // each direction has its own backpressure
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
            conn.abort(); // the input cannot be passed on, so this side must see a reset and not a FIN
            return Ok(());
        };
        other.restart_idle_timeout(); // input from one side restarts the idle timeout of both
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

    /// A half-close passes through: the other direction may still carry many bytes.
    fn on_eof(&mut self, conn: &mut Conn, other: &mut ConnId, _input: &mut Input) -> Result {
        if let Some(mut other) = conn.reactor().get(*other) {
            other.shutdown_write();
        }
        Ok(())
    }

    /// Both sides end together, whether the other one is open or still being opened. A failure on one side becomes a
    /// reset on the other side, never a FIN.
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
        return Err(
            "usage: proxy ADDR ADDR (the address to listen on, and the address of the server)"
                .into(),
        );
    };
    let server = server.to_socket_addrs()?.collect();
    let mut reactor = Reactor::new(Config::new(), Proxy::new(server))?;
    println!("listening on {}", reactor.listen(listen)?);
    reactor.run()?;
    Ok(())
}
