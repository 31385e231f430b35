//! Row 51: the ids of two servers in one process.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Peer, World};
use readyloop::{BoxError, CallError, Config, Conn, ConnId, Echo, Handler, Input, Refusal};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// A world with so many reactors and as many peers, and the ids of these.
fn world(reactors: usize) -> (World<Echo>, Vec<Peer>, Vec<ConnId>) {
    let mut world = World::of_many(1, Config::new(), reactors, |_| Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..reactors).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    let ids: Vec<ConnId> = world.connections().iter().map(|conn| conn.id).collect();
    assert_eq!(ids.len(), reactors);
    (world, peers, ids)
}

#[test]
fn row_51_an_id_of_one_server_names_no_connection_of_another() {
    for (here, there) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
        let (mut one, peers, ids) = world(here);
        let (other, _others, foreign) = world(there);
        let all: HashSet<ConnId> = ids.iter().chain(&foreign).copied().collect();
        assert_eq!(all.len(), here + there, "{ids:?} {foreign:?}");
        let handle = one.handle();
        for id in foreign {
            assert!(other.handle().post(id, |_| ()).is_ok());
            let refused = handle.send(id, "x").unwrap_err();
            assert_eq!((refused.returned, refused.why), ("x".into(), Refusal::OtherServer));
            let refused = handle.post(id, |_| unreachable!("it names no reactor here"));
            let why = refused.unwrap_err().why;
            assert_eq!(CallError::from(why).to_string(), Refusal::OtherServer.to_string());
            for reactor in one.reactors() {
                assert!(reactor.context().get(id).is_none());
            }
        }
        let _ = one.run_for(2 * SECOND);
        for peer in &peers {
            assert!(peer.send(b"still here"));
        }
        let _ = one.run_until_still();
        for peer in peers {
            assert_eq!((peer.received(), peer.ending()), (b"still here".to_vec(), None));
        }
        for id in ids {
            assert!(handle.send(id, "x").is_ok(), "its own are known");
        }
    }
}

/// As a program with two listeners does that each have a reactor: what one connection asks is done to an id
/// that another server has left in a common list.
#[test]
fn row_51_a_callback_that_is_given_an_id_of_another_server_reaches_no_connection() {
    struct Names {
        list: Rc<RefCell<Vec<ConnId>>>,
    }
    impl Handler for Names {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            self.list.borrow_mut().push(conn.id());
            Ok(())
        }
        fn on_data(
            &mut self,
            conn: &mut Conn<'_>,
            _: &mut (),
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            input.take();
            let ids = self.list.borrow().clone();
            for id in ids {
                if let Some(mut conn) = conn.reactor().get(id) {
                    conn.send(b"here");
                }
            }
            Ok(())
        }
    }
    let list = Rc::<RefCell<Vec<ConnId>>>::default();
    let mut worlds: Vec<_> = (0..3)
        .map(|_| World::new(1, Config::new(), Names { list: Rc::clone(&list) }).unwrap())
        .collect();
    let mut peers = Vec::new();
    for world in &mut worlds {
        let addr = world.listen(ADDR).unwrap();
        peers.push([world.dial(addr), world.dial(addr)]);
        let _ = world.run_until_still();
    }
    assert_eq!(list.borrow().iter().collect::<HashSet<_>>().len(), 6);
    for (world, peers) in worlds.iter_mut().zip(&peers) {
        peers[0].send(b"?");
        let _ = world.run_until_still();
    }
    for peer in peers.iter().flatten() {
        assert_eq!((peer.received(), peer.ending()), (b"here".to_vec(), None));
    }
}

/// What a seed does must not depend on what ran before in the process, ids included: a handler may send them.
#[test]
fn ids_in_a_world_are_the_same_whatever_ran_before() {
    let ids = |reactors| {
        let (_world, _peers, ids) = world(reactors);
        ids.iter().map(ConnId::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ids(1), ["#1"]);
    let kept = world(2);
    assert_eq!(ids(1), ["#2/1"], "beside a world with two reactors");
    drop(kept);
    assert_eq!(ids(3), ["#1", "#1/1", "#2/1"]);
    let elsewhere = std::thread::spawn(move || ids(1)).join().unwrap();
    assert_eq!(elsewhere, ["#1"], "whatever other threads simulate");
}
