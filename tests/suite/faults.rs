//! What the server survives. The numbers are those of the table in `tests/README.md`.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, Echo, Handler, Input, Reactor, SendError, from_fn,
};
use socket2::SockRef;

use crate::inside::count_of;
use crate::util::*;

/// Echoes, and records the events of each connection.
struct Diary {
    entries: Sender<(ConnId, &'static str)>,
}

impl Diary {
    fn new() -> (Self, Receiver<(ConnId, &'static str)>) {
        let (entries, read) = channel();
        (Self { entries }, read)
    }

    fn note(&self, id: ConnId, what: &'static str) {
        let _ = self.entries.send((id, what));
    }
}

impl Handler for Diary {
    type State = ConnId;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<ConnId, BoxError> {
        self.note(conn.id(), "open");
        Ok(conn.id())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        id: &mut ConnId,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        assert_eq!(*id, conn.id(), "the state is the connection's own");
        self.note(*id, "data");
        conn.send(input.take());
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, id: ConnId, _reason: &CloseReason) {
        assert_eq!(id, conn.id(), "the state is the connection's own");
        self.note(id, "close");
    }
}

/// One open first, one close last, for each connection; returns how many there were.
fn check_lives(diary: Receiver<(ConnId, &'static str)>) -> usize {
    let mut lives: HashMap<ConnId, Vec<&str>> = HashMap::new();
    for (id, what) in diary {
        lives.entry(id).or_default().push(what);
    }
    for (id, life) in &lives {
        let middle = &life[1..life.len() - 1];
        assert!(life[0] == "open" && life[life.len() - 1] == "close", "{id}: {life:?}");
        assert!(middle.iter().all(|what| *what == "data"), "{id}: {life:?}");
    }
    lives.len()
}

#[test]
fn row_09_a_slot_that_changes_hands_brings_nothing_of_its_former_tenant() {
    const ROUNDS: usize = 300;
    let (handler, diary) = Diary::new();
    let server = Server::start(Config::new(), handler);
    let mut previous: Option<TcpStream> = None;
    for round in 0..ROUNDS {
        // The old one goes, by turns with a FIN and a RST, while the new one comes.
        let mut next = server.connect();
        if let Some(mut old) = previous.take() {
            old.write_all(b"unread").unwrap();
            if round % 2 == 0 { reset(old) } else { drop(old) }
        }
        echo(&mut next, &round.to_be_bytes());
        previous = Some(next);
    }
    drop(previous);
    wait_until("all are gone", || server.stats().closed == ROUNDS as u64);
    drop(server);
    assert_eq!(check_lives(diary), ROUNDS);
}

#[test]
fn row_10_a_stale_id_is_refused_and_never_names_another() {
    let mut first = None;
    let server = Server::start(
        Config::new(),
        from_fn(move |conn, input| {
            input.take();
            let own = conn.id();
            let id = *first.get_or_insert(own);
            match conn.reactor().get(id) {
                Some(mut conn) => {
                    conn.send(b"hello");
                    conn.close();
                }
                None => conn.send(b"gone"),
            }
            assert_eq!(id == own, conn.reactor().get(id).is_some());
        }),
    );
    let mut client = server.connect();
    client.write_all(b"it is me").unwrap();
    assert_eq!(read_to_end(&mut client), b"hello", "it was sent to and closed by its own id");
    drop(client);
    wait_until("it is gone", || server.stats().closed == 1);
    // This one has the same slot.
    let mut client = server.connect();
    client.write_all(b"is the other still there?").unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"gone");
}

#[test]
fn row_13_bytes_that_trickle_come_back_exactly() {
    let server = Server::start(Config::new(), Echo);
    let mut client = server.connect();
    SockRef::from(&client).set_recv_buffer_size(1).unwrap();
    let bytes = noise(3_000);
    let mut back = Vec::new();
    for byte in bytes.chunks(1) {
        client.write_all(byte).unwrap();
        let mut one = [0];
        client.read_exact(&mut one).unwrap();
        back.extend(one);
    }
    assert_eq!(back, bytes);
}

#[test]
fn row_14_a_reset_while_reading_is_paused_is_seen() {
    let (handler, diary) = Diary::new();
    let server = Server::start(Config::new().high_water(4096), handler);
    let mut client = server.connect();
    client.set_nonblocking(true).unwrap();
    let mut refused = 0;
    wait_until("the server has stopped reading", || {
        refused = if client.write(&[7; 65_536]).is_ok() { 0 } else { refused + 1 };
        refused > 100
    });
    reset(client);
    wait_until("it is closed", || server.stats().closed == 1);
    drop(server);
    assert_eq!(check_lives(diary), 1);
}

#[test]
fn row_15_final_bytes_and_the_fin_in_one_event_are_both_delivered() {
    let mut reactor = Reactor::new(Config::new(), Echo).unwrap();
    let addr = reactor.listen("127.0.0.1:0").unwrap();
    let mut client = connect(addr);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // All of it lies in the kernel before the reactor's first turn.
    wait_until("it is served", || {
        assert!(reactor.turn(Some(Duration::ZERO)).unwrap().is_continue());
        reactor.context().stats().closed == 1
    });
    assert_eq!(read_to_end(&mut client), b"last words");
}

#[test]
fn row_17_urgent_data_neither_spins_nor_hides_what_follows_it() {
    let mut reactor = Reactor::new(Config::new(), Echo).unwrap();
    let addr = reactor.listen("127.0.0.1:0").unwrap();
    let mut client = connect(addr);
    client.write_all(b"before").unwrap();
    SockRef::from(&client).send_out_of_band(b"!").unwrap();
    client.write_all(b"after").unwrap();
    let mut back = [0; 11];
    client.set_nonblocking(true).unwrap();
    let mut got = 0;
    wait_until("everything but the urgent byte is echoed", || {
        assert!(reactor.turn(Some(Duration::ZERO)).unwrap().is_continue());
        got += client.read(&mut back[got..]).unwrap_or(0);
        got == back.len()
    });
    assert_eq!(&back, b"beforeafter");
    // A reactor that spins would return at once, every time.
    let timeout = Duration::from_millis(20);
    wait_until("it waits again", || {
        let start = Instant::now();
        assert!(reactor.turn(Some(timeout)).unwrap().is_continue());
        start.elapsed() >= timeout
    });
}

#[test]
fn row_18_a_half_closed_slow_reader_gets_every_byte_and_then_a_fin() {
    let server = Server::start(Config::new(), Echo);
    let bytes = noise(20_000_000);
    let client = server.connect();
    SockRef::from(&client).set_recv_buffer_size(16 * 1024).unwrap();
    let back = half_close_echo(client, &bytes, || std::thread::sleep(Duration::from_micros(100)));
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
}

#[test]
fn row_19_a_reset_while_flushing_ends_the_connection_once() {
    let (closed, reasons) = channel();
    struct Flood(Sender<String>);
    impl Handler for Flood {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            conn.send(&noise(12_000_000));
            conn.close();
            Ok(())
        }
        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            (): &mut (),
            _: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            unreachable!("nothing is delivered after close")
        }
        fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
            let _ = self.0.send(format!("{reason:?}"));
        }
    }
    let server = Server::start(Config::new(), Flood(closed));
    for _ in 0..20 {
        let mut client = server.connect();
        client.read_exact(&mut [0; 1000]).unwrap();
        reset(client);
        let reason = reasons.recv_timeout(DEADLINE).unwrap();
        assert!(reason.starts_with("Io("), "{reason}");
    }
    assert_eq!(server.stop().closed, 20);
    assert!(reasons.try_recv().is_err(), "on_close comes once a connection");
}

