//! Row 60: texts of panics and errors, and causes that must not disappear.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::World;
use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, Context, Handler, Input, ReplaceError, TimerKey,
};

use crate::logs::lines_of;

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// What breaks a line, commands a terminal, and reads backwards.
const EVIL: &str = "evil\r\nERROR forged line\x1b[2J\u{7}\u{85}\u{2028}\u{202e}end";
const TAMED: &str = r"evil\r\nERROR forged line\u{1b}[2J\u{7}\u{85}\u{2028}\u{202e}end";

/// An error with a cause that it does not show.
#[derive(Debug)]
struct Failed(std::io::Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the order failed")
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Open,
    Data,
    Eof,
    Timer,
    Drain,
    Close,
    Start,
    Tick,
    Stop,
    ConnectFailed,
}

/// Fails or panics in one callback, and writes down how connections end.
struct Evil {
    place: Place,
    panics: bool,
    ends: Rc<RefCell<Vec<String>>>,
}

impl Evil {
    fn act(&self, place: Place) -> Result<(), BoxError> {
        if place != self.place {
            return Ok(());
        }
        assert!(!self.panics, "{EVIL}");
        Err(Box::new(Failed(std::io::Error::other(EVIL))))
    }
}

impl Handler for Evil {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.set_timer(SECOND / 10, TimerKey(0));
        self.act(Place::Open)
    }

    fn on_data(
        &mut self,
        _: &mut Conn<'_>,
        _: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        self.act(Place::Data)
    }

    fn on_eof(&mut self, _: &mut Conn<'_>, _: &mut (), _: &mut Input<'_>) -> Result<(), BoxError> {
        self.act(Place::Eof)
    }

    fn on_timer(&mut self, _: &mut Conn<'_>, _: &mut (), _: TimerKey) -> Result<(), BoxError> {
        self.act(Place::Timer)
    }

    fn on_shutdown(&mut self, _: &mut Conn<'_>, _: &mut ()) -> Result<(), BoxError> {
        self.act(Place::Drain)
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.ends.borrow_mut().push(reason.to_string());
        let _ = self.act(Place::Close);
    }

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(SECOND / 10, TimerKey(1));
        reactor.connect(&[([10, 0, 0, 9], 9).into()], &Default::default());
        let _ = self.act(Place::Start);
    }

    fn on_tick(&mut self, _: &mut Context<'_>, _: TimerKey) {
        let _ = self.act(Place::Tick);
    }

    fn on_stop(&mut self, _: &mut Context<'_>) {
        let _ = self.act(Place::Stop);
    }

    fn on_connect_failed(&mut self, _: &mut Context<'_>, _: ConnId, reason: &CloseReason) {
        self.ends.borrow_mut().push(reason.to_string());
        let _ = self.act(Place::ConnectFailed);
    }
}

/// The lines that are logged, and how connections end.
fn run(place: Place, panics: bool) -> (Vec<String>, Vec<String>) {
    let ends = Rc::<RefCell<Vec<String>>>::default();
    let handler = Evil { place, panics, ends: Rc::clone(&ends) };
    let lines = lines_of(|| {
        let mut world = World::new(1, Config::new(), handler).unwrap();
        world.allow_panics();
        let addr = world.listen(ADDR).unwrap();
        let peer = world.dial(addr);
        peer.send(b"hello");
        let _ = world.run_for(SECOND);
        if place == Place::Drain {
            world.handle().drain(SECOND);
        }
        let _ = world.run_for(SECOND);
        peer.shutdown_write();
        let _ = world.run_for(SECOND);
        world.handle().stop();
        let _ = world.run_for(SECOND);
    });
    (lines, ends.take())
}

const OF_CONNECTIONS: [Place; 5] =
    [Place::Open, Place::Data, Place::Eof, Place::Timer, Place::Drain];
const OF_NONE: [Place; 5] =
    [Place::Close, Place::Start, Place::Tick, Place::Stop, Place::ConnectFailed];

