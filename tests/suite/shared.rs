//! One body for many clients, on the kernel's sockets.

use std::io::{Read, Write};
use std::{fs, thread};

use readyloop::{Bytes, Config, Conn, from_fn};
use socket2::SockRef;

use crate::util::{DEADLINE, Server, echo, noise, reset, wait_until};

#[path = "../simulation/bodies.rs"]
mod bodies;
use bodies::Bodies;

const MIB: usize = 1 << 20;

#[test]
fn row_61_many_clients_get_one_body_and_what_is_sent_around_it_complete_and_in_order() {
    const CLIENTS: usize = 200;
    const BUDGET: usize = 8 * MIB;
    let body = noise(MIB);
    let bodies = Bodies::default();
    let shared = bodies.make(body.clone());
    let handler = from_fn(move |conn, input| {
        while let Some(name) = input.take_until(b"\n") {
            conn.send(name);
            conn.send_bytes(shared.clone());
            conn.send(b"between");
            conn.send_bytes(shared.slice(..MIB / 2));
            conn.send(name);
        }
    });
    let server = Server::start(Config::new().queue_budget(BUDGET), handler);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        SockRef::from(&*client).set_recv_buffer_size(16 * 1024).unwrap(); // so that the kernel takes little
        client.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
    let asked = CLIENTS as u64;
    wait_until("all have asked", || server.stats().reads >= asked);
    wait_until("bodies wait", || server.stats().waiting_bytes > MIB as u64);
    // No callback waits for memory: 300 MiB are queued, but 1.5 MiB and what is around them count.
    assert!(server.stats().waiting_bytes < 2 * MIB as u64, "{:?}", server.stats());
    for client in clients.drain(..CLIENTS / 4) {
        reset(client);
    }
    let first = CLIENTS / 4;
    thread::scope(|scope| {
        for (at, client) in clients.iter_mut().enumerate() {
            let body = &body;
            scope.spawn(move || {
                let name = (first + at).to_string();
                let (name, half) = (name.as_bytes(), &body[..MIB / 2]);
                for expected in [name, body, b"between", half, name] {
                    let mut part = vec![0; expected.len()];
                    client.read_exact(&mut part).expect("the answer comes whole");
                    assert!(part == expected, "client {}", first + at);
                }
            });
        }
    });
    wait_until("all is read or given up", || server.stats().waiting_bytes == 0);
    assert_eq!(bodies.in_memory(), 1, "the handler has its clone");
    let stats = server.stop();
    assert_eq!((stats.shed, stats.panics, bodies.in_memory()), (0, 0, 0));
}

#[test]
fn row_61_a_body_goes_back_when_the_last_of_its_readers_has_read_it() {
    let bodies = Bodies::default();
    let server = Server::start(Config::new(), from_fn(|conn, input| conn.send(input.take())));
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    let body = bodies.make(noise(16 * MIB));
    let told = server.handle.call(0, |reactor| reactor.broadcast(body));
    told.wait(DEADLINE).unwrap();
    let mut part = vec![0; 16 * MIB];
    for client in &mut clients {
        assert_eq!(bodies.in_memory(), 1, "further clients have to read it");
        client.read_exact(&mut part).unwrap();
    }
    assert!(part == noise(16 * MIB));
    wait_until("the body is gone", || bodies.in_memory() == 0);
    wait_until("none of it counts", || server.stats().waiting_bytes == 0);
}

/// How many bytes of this process are in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[test]
#[ignore = "takes 1 GiB, and measures the memory of the whole process: no other test may run beside it"]
fn row_61_one_body_for_a_thousand_clients_takes_a_hundredth_of_the_memory_of_copies() {
    const CLIENTS: usize = 1_000;
    let config = Config::new().queue_budget(2_000 * MIB).first_byte_timeout(None);
    let server = Server::start(config, from_fn(|_, input| _ = input.take()));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    wait_until("all are served", || server.stats().open == CLIENTS as u64);
    let bodies = Bodies::default();
    let expected = noise(MIB);
    let body = bodies.make(expected.clone());
    let mut grown_by = |send: fn(&mut Conn, &Bytes)| {
        let body = body.clone();
        let call = server.handle.call(0, move |reactor| {
            let before = resident();
            reactor.for_each(|conn| send(conn, &body));
            resident().saturating_sub(before) // all is queued, and the kernel was offered nothing yet
        });
        let grown = call.wait(DEADLINE).unwrap();
        thread::scope(|scope| {
            for clients in clients.chunks_mut(CLIENTS / 10) {
                let expected = &expected;
                scope.spawn(move || {
                    let mut part = vec![0; MIB];
                    for client in clients {
                        client.read_exact(&mut part).expect("the body comes whole");
                        assert!(part == *expected);
                    }
                });
            }
        });
        wait_until("all is sent", || server.stats().waiting_bytes == 0);
        grown
    };
    let shared = grown_by(|conn, body| conn.send_bytes(body.clone()));
    let copied = grown_by(|conn, body| conn.send(body));
    println!("shared: {shared} bytes, copied: {copied} bytes, {} to 1", copied / shared.max(1));
    assert!(copied > CLIENTS * MIB / 10 * 9, "{copied} bytes for copies");
    assert!(shared * 100 < copied, "{shared} bytes for a shared body, {copied} for copies");
    drop(body);
    assert_eq!(bodies.in_memory(), 0);
}
