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
    BoxError, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Direction, Gone, Handler,
    Input, Reactor,
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

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<ConnId, BoxError> {
        if conn.direction() == Direction::Outbound {
            let client = self.clients.remove(&conn.id()).ok_or("nobody has asked for it")?;
            conn.read_above_high_water(true);
            if conn.others().resume(client).is_err() {
                conn.abort(); // the client has gone meanwhile
            }
            return Ok(client);
        }
        conn.pause(); // until there is somebody to send to
        conn.read_above_high_water(true); // each direction has a pace of its own
        let server = conn.others().connect(&self.server, &ConnectOptions::new());
        self.clients.insert(server, conn.id());
        Ok(server)
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        if let Some(client) = self.clients.remove(&id) {
            eprintln!("no server for {client}: {reason}");
            let _ = reactor.abort(client); // it may have gone by itself
        }
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        other: &mut ConnId,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let mut others = conn.others();
        let _ = others.keep_alive(*other); // what one side says keeps both
        let sent = others.send(*other, input.take());
        match sent.and_then(|()| others.is_above_high_water(*other)) {
            Ok(false) => {}
            Ok(true) => conn.pause(), // the other's on_low_water resumes this one
            Err(Gone) => conn.abort(), // what it cannot pass on must not look whole
        }
        Ok(())
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, other: &mut ConnId) -> Result<(), BoxError> {
        let _ = conn.others().resume(*other); // it may have ended: then nothing more comes
        Ok(())
    }

    /// A half-close goes through: the other direction may have much to say yet.
    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        other: &mut ConnId,
        _input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let _ = conn.others().shutdown_write(*other); // it may have ended before
        Ok(())
    }

    /// The two end together, whether the other is open or still being opened: what fails on one side ends in a
    /// reset on the other, and never looks whole there.
    fn on_close(&mut self, conn: &mut Conn<'_>, other: ConnId, reason: &CloseReason) {
        let _ = match reason {
            CloseReason::PeerFinished
            | CloseReason::Closed
            | CloseReason::Drained
            | CloseReason::MaxAge { .. } => conn.others().close(other),
            _ => conn.others().abort(other),
        };
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
