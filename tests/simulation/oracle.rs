//! Runs a scenario and says whether every promise was kept, at every turn and at the end.

use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, Instant};

use readyloop::sim::{Ending, Peer, Reading, World};
use readyloop::{Context, Handle, ListenOptions, Suspension};

use crate::actor::{Actor, Ledger, Life, PeerDid, SCRIPTED, pattern};
use crate::dials::{self, Dial};
use crate::scenario::{Limits, Scenario, Step, WhenFull};

/// What a run that kept every promise was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) turns: u64,
}

/// Runs a scenario; the error is the first promise that was broken.
pub(crate) fn run(scenario: &Scenario) -> Result<Report, String> {
    silence_scripted_panics();
    let mut run = Run::new(scenario)?;
    // What the script asks for, then an end to all trouble, then what is owed must arrive.
    let stopped = run.play(scenario)?.is_break() || run.calm_down()?.is_break();
    if !stopped {
        run.check_liveness()?;
    }
    run.stop()?;
    Ok(Report { trace: run.world.trace_hash(), turns: run.world.stats().turns })
}

/// Panics that the script asks for are no news.
pub(crate) fn silence_scripted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&SCRIPTED) {
                default(info);
            }
        }));
    });
}

struct Run {
    world: World<Actor>,
    /// One for the whole run: when the last one ends, a reactor without listeners is woken.
    handle: Handle,
    ledger: Rc<RefCell<Ledger>>,
    /// Of the first listener, and of the second, which is closed at times.
    addr: SocketAddr,
    second: SocketAddr,
    peers: Vec<Dialled>,
    listens: bool,
    second_listens: bool,
    limits: Limits,
    posts: Posts,
    /// How many dialled connections are among the peers.
    met: usize,
    /// The largest memory budget that there was.
    budget: usize,
}

/// What was posted: all of it is run or comes back.
#[derive(Default)]
struct Posts {
    sent: usize,
    returned: usize,
}

struct Dialled {
    peer: Peer,
    /// How much of what the handler has sent it has read.
    read: usize,
    vanished: bool,
}

impl Dialled {
    /// Whether nothing has become of it yet.
    fn is_waiting(&self) -> bool {
        !self.vanished && self.peer.ending().is_none()
    }
}

/// Scripts give no drain more time.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// So far apart can two reactors read their clocks, as [`Faults::clock_behind`](readyloop::sim::Faults) says.
const CLOCKS_DIFFER: Duration = Duration::from_millis(10);

type Flow = Result<ControlFlow<()>, String>;

impl Run {
    fn new(scenario: &Scenario) -> Result<Self, String> {
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let actor = |index| Actor {
            ledger: Rc::clone(&ledger),
            limits: scenario.limits,
            former: Vec::new(),
            reactions: scenario.reactions.clone(),
            version: 0,
            index,
            reactors: scenario.reactors,
        };
        let (config, count) = (scenario.limits.config(), scenario.reactors);
        let mut world = World::of_many(scenario.seed, config, count, actor)
            .map_err(|error| error.to_string())?;
        world.allow_panics();
        let options = ListenOptions::new("10.0.0.1:7000").backlog(scenario.limits.backlog);
        let addr = world.listen(options).map_err(|error| error.to_string())?;
        ledger.borrow_mut().newest_tag = 1;
        let options = second_listener("10.0.0.1:7001", &scenario.limits, 1);
        let second = world.listen(options).map_err(|error| error.to_string())?;
        ledger.borrow_mut().start = Some(world.reactor().context().now());
        world.set_faults(scenario.network());
        dials::remotes().for_each(|(addr, answer)| world.answer(addr, answer));
        ledger.borrow_mut().dials.faults = scenario.faults;
        let (limits, posts) = (scenario.limits, Posts::default());
        let peers = Vec::new();
        let handle = world.handle();
        let budget = limits.queue_budget;
        Ok(Self {
            world,
            handle,
            ledger,
            addr,
            second,
            peers,
            listens: true,
            second_listens: true,
            limits,
            posts,
            met: 0,
            budget,
        })
    }

