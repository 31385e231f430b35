//! A reactor in a task of tokio serves, keeps its deadlines, and leaves the thread to other tasks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use readyloop::{Config, Echo, Reactor};

#[path = "../examples/tokio.rs"]
mod example;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_reactor_in_a_task_serves_keeps_deadlines_and_hears_other_threads() {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let config = Config::new().idle_timeout(Some(Duration::from_millis(200)));
        let mut reactor = Reactor::new(config, Echo).unwrap();
        let addr = reactor.listen("127.0.0.1:0").unwrap();
        tell.send((addr, reactor.handle())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let beside = tokio::spawn(async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                "has run"
            });
            let report = example::run(reactor).await.unwrap();
            (report, beside.await.unwrap())
        })
    });
    let (addr, handle) = told.recv_timeout(DEADLINE).unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"hello").unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap(); // closed for its silence
    assert_eq!(all, b"hello");
    let turns = handle.call(0, |reactor| reactor.stats().turns).wait(DEADLINE).unwrap();
    assert!(turns < 1_000, "{turns} turns for an echo, a deadline and a call: it spins");
    handle.stop();
    assert_eq!(thread.join().unwrap().1, "has run");
}
