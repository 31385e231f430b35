//! What a handler written in the simplest way gets from the kernel's sockets: rows 45 and 46.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use readyloop::Config;

use crate::util::{DEADLINE, Server, wait_until};

#[path = "../../examples/bulk.rs"]
mod bulk;
use bulk::Bulk;

const MIB: usize = 1 << 20;

fn ask(stream: &mut TcpStream, count: usize) {
    stream.write_all(format!("{count}\n").as_bytes()).expect("the server reads");
}

/// Reads one answer.
fn expect(stream: &mut TcpStream, count: usize) {
    let mut answer = vec![0; count + 1];
    stream.read_exact(&mut answer).expect("the answer comes whole");
    assert!(answer[..count].iter().all(|byte| *byte == b'x') && answer[count] == b'\n');
}

#[test]
fn row_45_clients_that_read_one_after_another_get_long_answers_within_a_small_budget() {
    const ANSWER: usize = 8 * MIB;
    const BUDGET: usize = 4 * MIB;
    let server = Server::start(Config::new().queue_budget(BUDGET), Bulk);
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    // In this order, so that those that read first are served first.
    for client in &mut clients {
        let reads = server.stats().reads + server.stats().waiting_bytes;
        ask(client, ANSWER);
        wait_until("the question is read, or has to wait", || {
            let stats = server.stats();
            stats.reads + stats.waiting_bytes > reads || stats.waiting_bytes >= BUDGET as u64
        });
    }
    let mut most = 0;
    for client in &mut clients {
        most = most.max(server.stats().waiting_bytes);
        expect(client, ANSWER);
    }
    assert!(most >= BUDGET as u64, "{most} bytes waited: memory was no matter");
    assert!(most < (BUDGET + ANSWER + MIB) as u64, "{most} bytes waited");
    let stats = server.stop();
    assert_eq!((stats.shed, stats.expired.write), (0, 0));
}

#[test]
fn row_46_a_pipeline_of_a_hundred_long_answers_arrives_whole_and_memory_stays_near_high_water() {
    let server = Server::start(Config::new(), Bulk);
    let mut client = server.connect();
    for _ in 0..100 {
        ask(&mut client, MIB);
    }
    let mut most = 0;
    for _ in 0..100 {
        most = most.max(server.stats().waiting_bytes);
        expect(&mut client, MIB);
    }
    assert!(most < 2 * MIB as u64, "{most} bytes waited");
    ask(&mut client, 5);
    expect(&mut client, 5);
    drop(client);
    wait_until("the connection ends", || server.stats().closed == 1);
    assert_eq!(server.stop().bytes_out, 100 * (MIB as u64 + 1) + 6);
}

#[test]
fn row_47_a_client_that_reads_a_long_answer_for_longer_than_the_idle_timeout_may_ask_again() {
    const ANSWER: usize = 24 * MIB;
    let config = Config::new().idle_timeout(Some(Duration::from_secs(1)));
    let server = Server::start(config, Bulk);
    let mut client = server.connect();
    ask(&mut client, ANSWER);
    wait_until("the answer does not fit into the kernel", || server.stats().waiting_bytes > 0);
    // It reads nothing for longer than the deadline. The server holds it back meanwhile.
    let began = Instant::now();
    wait_until("the idle timeout has passed twice", || {
        began.elapsed() > Duration::from_millis(2_200)
    });
    expect(&mut client, ANSWER);
    ask(&mut client, 5);
    expect(&mut client, 5);
    assert_eq!(server.stop().shed, 0);
}

#[test]
fn row_45_a_handler_is_replaced_while_the_memory_budget_is_used_up() {
    let server = Server::start(Config::new().queue_budget(MIB), Bulk);
    let mut hog = server.connect();
    ask(&mut hog, 32 * MIB);
    wait_until("memory is used up", || server.stats().waiting_bytes > MIB as u64);
    assert_eq!(server.handle.replace(|_| Bulk, |_, ()| None, DEADLINE), Ok(()));
}