#[test]
fn row_20_closing_with_unread_input_loses_no_answer() {
    let answer = noise(300_000);
    let expected = answer.clone();
    let server = Server::start(
        Config::new(),
        from_fn(move |conn, input| {
            input.take();
            conn.send(&answer);
            conn.close();
        }),
    );
    for _ in 0..20 {
        let mut client = server.connect();
        // Far more than the handler looks at, and still on its way when the server closes.
        let mut sender = client.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            sender.write_all(&[b'x'; 2_000_000]).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(&mut client) == expected, "the answer was cut off");
        sending.join().unwrap();
    }
    wait_until("all are closed", || server.stats().closed == 20);
}

#[test]
fn row_20_lingering_for_a_peer_that_never_finishes_ends_by_itself() {
    let config = Config::new().linger_timeout(Duration::from_millis(30));
    let server = Server::start(
        config,
        from_fn(|conn, input| {
            conn.send(input.take());
            conn.close();
        }),
    );
    let mut client = server.connect();
    client.write_all(b"bye").unwrap();
    assert_eq!(read_to_end(&mut client), b"bye");
    // The client stays; its own half is still open.
    wait_until("the server has let go", || server.stats().closed == 1);
}

/// Panics where the first byte says.
struct Fragile;

struct FragileState {
    panics_in_drop: bool,
    panics_in_close: bool,
}

