//! What a connection costs the server in memory: `cargo bench -p readyloop-compare --bench footprint`.
//!
//! Opens many connections to the real binary and reads its resident memory from `/proc`, when they
//! are idle, when each has echoed once, and when they are gone. The number of connections can be
//! given: `cargo bench -p readyloop-compare --bench footprint -- 19000`.

#[path = "common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::failure::Failure;
use common::process::{self, Server};
use common::raise_open_files;

const DEFAULT_CONNECTIONS: usize = 15_000;

fn main() -> Result<(), Failure> {
    let number = std::env::args().find_map(|arg| arg.parse().ok());
    let connections = number.unwrap_or(DEFAULT_CONNECTIONS);
    raise_open_files();
    let server = Server::start(process::readyloop()?.args(["--log-level", "warn"]))?;
    measure(&server, connections)
}

fn measure(server: &Server, connections: usize) -> Result<(), Failure> {
    let own_files = server.open_files()?;
    // The first connection pays for what is made once: code pages, buffers.
    echo(&mut TcpStream::connect(server.addr)?)?;
    let start = server.resident()?;
    println!("{:<24}{:>12}{:>24}", "", "resident KiB", "bytes a connection");
    println!("{:<24}{:>12}", "one connection, gone", start / 1024);

    let show = |what: &str, resident: u64| {
        let each = (resident as f64 - start as f64) / connections as f64;
        println!("{what:<24}{:>12}{each:>24.1}", resident / 1024);
    };
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let client = TcpStream::connect(server.addr)
            .map_err(|error| format!("connection {number} of {connections}: {error}"))?;
        clients.push(client);
    }
    server.settle(own_files + connections)?;
    show(&format!("{connections} idle"), server.resident()?);
    for client in &mut clients {
        echo(client)?;
    }
    show("each has echoed once", server.resident()?);
    drop(clients);
    server.settle(own_files)?;
    show("all gone", server.resident()?);
    Ok(())
}

fn echo(client: &mut TcpStream) -> Result<(), Failure> {
    let mut back = [0; 64];
    client.write_all(&[b'x'; 64])?;
    client.read_exact(&mut back)?;
    Ok(())
}
