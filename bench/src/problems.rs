//! The problems of a run, and what to do about them.

use super::error_kind::{ErrorKind, NO_MEMORY, NO_PORT};
use super::plan::Plan;
use super::sources::{as_reached, how_to_add};
use super::tally::Tally;

/// One line for each problem. There is none if the run is whole. Problems of the bench itself come first: the others
/// may follow from them.
pub(super) fn all(
    target: &str,
    plan: &Plan,
    tally: &Tally,
    obstacles: &[String],
    lag: Option<String>,
) -> Vec<String> {
    let is_behind = lag.is_some() && tally.messages > 0;
    let mut problems: Vec<_> = obstacles.iter().cloned().chain(lag).collect();
    let mut say = |line: String| problems.push(line);
    let Tally { failed, lost, wrong, unanswered, under_way, opening, unsent, .. } = *tally;
    let attempts = tally.opened + failed;
    if failed > 0 {
        let (kinds, advice) = (list(tally, ErrorKind::Connect), advice(target, plan, tally));
        say(format!("{failed} of {attempts} connections could not be opened: {kinds}{advice}"));
    }
    if lost > 0 {
        let (kinds, advice) = (list(tally, ErrorKind::Loss), advice_on_losses(tally));
        say(format!("{lost} connections were lost: {kinds}{advice}"));
    }
    if wrong > 0 {
        let first = tally.first_wrong.as_deref().unwrap_or("more came back than was sent");
        say(format!("{wrong} answers were wrong; the first: {first}"));
    }
    if unanswered > 0 {
        say(format!(
            "{unanswered} messages got no whole answer{}",
            why_unanswered(plan, lost, is_behind)
        ));
    }
    if under_way > 0 {
        say(format!("{under_way} messages were under way when the run was interrupted"));
    }
    if opening > 0 {
        say(format!("{opening} connections were being opened when the run was interrupted"));
    }
    if unsent > 0 {
        say(format!("{unsent} messages were not sent, as their connections were gone"));
    }
    let missing = u64::from(plan.connections).saturating_sub(attempts + opening);
    if missing > 0 {
        say(format!("{missing} of {} connections were not tried", plan.connections));
    }
    if tally.messages == 0 {
        say("no message was answered, so there are no results".to_owned());
    }
    problems
}