impl Drop for FragileState {
    fn drop(&mut self) {
        assert!(!self.panics_in_drop || std::thread::panicking(), "a drop that panics");
    }
}

impl Handler for Fragile {
    type State = FragileState;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<FragileState, BoxError> {
        assert!(count_of(conn.id()) != 2, "the second connection panics");
        Ok(FragileState { panics_in_drop: false, panics_in_close: false })
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut FragileState,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        match input.take() {
            b"data" => panic!("data that panics"),
            b"odd" => {
                std::panic::panic_any(FragileState { panics_in_drop: true, panics_in_close: false })
            }
            b"drop" => state.panics_in_drop = true,
            b"close" => state.panics_in_close = true,
            b"drained" => conn.send(&[b'x'; 100_000]),
            bytes => conn.send(bytes),
        }
        Ok(())
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut FragileState,
        _input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        assert!(state.panics_in_drop || state.panics_in_close, "an end that panics");
        conn.close();
        Ok(())
    }

    fn on_low_water(
        &mut self,
        _conn: &mut Conn<'_>,
        _state: &mut FragileState,
    ) -> Result<(), BoxError> {
        panic!("a drained queue that panics")
    }

    fn on_close(&mut self, _: &mut Conn<'_>, state: FragileState, _: &CloseReason) {
        assert!(!state.panics_in_close, "a close that panics");
    }
}

#[test]
fn row_26_a_panic_in_any_callback_ends_only_its_own_connection() {
    let server = Server::start(Config::new(), Fragile);
    let mut neighbour = server.connect();
    echo(&mut neighbour, b"hello");
    let requests: [&[u8]; 7] = [b"open", b"data", b"odd", b"drop", b"close", b"drained", b"eof"];
    for (index, request) in requests.iter().enumerate() {
        let mut client = server.connect();
        let _ = client.write_all(request);
        // A reset, or for the panics after the end a FIN.
        if matches!(*request, b"drop" | b"close") {
            wait_until("it has read", || server.stats().bytes_in > 5);
        }
        if *request == b"eof" {
            client.read_exact(&mut [0; 3]).unwrap();
        }
        let _ = client.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        drop(client);
        wait_until("it is closed", || server.stats().closed == index as u64 + 1);
        assert_eq!(server.stats().panics, index as u64 + 1, "{}", request.escape_ascii());
        echo(&mut neighbour, request.get(..2).unwrap());
    }
}

#[test]
fn row_27_a_handler_that_sends_without_end_is_told_that_it_is_full() {
    const LIMIT: usize = 200_000;
    let server = Server::start(
        Config::new().queue_limit(LIMIT),
        from_fn(|conn, input| {
            let bytes = input.take();
            let mut sent = 0;
            let refusal = loop {
                match conn.try_send(&[b'x'; 1000]) {
                    Ok(()) => sent += 1000,
                    Err(refusal) => break refusal,
                }
            };
            assert_eq!(refusal, SendError::Full);
            assert_eq!((sent, conn.info().queued), (LIMIT, LIMIT), "nothing was taken by the last");
            if bytes == b"send on" {
                loop {
                    conn.send(b"x");
                    if conn.try_send(b"") == Err(SendError::Closed) {
                        break;
                    }
                }
            }
        }),
    );
    let mut client = server.connect();
    client.write_all(b"try").unwrap();
    let mut all = vec![0; LIMIT];
    client.read_exact(&mut all).unwrap();
    client.write_all(b"send on").unwrap();
    let end = client.read_to_end(&mut all);
    assert!(end.is_err(), "a truncated answer must not look whole: {end:?}");
    wait_until("it is closed", || server.stats().closed == 1);
    assert_eq!(server.stats().panics, 0);
}

/// Does what the first byte says to the connection that said hello first.
struct Meddler {
    first: Option<ConnId>,
    diary: Sender<(ConnId, String)>,
}

