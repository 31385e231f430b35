//! Answers.

use std::time::Duration;

use readyloop::Conn;

use super::state::{Driver, MORE, Phase, Place, SECOND};
use crate::echo_stream::Answer;
use crate::error_kind::ErrorKind;
use crate::events::Event;
use crate::latency::Latencies;
use crate::plan::Load;

impl Driver {
    /// Reads the bytes of an answer. Returns how many messages they complete.
    pub(super) fn receive(
        &mut self,
        conn: &mut Conn<'_>,
        place: usize,
        bytes: &[u8],
        now: u64,
    ) -> u64 {
        let Self { common, places, tally, latencies, .. } = self;
        let Place { stream, is_closing, .. } = &mut places[place];
        let before = stream.under_way();
        tally.bytes += bytes.len() as u64;
        let (mut wrong, mut difference) = (0, None);
        let result = stream.receive(
            &common.content,
            common.plan.verify,
            bytes,
            |answer| match answer {
                Answer::Right { since } => {
                    tally.messages += 1;
                    latencies.record(now.saturating_sub(since));
                }
                Answer::Wrong => wrong += 1,
            },
            |found| difference = difference.take().or(Some(found)),
        );
        let answered = (before - stream.under_way()) as u64;
        if let Some(difference) = difference {
            tally.first_wrong.get_or_insert_with(|| difference.to_string());
        }
        if result.is_err() {
            tally.wrong += 1;
            tally.error(ErrorKind::Message, "more came back than was sent", 1);
            *is_closing = true;
            conn.abort();
        }
        tally.wrong += wrong;
        tally.error(ErrorKind::Message, "wrong answer", wrong);
        answered
    }

    /// Continues the load after `answered` messages were answered.
    pub(super) fn go_on(&mut self, conn: &mut Conn<'_>, place: usize, answered: u64, now: u64) {
        match self.load() {
            Load::Idle => self.echo(&mut conn.reactor()),
            _ if self.places[place].is_closing => {}
            Load::Closed { .. } if self.phase == Phase::Running && now < self.end => {
                self.under_way += answered;
                for _ in 0..answered {
                    let message = self.places[place].stream.next(&self.common.content, now, now);
                    message.pieces().into_iter().for_each(|piece| conn.send(piece));
                }
            }
            // There is room again. The next message may be due much later.
            Load::Open { .. } if self.tally.held_back.is_some() => {
                conn.reactor().set_timer(Duration::ZERO, MORE);
            }
            Load::Closed { .. } | Load::Open { .. } => {}
            Load::Churn => {
                // Not `close`: what the server sends after its answer must be read.
                self.places[place].finished = Some(now);
                conn.shutdown_write();
            }
        }
        self.finish_if_done(&mut conn.reactor());
    }

    /// Reports the seconds that are over.
    pub(super) fn roll(&mut self, now: u64) {
        while now >= self.second_ends {
            self.tell_second();
        }
    }

    pub(super) fn tell_second(&mut self) {
        let latencies = std::mem::replace(&mut self.latencies, Box::new(Latencies::new()));
        self.tell(Event::Second { second: self.second, latencies });
        self.second += 1;
        self.second_ends += SECOND;
    }
}