fn list(tally: &Tally, kind: ErrorKind) -> String {
    let of_it = tally.errors.iter().filter(|((at, _), _)| *at == kind);
    of_it.map(|((_, kind), count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", ")
}

/// What may help if connections cannot be opened.
fn advice(target: &str, plan: &Plan, tally: &Tally) -> String {
    let has = |wanted: &str| {
        tally.errors.keys().any(|(at, kind)| *at == ErrorKind::Connect && kind.contains(wanted))
    };
    if has(NO_PORT) {
        let target = target.parse().map(as_reached);
        let how_to_add = how_to_add(&target.into_iter().collect::<Vec<_>>());
        format!(
            "; {how_to_add}, or open fewer connections: a source has the ports of net.ipv4.ip_local_port_range, and a \
             connection that the bench closes keeps its port for a minute"
        )
    } else if has("open files") {
        "; raise the limit of open files (ulimit -n), or open fewer connections".to_owned()
    } else if has("refused") {
        format!("; does a server listen on {target}, and does it accept this many connections?")
    } else if has("timed out") {
        format!(
            "; the server did not accept them within {:?}: it may be at its limit of connections, or its \
             backlog too short for --ramp {}",
            plan.connect_timeout, plan.ramp
        )
    } else {
        String::new()
    }
}

fn advice_on_losses(tally: &Tally) -> String {
    let of_memory =
        tally.errors.get(&(ErrorKind::Loss, NO_MEMORY.to_owned())).copied().unwrap_or(0);
    let mut advice = String::new();
    if of_memory > 0 {
        advice += "; the bench queues no more bytes for a server that does not read: lower --rate, --size or \
                   --timeout";
    }
    if of_memory < tally.lost {
        advice += "; the server's log may say why";
    }
    advice
}

fn why_unanswered(plan: &Plan, lost: u64, is_behind: bool) -> String {
    let late = format!("within {:?} (--timeout)", plan.timeout);
    if is_behind {
        format!(" {late}: the bench sends more than the server answers in that time")
    } else if lost > 0 {
        format!(": not {late}, or their connections were lost before")
    } else {
        format!(" {late}: the server may be overloaded, or have stopped taking connections")
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::super::error_kind::cause_of_attempt;
    use super::*;

    fn say(tally: &Tally, obstacles: &[String]) -> Vec<String> {
        all("127.0.0.1:7", &Plan::sample(), tally, obstacles, None)
    }

    fn whole() -> Tally {
        Tally { opened: 10, messages: 5, ..Tally::default() }
    }

    #[test]
    fn where_nothing_is_wrong_nothing_is_said() {
        assert_eq!(say(&whole(), &[]), Vec::<String>::new());
    }

    #[test]
    fn each_want_has_its_line() {
        let mut tally = Tally {
            failed: 3,
            lost: 2,
            wrong: 1,
            unanswered: 4,
            unsent: 5,
            opened: 5,
            first_wrong: Some("there".to_owned()),
            ..whole()
        };
        tally.error(ErrorKind::Connect, "connection refused", 3);
        tally.error(ErrorKind::Loss, "connection reset", 2);
        let lines = say(&tally, &["interrupted".to_owned()]);
        let beginnings = [
            "interrupted",
            "3 of 8 connections could not be opened: 3 × connection refused; does a server",
            "2 connections were lost: 2 × connection reset",
            "1 answers were wrong; the first: there",
            "4 messages got no whole answer",
            "5 messages were not sent",
            "2 of 10 connections were not tried",
        ];
        assert_eq!(lines.len(), beginnings.len(), "{lines:?}");
        for (line, beginning) in lines.iter().zip(beginnings) {
            assert!(line.starts_with(beginning), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn ports_that_have_run_out_are_called_so() {
        for (step, errno) in [("connect", Errno::ADDRNOTAVAIL), ("bind", Errno::ADDRINUSE)] {
            let error = std::io::Error::from(errno);
            let mut tally = Tally { failed: 1, opened: 9, messages: 5, ..Tally::default() };
            tally.error(ErrorKind::Connect, &cause_of_attempt(step, &error), 1);
            assert!(say(&tally, &[])[0].contains("no free port; name more --source"));
        }
    }

    #[test]
    fn with_one_source_the_advice_does_not_ask_for_more() {
        let mut tally = Tally { failed: 1, opened: 9, messages: 5, ..Tally::default() };
        tally.error(ErrorKind::Connect, NO_PORT, 1);
        for target in ["[::1]:7", "[::]:7"] {
            let said = all(target, &Plan::sample(), &tally, &[], None);
            assert!(
                said[0].contains("no free port; have the server listen on 127.0.0.1"),
                "{said:?}"
            );
        }
        let said = all("a-name:7", &Plan::sample(), &tally, &[], None);
        assert!(said[0].contains("no free port; name more --source"), "{said:?}");
    }

    #[test]
    fn what_the_bench_itself_cannot_hold_is_not_laid_on_the_server() {
        let mut tally = Tally { lost: 2, ..whole() };
        tally.error(ErrorKind::Loss, NO_MEMORY, 2);
        let line = say(&tally, &[]).remove(0);
        assert!(line.starts_with("2 connections were lost: 2 × the bench's own limit of memory; "));
        assert!(line.contains("--rate") && !line.contains("log"), "{line}");
        tally.lost += 1;
        tally.error(ErrorKind::Loss, "connection reset", 1);
        assert!(say(&tally, &[])[0].ends_with("; the server's log may say why"));
    }

    #[test]
    fn what_the_bench_could_not_do_comes_before_what_follows_from_it() {
        let tally = Tally { unanswered: 4, ..whole() };
        let lines = all("127.0.0.1:7", &Plan::sample(), &tally, &[], Some("the bench".to_owned()));
        assert_eq!(lines[0], "the bench");
        assert!(
            lines[1].contains("the bench sends more than the server answers") && lines.len() == 2,
            "{lines:?}"
        );
    }
}