#[test]
fn row_60_a_text_of_a_panic_is_one_escaped_line_from_every_callback() {
    for place in OF_CONNECTIONS.into_iter().chain(OF_NONE) {
        let (lines, ends) = run(place, true);
        let said: Vec<_> = lines.iter().filter(|line| line.contains("evil")).collect();
        assert!(!said.is_empty(), "{place:?} says nothing");
        let errors = said.iter().filter(|line| line.starts_with("ERROR")).count();
        assert_eq!(errors, 1, "{place:?}: {said:?}");
        for line in said.into_iter().chain(ends.iter().filter(|end| end.contains("evil"))) {
            assert!(line.contains(TAMED), "{place:?}: {line:?}");
        }
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
        if OF_CONNECTIONS.contains(&place) && place != Place::Open {
            assert!(ends.contains(&format!("the handler panicked: {TAMED}")), "{ends:?}");
        }
    }
}

#[test]
fn row_60_a_handlers_error_is_a_warning_with_its_cause_on_one_escaped_line() {
    for place in OF_CONNECTIONS {
        let (lines, ends) = run(place, false);
        let reason = format!("the handler failed: the order failed: {TAMED}");
        let said: Vec<_> = lines.iter().filter(|line| line.contains("evil")).collect();
        let warning = format!(
            "WARN errors of the handler ended 1 connection, the last #2 192.168.0.1:50000: the order \
             failed: {TAMED}"
        );
        assert!(said.iter().any(|line| **line == warning), "{place:?}: {said:?}");
        assert!(place == Place::Open || ends.contains(&reason), "{place:?}: {ends:?}");
    }
}

#[test]
fn errors_of_a_thousand_connections_are_told_of_in_one_line_a_second() {
    let ends = Rc::<RefCell<Vec<String>>>::default();
    let handler = Evil { place: Place::Data, panics: false, ends: Rc::clone(&ends) };
    let lines = lines_of(|| {
        let mut world = World::new(1, Config::new(), handler).unwrap();
        let addr = world.listen(ADDR).unwrap();
        for _ in 0..1_000 {
            world.dial(addr).send(b"hello");
            let _ = world.run_for(Duration::from_millis(4));
        }
        let _ = world.run_for(20 * SECOND);
    });
    let warnings = lines.iter().filter(|line| line.starts_with("WARN")).count();
    assert!((4..=6).contains(&warnings), "{warnings} lines in 4 s");
    let ends = ends.borrow();
    assert_eq!(ends.iter().filter(|end| end.contains("the order failed")).count(), 1_000);
}

#[test]
fn row_60_what_a_message_or_a_migration_panics_with_is_one_escaped_line() {
    let ends = Rc::<RefCell<Vec<String>>>::default();
    let handler = || Evil { place: Place::Start, panics: false, ends: Rc::clone(&ends) };
    let lines = lines_of(|| {
        let mut world = World::new(1, Config::new(), handler()).unwrap();
        world.allow_panics();
        let addr = world.listen(ADDR).unwrap();
        let _peer = world.dial(addr);
        let _ = world.run_for(SECOND);
        world.handle().post(0, |_| panic!("{EVIL}")).unwrap();
        let _ = world.run_for(SECOND);
        let replaced = world.replace(0, handler(), |_, ()| panic!("{EVIL}"));
        let error = replaced.map(drop).unwrap_err();
        assert!(matches!(&error, ReplaceError::Panicked(message) if message == EVIL));
        assert!(error.to_string().ends_with(TAMED), "{error}");
    });
    let posted = format!("ERROR a posted closure panicked: {TAMED}");
    assert!(lines.contains(&posted), "{lines:?}");
}

/// The README's own pattern: `println!("{reason}")`.
#[test]
fn a_reason_that_is_printed_names_its_cause() {
    let ends = Rc::<RefCell<Vec<String>>>::default();
    let handler = Evil { place: Place::Start, panics: false, ends: Rc::clone(&ends) };
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    let _ = world.run_for(SECOND);
    peer.reset();
    let _ = world.run_for(SECOND);
    assert_eq!(
        *ends.borrow(),
        [
            "cannot connect: 10.0.0.9:9: connect failed: Connection refused (os error 111)",
            "the connection failed: Connection reset by peer (os error 104)",
        ]
    );
}
