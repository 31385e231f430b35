//! Many connections at once.

use std::io::{Read, Write};

use crate::binary::Binary;
use crate::util::*;

#[test]
fn ten_thousand_connections_are_open_at_once_and_each_echoes() {
    const CONNECTIONS: u32 = 10_000;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, {
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        limit
    })
    .expect("the soft limit can be raised to the hard one");
    let binary = Binary::start(&[]);
    let idle = binary.open_files();
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(binary.addr())).collect();
    for round in 0..3_u32 {
        for (client, number) in clients.iter_mut().zip(round..) {
            client.write_all(&number.to_be_bytes()).unwrap();
        }
        for (client, number) in clients.iter_mut().zip(round..) {
            let mut back = [0; 4];
            client.read_exact(&mut back).unwrap();
            assert_eq!(u32::from_be_bytes(back), number);
        }
    }
    assert_eq!(binary.open_files() - idle, clients.len(), "all are open at once");
    drop(clients);
    wait_until("the table is empty", || binary.open_files() == idle);
    assert!(binary.terminate().success());
}