impl Handler for Meddler {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let own = conn.id();
        let first = *self.first.get_or_insert(own);
        match input.take() {
            b"tell" => {
                let mut reactor = conn.reactor();
                let mut first = reactor.get(first).ok_or("it has gone")?;
                first.send(b"one ");
                first.send(b"two ");
                first.send(b"three");
                conn.send(b"told");
            }
            b"close" => {
                let mut reactor = conn.reactor();
                let mut first = reactor.get(first).ok_or("it has gone")?;
                first.send(b", bye");
                first.close();
                conn.send(b"did");
                conn.close();
                conn.send(b" not this");
            }
            b"abort all" => {
                conn.reactor().for_each(|other| other.abort());
                conn.send(b"done");
            }
            b"stop" => {
                conn.send(b"stopping");
                conn.reactor().stop();
            }
            bytes => conn.send(bytes),
        }
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), reason: &CloseReason) {
        conn.reactor().broadcast("a client left");
        let _ = self.diary.send((conn.id(), reason.to_string()));
    }
}

#[test]
fn row_28_what_a_callback_asks_for_is_done_after_it_in_order() {
    let (diary, closed) = channel();
    let server = Server::start(Config::new(), Meddler { first: None, diary });
    let mut first = server.connect();
    echo(&mut first, b"hello");
    let mut second = server.connect();
    second.write_all(b"tell").unwrap();
    let mut told = [0; 4];
    second.read_exact(&mut told).unwrap();
    let mut heard = [0; 13];
    first.read_exact(&mut heard).unwrap();
    assert_eq!((&told, &heard), (b"told", b"one two three"));

    second.write_all(b"close").unwrap();
    assert_eq!(read_to_end(&mut second), b"did");
    assert_eq!(read_to_end(&mut first), b", bye");
    drop((first, second));
    let reasons: Vec<_> = closed.iter().take(2).map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["closed by the handler", "closed by the handler"]);

    let mut victims = [server.connect(), server.connect()];
    for victim in &mut victims {
        echo(victim, b"here");
    }
    let mut third = server.connect();
    third.write_all(b"abort all").unwrap();
    let mut done = vec![0; b"donea client lefta client left".len()];
    third.read_exact(&mut done).unwrap();
    assert_eq!(done, b"donea client lefta client left");
    for victim in &mut victims {
        assert!(victim.read(&mut [0; 1]).is_err(), "a RST was asked for");
    }
    third.write_all(b"stop").unwrap();
    assert_eq!(read_to_end(&mut third), b"stopping");
    let handle = server.handle.clone();
    server.wait();
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.closed, stats.open), (5, 5, 0));
    assert_eq!(closed.iter().map(|(id, _)| count_of(id)).last().unwrap(), 5);
}

/// Keeps a connection open after the peer has finished, with nothing to say.
struct Patient(Sender<String>);

impl Handler for Patient {
    type State = ();

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        _: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        Ok(())
    }

    fn on_eof(&mut self, _: &mut Conn<'_>, (): &mut (), _: &mut Input<'_>) -> Result<(), BoxError> {
        let _ = self.0.send("eof".to_owned());
        Ok(())
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        let _ = self.0.send(format!("{reason:?}"));
    }
}

#[test]
fn row_14_a_reset_after_the_peer_has_finished_is_seen_without_a_write() {
    let (sender, events) = channel();
    let server = Server::start(Config::new(), Patient(sender));
    let client = server.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap(), "eof");
    reset(client);
    let reason = events.recv_timeout(DEADLINE).expect("the reset is seen");
    assert!(reason.starts_with("Io("), "{reason}");
    assert_eq!(server.stop().closed, 1);
}

#[test]
fn row_29_the_time_of_a_callback_that_blocks_counts_against_no_deadline() {
    const IDLE: Duration = Duration::from_millis(500);
    let handler = from_fn(|conn, input| {
        let bytes = input.take();
        if bytes == b"block" {
            std::thread::sleep(2 * IDLE);
        }
        conn.send(bytes);
    });
    let server = Server::start(Config::new().idle_timeout(Some(IDLE)), handler);
    let [mut first, mut second, mut client] =
        [server.connect(), server.connect(), server.connect()];
    echo(&mut client, b"here I am");
    // While the first one blocks, the two others come: they are served in one turn, the client last.
    first.write_all(b"block").unwrap();
    std::thread::sleep(IDLE / 5);
    second.write_all(b"block").unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    let served = Instant::now();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "it is idle in the end");
    assert!(served.elapsed() >= IDLE * 9 / 10, "closed after {:?}", served.elapsed());
}
