//! Row 51: the ids of two servers in one process, on real sockets.

use std::collections::HashSet;
use std::thread;

use readyloop::{Config, ConnId, Context, Echo, Handle, Refusal, Server as Reactors};

use crate::util::*;

fn ids(handle: &Handle, count: usize) -> Vec<ConnId> {
    wait_until("all are there", || handle.stats().open == count as u64);
    handle.connections(DEADLINE).unwrap().iter().map(|conn| conn.id).collect()
}

#[test]
fn row_51_what_one_server_is_told_about_an_id_never_reaches_a_connection_of_another() {
    let config = Config::new().max_connections(100);
    let mut servers: Vec<_> =
        (1..4).map(|reactors| Reactors::new(config.clone(), reactors, |_| Echo).unwrap()).collect();
    let addrs: Vec<_> =
        servers.iter_mut().map(|server| server.listen("127.0.0.1:0").unwrap()).collect();
    let handles: Vec<_> = servers.iter().map(Reactors::handle).collect();
    let serving: Vec<_> =
        servers.into_iter().map(|server| thread::spawn(move || server.run())).collect();
    let mut clients: Vec<_> = addrs.iter().map(|addr| [(); 6].map(|()| connect(*addr))).collect();
    let ids: Vec<_> = handles.iter().map(|handle| ids(handle, 6)).collect();
    let all: HashSet<ConnId> = ids.iter().flatten().copied().collect();
    assert_eq!(all.len(), 18);
    let shown: HashSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 18, "what the log shows is unique too: {shown:?}");
    for (here, handle) in handles.iter().enumerate() {
        for (there, ids) in ids.iter().enumerate() {
            for id in ids.iter().filter(|_| here != there) {
                assert_eq!(handle.send(*id, "x").unwrap_err().why, Refusal::OtherServer);
                assert!(handle.post(*id, |_| ()).is_err());
                for reactor in 0..handle.reactors() {
                    let id = *id;
                    let is_unknown = move |reactor: &mut Context<'_>| reactor.get(id).is_none();
                    assert!(handle.call(reactor, is_unknown).wait(DEADLINE).unwrap());
                }
            }
        }
    }
    for client in clients.iter_mut().flatten() {
        echo(client, b"still here");
    }
    handles.iter().for_each(Handle::stop);
    for thread in serving {
        thread.join().unwrap().unwrap();
    }
}
