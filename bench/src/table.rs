//! The report for people.

use std::fmt;

use super::error_kind::ErrorKind;
use super::latency::LatencyReport;
use super::numbers::{grouped, time};
use super::report::{Report, ServerReport};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.whole {
            writeln!(f, "INCOMPLETE: this run had problems")?;
            for problem in &self.problems {
                writeln!(f, "- {problem}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{}: {}", self.target, self.plan)?;
        writeln!(f)?;
        let line =
            |f: &mut fmt::Formatter<'_>, name: &str, text: String| writeln!(f, "{name:<16}{text}");
        line(f, "connections", self.connections())?;
        let messages = grouped(self.messages);
        line(f, "messages", format!("{messages} answered in {:.3} s", self.seconds))?;
        let rate = grouped(self.messages_per_second.round() as u64);
        let bytes = self.bytes_per_second / 1e6;
        line(f, "rate", format!("{rate} messages/s, {bytes:.1} MB/s each way"))?;
        if let Some(latency) = &self.latency_us {
            write_latency(f, "latency", latency)?;
        }
        if let Some(late) = &self.late_us {
            let LatencyReport { p50, p99, max, .. } = *late;
            let (p50, p99, max) = (time(p50), time(p99), time(max));
            line(f, "sent late", format!("p50 {p50}, p99 {p99}, max {max} (part of the latency)"))?;
        }
        for error in &self.errors {
            let name = match error.kind {
                ErrorKind::Connect => "not connected",
                ErrorKind::Loss => "lost",
                ErrorKind::Message => "bad answers",
            };
            line(f, name, format!("{} × {}", grouped(error.count), error.cause))?;
        }
        if let Some(server) = &self.server {
            write_server(f, server)?;
        }
        Ok(())
    }
}

impl Report {
    fn connections(&self) -> String {
        let open = &self.connections;
        let (opened, wanted) = (grouped(open.opened), grouped(open.wanted.into()));
        let wanted = if self.load.churns() {
            format!("{opened} opened, {wanted} at a time")
        } else {
            format!("{opened} of {wanted} opened")
        };
        format!("{wanted}, {} failed, {} lost", grouped(open.failed), grouped(open.lost))
    }
}

fn write_latency(f: &mut fmt::Formatter<'_>, name: &str, latency: &LatencyReport) -> fmt::Result {
    let rows = [
        ("min", latency.min),
        ("mean", latency.mean),
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("p99.99", latency.p9999),
        ("max", latency.max),
    ];
    for (index, (what, microseconds)) in rows.into_iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        writeln!(f, "{name:<16}{what:<8}{:>10}", time(microseconds))?;
    }
    Ok(())
}

fn write_server(f: &mut fmt::Formatter<'_>, server: &ServerReport) -> fmt::Result {
    write!(f, "{:<16}", format!("server {}", server.pid))?;
    match server.cpu_us_per_message {
        Some(total) => write!(f, "{total:.3} µs of processor time a message")?,
        None => write!(f, "processor time a message: not known")?,
    }
    if let (Some(user), Some(system)) = (server.user_us_per_message, server.system_us_per_message) {
        write!(f, " ({user:.3} user, {system:.3} system)")?;
    }
    writeln!(f)?;
    let resident = [
        (server.resident_bytes_per_connection, "while all are idle"),
        (server.resident_bytes_after_echo, "after one echo on each"),
    ];
    for (bytes, when) in resident {
        if let Some(bytes) = bytes {
            writeln!(f, "{:<16}{bytes:.1} resident bytes a connection, {when}", "")?;
        }
    }
    if let Some(why) = server.resident_unknown {
        writeln!(f, "{:<16}resident bytes a connection: not measurable: {why}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    #[test]
    fn a_whole_run_is_shown_with_its_figures() {
        let text = Report::sample(Outcome::sample()).to_string();
        for expected in [
            "127.0.0.1:7: closed loop: 10 connections, 4 active, 2 under way on each, 64 bytes a message",
            "connections     10 of 10 opened, 0 failed, 0 lost\n",
            "messages        1,000 answered in 2.000 s\n",
            "rate            500 messages/s, 0.0 MB/s each way\n",
            "                p99         990 µs\n",
            "                max        1.00 ms\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in:\n{text}");
        }
        assert!(!text.contains("INCOMPLETE"));
    }

    #[test]
    fn an_incomplete_run_begins_with_that_word_and_what_is_missing() {
        let mut outcome = Outcome::sample();
        outcome.obstacles.push("interrupted after 1 s".to_owned());
        outcome.tally.unanswered = 3;
        let text = Report::sample(outcome).to_string();
        assert!(text.starts_with("INCOMPLETE"), "{text}");
        assert!(text.contains("\n- interrupted after 1 s\n- 3 messages got no whole answer"));
    }
}
