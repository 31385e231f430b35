//! What a connection costs the server in memory: `cargo bench --bench footprint`.
//!
//! Opens many connections to the real binary and reads its resident memory from `/proc`, when they
//! are idle, when each has echoed once, and when they are gone. The number of connections can be
//! given: `cargo bench --bench footprint -- 19000`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

const DEFAULT_CONNECTIONS: usize = 15_000;

fn main() -> Result<(), Failure> {
    let number = std::env::args().find_map(|arg| arg.parse().ok());
    let connections = number.unwrap_or(DEFAULT_CONNECTIONS);
    raise_open_files();
    let mut server = Server::start()?;
    let result = measure(&server, connections);
    server.child.kill()?;
    server.child.wait()?;
    result
}

fn measure(server: &Server, connections: usize) -> Result<(), Failure> {
    // The first connection pays for what is made once: code pages, buffers.
    echo(&mut TcpStream::connect(&server.addr)?)?;
    let start = server.resident()?;
    println!("{:<24}{:>12}{:>24}", "", "resident KiB", "bytes a connection");
    println!("{:<24}{:>12}", "one connection, gone", start / 1024);

    let show = |what: &str, resident: usize| {
        let each = (resident as f64 - start as f64) / connections as f64;
        println!("{what:<24}{:>12}{each:>24.1}", resident / 1024);
    };
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let client = TcpStream::connect(&server.addr)
            .map_err(|error| format!("connection {number} of {connections}: {error}"))?;
        clients.push(client);
    }
    server.settle(connections)?;
    show(&format!("{connections} idle"), server.resident()?);
    for client in &mut clients {
        echo(client)?;
    }
    show("each has echoed once", server.resident()?);
    drop(clients);
    server.settle(0)?;
    show("all gone", server.resident()?);
    Ok(())
}

fn echo(client: &mut TcpStream) -> Result<(), Failure> {
    let mut back = [0; 64];
    client.write_all(&[b'x'; 64])?;
    client.read_exact(&mut back)?;
    Ok(())
}

fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, the connection that fails says how far it went.
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Server {
    child: Child,
    addr: String,
    own_files: usize,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_readyloop"))
            .args(["--listen", "127.0.0.1:0", "--log-level", "warn"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on ").ok_or("it does not listen")?;
        let mut server = Self { child, addr: addr.to_owned(), own_files: 0 };
        server.own_files = server.open_files()?;
        Ok(server)
    }

    fn open_files(&self) -> Result<usize, Failure> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Resident memory in bytes.
    fn resident(&self) -> Result<usize, Failure> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss")?;
        let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Waits until the server has accepted, or closed, that many.
    fn settle(&self, connections: usize) -> Result<(), Failure> {
        let give_up = Instant::now() + Duration::from_secs(60);
        while self.open_files()? != self.own_files + connections {
            if Instant::now() > give_up {
                return Err(format!("the server never had {connections} connections").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