    fn play(&mut self, scenario: &Scenario) -> Flow {
        for step in &scenario.script {
            if self.take(*step)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take(&mut self, step: Step) -> Flow {
        match step {
            Step::Dial { ip } => self.dial(ip),
            Step::Send { peer, bytes } => {
                self.with_peer(peer, |peer, did| {
                    let at = did.sent;
                    let bytes: Vec<_> =
                        (at..at + bytes).map(|at| pattern(peer.peer.addr(), at)).collect();
                    if peer.peer.send(&bytes) {
                        did.sent += bytes.len();
                    }
                });
            }
            Step::Finish { peer } => self.with_peer(peer, |peer, did| {
                did.finished = true;
                peer.peer.shutdown_write();
            }),
            Step::Close { peer } => self.with_peer(peer, |peer, did| {
                (did.finished, did.broke) = (true, true);
                peer.peer.close();
            }),
            Step::Reset { peer } => self.with_peer(peer, |peer, did| {
                did.broke = true;
                did.reset |= matches!(peer.peer.ending(), None | Some(Ending::Fin));
                peer.peer.reset();
            }),
            Step::Vanish { peer } => self.with_peer(peer, |peer, _| {
                peer.vanished = true;
                peer.peer.vanish();
            }),
            Step::Read { peer, how } => self.with_peer(peer, |peer, _| {
                peer.peer.read(how);
            }),
            Step::Run { micros } => {
                let end = self.world.now() + Duration::from_micros(micros);
                while self.world.now() < end {
                    if self.turn(end.saturating_sub(self.world.now()))?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            Step::Reconfigure { seed } => {
                self.limits = self.limits.changed(seed);
                self.budget = self.budget.max(self.limits.queue_budget);
                for reactor in 0..self.handle.reactors() {
                    self.world.handler_mut(reactor).change(self.limits);
                }
                let config = self.limits.config();
                self.world.reconfigure(config).map_err(|error| error.to_string())?;
            }
            Step::FailAccepts { error } => self.world.fail_every_accept(self.addr, Some(error)),
            Step::BreakListener => {
                self.listens = false;
                self.world.break_listener(self.addr);
            }
            Step::CloseListener { again } => self.close_listener(again)?,
            Step::Post { conn } => self.post(conn),
            Step::Connect { seed } => self.connect(seed),
            Step::Suspend { close } => {
                let how =
                    if close { Suspension::CloseListeners } else { Suspension::KeepListening };
                self.world.suspend(how);
                self.ledger.borrow_mut().suspended = true;
            }
            Step::Resume => self.resume()?,
            Step::Drain { millis } => {
                // By the first reactor's clock: those of the others may be behind it.
                let now = self.world.reactor().context().now() - CLOCKS_DIFFER;
                self.handle.drain(Duration::from_millis(millis));
                let timeout = Duration::from_millis(millis);
                let draining = &mut self.ledger.borrow_mut().draining;
                let (_, least) = draining.get_or_insert((now, timeout));
                *least = timeout.min(*least);
            }
            Step::Replace { panics } => self.replace(panics)?,
            Step::StopFromOutside => {
                self.ledger.borrow_mut().stopping = true;
                self.handle.stop();
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The second listener is closed, and perhaps another takes its address.
    fn close_listener(&mut self, again: bool) -> Result<(), String> {
        let was_there = self.world.close_listener(self.second);
        let (is_ending, tag) = {
            let ledger = self.ledger.borrow();
            (ledger.draining.is_some() || ledger.stopping, ledger.newest_tag + 1)
        };
        let agreed = was_there == self.second_listens || is_ending;
        expect(agreed, || format!("the second listener was there: {was_there}"))?;
        self.second_listens = false;
        if again {
            let options = second_listener(self.second, &self.limits, tag);
            match self.world.listen(options) {
                Ok(addr) if addr == self.second => {
                    self.second_listens = true;
                    self.ledger.borrow_mut().newest_tag = tag;
                }
                other => expect(is_ending, || format!("cannot listen again: {other:?}"))?,
            }
        }
        Ok(())
    }

    fn post(&mut self, conn: usize) {
        let ids = &self.ledger.borrow().ids;
        if ids.is_empty() {
            return;
        }
        let id = ids[conn % ids.len()];
        self.posts.sent += 1;
        let closure = move |reactor: &mut Context<'_>| {
            reactor.with_handler(|actor: &mut Actor, reactor| actor.posted(reactor, id));
        };
        let posted = self.handle.post(id, closure);
        self.posts.returned += usize::from(posted.is_err());
    }

    fn connect(&mut self, seed: u64) {
        let Some((addrs, timeout)) = self.ledger.borrow_mut().plan(seed) else { return };
        let reactors = self.world.reactors();
        let reactor = seed as usize % reactors.len();
        let reactor = &mut reactors[reactor];
        let now = reactor.context().now();
        let options = dials::options(timeout, seed);
        let mut context = reactor.context();
        let id = context.connect(&addrs, &options);
        if context.get(id).is_some() {
            self.ledger.borrow_mut().begin(id, Dial::new(addrs, timeout, now));
        }
    }

    /// A dialled connection that was accepted is a peer like others.
    fn meet_the_called(&mut self) {
        for peer in self.world.dialled().into_iter().skip(self.met) {
            self.met += 1;
            self.peers.push(Dialled { peer, read: 0, vanished: false });
        }
    }

    fn resume(&mut self) -> Result<(), String> {
        let result = self.world.resume();
        self.ledger.borrow_mut().suspended = false;
        let (draining, stopping) = {
            let ledger = self.ledger.borrow();
            (ledger.draining.is_some(), ledger.stopping)
        };
        expect(result.is_ok() || draining || stopping, || format!("cannot resume: {result:?}"))
    }

    fn replace(&mut self, panics: bool) -> Result<(), String> {
        for reactor in 0..self.handle.reactors() {
            let former = self.world.handler_mut(reactor);
            let new = Actor {
                ledger: Rc::clone(&former.ledger),
                limits: former.limits,
                former: former.former.clone(),
                reactions: former.reactions.clone(),
                version: former.version + 1,
                index: former.index,
                reactors: former.reactors,
            };
            let mut states = 0;
            let result = self.world.replace(reactor, new, |id, state| {
                assert_eq!(state.id, id);
                states += 1;
                if panics && states == 2 {
                    std::panic::panic_any(SCRIPTED);
                }
                Some(state.migrated())
            });
            let failed = panics && states == 2;
            expect(result.is_err() == failed, || "it was not as replaced as it should be".into())?;
        }
        Ok(())
    }

    fn dial(&mut self, ip: u8) {
        let port = 1_000 + u16::try_from(self.peers.len()).expect("scripts are short");
        let from = SocketAddr::from(([192, 168, 0, ip], port));
        let dials_second = self.peers.len() % 3 == 2;
        let to = if dials_second { self.second } else { self.addr };
        let peer = self.world.dial_from(from, to);
        let mut ledger = self.ledger.borrow_mut();
        let least_tag = dials_second.then_some(ledger.newest_tag);
        ledger.peers.insert(peer.addr(), PeerDid { least_tag, ..PeerDid::default() });
        drop(ledger);
        self.peers.push(Dialled { peer, read: 0, vanished: false });
    }

    fn with_peer(&mut self, number: usize, act: impl FnOnce(&mut Dialled, &mut PeerDid)) {
        let count = self.peers.len();
        let peer = &mut self.peers[number % count];
        let mut ledger = self.ledger.borrow_mut();
        let did = ledger.peers.get_mut(&peer.peer.addr()).expect("it has dialled");
        act(peer, did);
    }

    /// One turn, and a look at everything.
    fn turn(&mut self, timeout: Duration) -> Flow {
        let flow = self.world.turn(timeout);
        self.meet_the_called();
        self.check()?;
        Ok(flow)
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(violation) = self.ledger.borrow().violations.first() {
            return Err(violation.clone());
        }
        self.check_stats()?;
        self.check_limits()?;
        self.check_memory()?;
        for peer in &mut self.peers {
            check_stream(peer, &mut self.ledger.borrow_mut(), self.world.now())?;
        }
        Ok(())
    }

    /// The memory budget is exceeded by what one callback sends or leaves, and no more.
    fn check_memory(&self) -> Result<(), String> {
        let ledger = self.ledger.borrow();
        let reactors = self.world.handle().reactors();
        let most_left = ledger.peers.values().map(|did| did.sent).max().unwrap_or_default();
        let most = self.budget + reactors * (ledger.most_said + most_left) + ledger.last_words;
        let waiting = self.world.stats().waiting_bytes;
        expect(waiting <= most as u64, || {
            format!("{waiting} bytes wait, with a budget of {}", self.budget)
        })
    }

    /// No connection is served beyond the limits.
    fn check_limits(&mut self) -> Result<(), String> {
        let Limits { connections, per_ip, .. } = self.limits;
        let open = self.world.stats().open;
        let ledger = self.ledger.borrow();
        let most = connections + ledger.outbound();
        expect(open <= most as u64, || format!("{open} connections of {most}"))?;
        let served = ledger.lives.values().filter(|life| life.opened && !life.closed);
        let served = served.filter(|life| !life.outbound);
        let ips: Vec<_> = served.filter_map(|life| life.peer).map(|peer| peer.ip()).collect();
        expect(ips.len() <= connections, || format!("{} are served of {connections}", ips.len()))?;
        if let Some(most) = self.limits.overrides.connections {
            let crowded = (1..=ledger.newest_tag).find(|tag| ledger.count_tagged(*tag) > most);
            expect(crowded.is_none(), || format!("more than {most} came by listener {crowded:?}"))?;
        }
        let Some(limit) = per_ip else { return Ok(()) };
        let crowded =
            ips.iter().find(|ip| ips.iter().filter(|other| other == ip).count() > limit as usize);
        expect(crowded.is_none(), || format!("more than {limit} from {crowded:?}"))
    }

    fn check_stats(&mut self) -> Result<(), String> {
        let sockets = self.world.open_sockets() as u64;
        let traffic = self.world.traffic();
        let stats = self.world.stats();
        let refused = stats.refused_full + stats.refused_per_ip + stats.refused_rate;
        let known = stats.open + stats.closed + stats.unregistered + refused;
        // With several reactors some may be on their way from one to another.
        let is_alone = self.handle.reactors() == 1;
        let come = stats.accepted + stats.dialled;
        let sum = if is_alone { come == known } else { come >= known };
        // A connection that is being opened has no socket between two addresses.
        let held = stats.open + come.saturating_sub(known);
        let without = self.ledger.borrow().dials.without_socket() as u64;
        let held = sockets <= held && held <= sockets + without;
        self.check_dials()?;
        expect(sum, || format!("the stats do not add up: {stats:?}"))?;
        expect(held, || format!("{} open, {sockets} sockets", stats.open))?;
        let counted = (stats.bytes_in, stats.bytes_out);
        expect(counted == traffic, || format!("{counted:?} bytes counted of {traffic:?}"))
    }

    fn check_dials(&self) -> Result<(), String> {
        let (ledger, stats) = (self.ledger.borrow(), self.world.stats());
        let (all, late, failed) =
            (ledger.dials.len(), ledger.dials.late(), ledger.dials.count_failed());
        let dialled = (all - late) as u64..=all as u64;
        expect(dialled.contains(&stats.dialled), || {
            format!("{} of {dialled:?} dials are counted", stats.dialled)
        })?;
        expect(stats.not_connected == failed as u64, || {
            format!("{} of {failed} failures are counted", stats.not_connected)
        })
    }

    fn run_until_still(&mut self) -> Flow {
        const TURNS: usize = 500_000;
        for _ in 0..TURNS {
            let Some(after) = self.world.next_move() else {
                return Ok(ControlFlow::Continue(()));
            };
            if self.turn(after)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Err(format!("it never comes to rest: {:?}", self.world.stats()))
    }

    /// Nothing goes wrong any more, all peers read, and all deadlines pass.
    fn calm_down(&mut self) -> Flow {
        self.world.calm();
        self.world.fail_every_accept(self.addr, None);
        self.ledger.borrow_mut().calm = true;
        if self.ledger.borrow().suspended {
            self.resume()?;
        }
        for peer in &mut self.peers {
            peer.peer.read(Reading::AtOnce);
        }
        // Between rests there are deadlines: an acceptor that pauses, connections that linger, SYNs.
        let wait = Duration::from_secs(1).max(self.limits.longest()) + Duration::from_secs(1);
        let is_dialling = self.ledger.borrow().dials.undecided() > 0;
        let wait = if is_dialling { wait.max(dials::LONGEST) } else { wait };
        let is_draining = self.ledger.borrow().draining.is_some();
        let wait = if is_draining { wait.max(LONGEST_DRAIN) } else { wait };
        // With few places, the waiting clients get theirs one after the other.
        for _ in 0..3 + self.peers.len() {
            if self.run_until_still()?.is_break() || self.take(run_for(wait))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if let Some(began) = self.ledger.borrow().draining {
            return Err(format!("it never ends its draining, since {began:?}"));
        }
        self.run_until_still()
    }

    /// All that is owed has arrived.
    fn check_liveness(&mut self) -> Result<(), String> {
        let now = self.world.reactor().context().now();
        let ledger = self.ledger.borrow();
        let is_late = |due: &Instant| *due + Duration::from_millis(10) < now;
        expect(!ledger.ticks.values().any(is_late), || "a reactor's timer is late".to_owned())?;
        // Input that its handler never takes, as it has paused the connection, keeps all others from being read.
        let paused = ledger.lives.values().filter(|life| !life.closed && life.is_paused());
        let hoarded: usize = paused.map(|life| life.shown - life.taken).sum();
        let is_hoarded = hoarded >= (self.limits.queue_budget / 2).max(1);
        let (mut open, mut kept, mut held_back) = (0, 0, false);
        for id in &ledger.ids {
            let life = &ledger.lives[id];
            let addr = life.peer.expect("it was opened");
            let peer = self.peers.iter().find(|peer| peer.peer.addr() == addr);
            let peer = peer.expect("there is no other client");
            let did = &ledger.peers[&addr];
            if life.refused || life.closed {
                expect(peer.vanished || peer.peer.ending().is_some(), || {
                    format!("{id}: it has ended, and its peer does not know")
                })?;
                let lost = peer.peer.ending() != Some(Ending::Fin) || peer.read != life.sent.len();
                expect(!life.owed_a_fin || peer.vanished || did.broke || !lost, || {
                    let (read, sent) = (peer.read, life.sent.len());
                    format!("{id}: closed in order, but {read} of {sent} bytes have arrived")
                })?;
                continue;
            }
            open += 1;
            if peer.vanished || (is_hoarded && !life.is_paused()) {
                held_back = true;
                continue; // it may have ended too, but for the bytes that it does not take, or that are not read
            }
            expect(!life.timers.values().any(is_late), || format!("{id}: a timer is late"))?;
            let Limits { first_byte, idle, max_age, max_input, .. } = self.limits.of(life.tag);
            expect(max_age.is_none(), || format!("{id}: it is too old"))?;
            expect(idle.is_none() || life.is_paused(), || format!("{id}: it is idle"))?;
            expect(
                first_byte.is_none()
                    || life.outbound
                    || life.is_paused()
                    || life.finished
                    || did.sent > 0,
                || format!("{id}: not a byte has come"),
            )?;
            let asked = life.asked_to_close || life.asked_to_abort || life.asked_to_fail;
            expect(!(asked || life.asked_to_panic), || {
                format!("{id}: it was asked to end, and is still open")
            })?;
            expect(life.is_paused() || life.shown - life.taken <= max_input, || {
                format!("{id}: {} bytes of input are kept", life.shown - life.taken)
            })?;
            expect(!did.reset, || format!("{id}: the peer's reset was not seen"))?;
            expect(did.broke || peer.read == life.sent.len(), || {
                format!("{id}: {} of {} bytes have arrived", peer.read, life.sent.len())
            })?;
            let knows = did.broke || peer.peer.ending() == Some(Ending::Fin);
            expect(!life.has_finished || knows, || {
                format!("{id}: its handler has finished, and the peer does not know")
            })?;
            kept += life.shown - life.taken;
            if life.is_paused() {
                held_back = true;
                continue;
            }
            expect(life.shown == did.sent, || {
                format!("{id}: the handler was shown {} of {} bytes", life.shown, did.sent)
            })?;
            expect(!life.owed_a_call, || {
                format!("{id}: the handler was not called again for what it had left")
            })?;
            expect(!life.owed_a_drain, || {
                format!("{id}: its queue is empty, and it was not told")
            })?;
            expect(life.finished == did.finished, || {
                format!("{id}: the peer has finished, and the handler does not know")
            })?;
        }
        let undecided = ledger.dials.undecided();
        expect(undecided == 0, || format!("{undecided} dials have come to no end"))?;
        let forgotten = self.peers.iter().find(|peer| {
            let known = ledger.lives.values().any(|life| life.peer == Some(peer.peer.addr()));
            !known && ledger.was_called(peer.peer.addr()) && peer.is_waiting()
        });
        expect(forgotten.is_none(), || "a dialled connection was forgotten".to_owned())?;
        drop(ledger);
        self.check_all_were_accepted()?;
        let (stats, bodies) = (self.world.stats(), self.ledger.borrow().bodies.in_memory());
        let waiting = stats.waiting_bytes;
        expect(held_back || bodies == 0, || format!("{bodies} shared bodies are kept"))?;
        expect(held_back || waiting == kept as u64, || {
            format!("{waiting} bytes are counted as waiting, of {kept}")
        })?;
        expect(stats.open == open, || {
            format!("{} slots are taken by {open} connections", stats.open)
        })
    }

    fn check_all_were_accepted(&mut self) -> Result<(), String> {
        let waiting = |peer: &&Dialled| {
            let ledger = self.ledger.borrow();
            let known = ledger.lives.values().any(|life| life.peer == Some(peer.peer.addr()));
            !known && peer.is_waiting() && !ledger.was_called(peer.peer.addr())
        };
        let is_there = |life: &Life| life.opened && !life.closed;
        let outbound = self.ledger.borrow().count_outbound(is_there) as u64;
        let room = self.world.stats().open - outbound < self.limits.connections as u64;
        let may_wait = self.limits.when_full == WhenFull::Wait && !room;
        let ledger = self.ledger.borrow();
        let most = self.limits.overrides.connections;
        let is_crowded = most.is_some_and(|most| ledger.count_tagged(ledger.newest_tag) >= most);
        let has_to_be_accepted = |peer: &&Dialled| match ledger.peers[&peer.peer.addr()].least_tag {
            Some(_) => self.second_listens && !is_crowded,
            None => self.listens,
        };
        let forgotten = self.peers.iter().filter(waiting).find(has_to_be_accepted);
        match forgotten.filter(|_| !may_wait) {
            Some(peer) => Err(format!("{} was never accepted", peer.peer.addr())),
            None => Ok(()),
        }
    }

    fn check_report(&mut self) -> Result<(), String> {
        let report = self.world.report().ok_or("there is no report")?;
        let closed = self.world.stats().closed;
        expect(report.finished + report.cut <= closed, || format!("{report} of {closed}"))?;
        expect(report.unsent == 0 || report.cut > 0, || format!("{report}"))
    }

    /// After the reactor has stopped nothing is left.
    fn stop(&mut self) -> Result<(), String> {
        self.ledger.borrow_mut().stopping = true;
        self.handle.stop();
        let flow = self.turn(Duration::ZERO)?;
        expect(flow.is_break(), || "it does not stop".to_owned())?;
        let Posts { sent, returned } = self.posts;
        let run = self.ledger.borrow().posts_run;
        expect(run + returned == sent, || {
            format!("{run} posts run and {returned} returned of {sent}")
        })?;
        self.check_report()?;
        let ledger = self.ledger.borrow();
        let refused = ledger.lives.values().filter(|life| life.refused).count() as u64;
        let counted = self.world.stats().refused;
        expect(counted == refused, || format!("{counted} of {refused} refusals were counted"))?;
        for id in &ledger.ids {
            let life = &ledger.lives[id];
            expect(life.opened == life.closed, || format!("{id}: no on_close: {life:?}"))?;
        }
        let undecided = ledger.dials.undecided();
        expect(undecided == 0, || format!("nothing has followed on {undecided} dials"))?;
        ledger.dials.check_dials(&self.world.dial_attempts())?;
        drop(ledger);
        let (sockets, stats) = (self.world.open_sockets(), self.world.stats());
        let (open, waiting) = (stats.open, stats.waiting_bytes);
        let bodies = self.ledger.borrow().bodies.in_memory();
        expect(sockets == 0 && open == 0 && waiting == 0 && bodies == 0, || {
            format!("{sockets} sockets, {open} slots, {waiting} bytes, {bodies} bodies are left")
        })
    }
}

fn second_listener(addr: impl ToSocketAddrs, limits: &Limits, tag: u64) -> ListenOptions {
    let options = ListenOptions::new(addr).backlog(limits.backlog);
    options.tag(tag).overrides(limits.overrides.config())
}

fn run_for(time: Duration) -> Step {
    Step::Run { micros: u64::try_from(time.as_micros()).unwrap_or(u64::MAX) }
}

fn expect(so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(what()) }
}

/// What a peer gets is what was sent to it, from the first byte on, and all of it if it sees a FIN.
fn check_stream(peer: &mut Dialled, ledger: &mut Ledger, now: Duration) -> Result<(), String> {
    let new = peer.peer.take_received();
    let ended = peer.peer.ending() == Some(Ending::Fin);
    if new.is_empty() && !ended {
        return Ok(());
    }
    let addr = peer.peer.addr();
    if let Some(did) = ledger.peers.get_mut(&addr).filter(|_| !new.is_empty()) {
        did.read_at = now;
    }
    let found = ledger.ids.iter().find(|id| ledger.lives[id].peer == Some(addr));
    if found.is_none() && new.is_empty() && ledger.was_called(addr) {
        return Ok(()); // its call was given up before anybody knew that it had been taken
    }
    let id = found.ok_or_else(|| format!("{addr} was served before on_open"))?;
    let sent = &ledger.lives[id].sent;
    let end = peer.read + new.len();
    expect(sent.get(peer.read..end) == Some(&new[..]), || {
        format!("{id}: bytes {}..{end} are not those that were sent to it", peer.read)
    })?;
    peer.read = end;
    expect(!ended || end == sent.len(), || {
        format!("{id}: a FIN after {end} of {} bytes", sent.len())
    })
}
