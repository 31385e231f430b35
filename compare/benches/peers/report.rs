//! The results, in Markdown.

use std::fmt::Write;

use crate::common::figures::precise_spread;
use crate::grid::{Load, Row};
use crate::losses::loss;
use crate::measure::Measure;
use crate::results::{Place, Results};
use crate::targets::{FLOOR, targets};

/// All that is written about.
pub(crate) struct Report<'a> {
    pub(crate) results: &'a Results,
    pub(crate) rows: &'a [Row],
    /// The servers with one thread, and which of them is ours.
    pub(crate) single: Field,
    /// The same for two threads.
    pub(crate) double: Field,
    /// How the run was made: a sentence each.
    pub(crate) circumstances: Vec<String>,
    /// File and title of each.
    pub(crate) charts: Vec<(&'static str, &'static str)>,
}

pub(crate) struct Field {
    pub(crate) peers: Vec<&'static str>,
    pub(crate) ours: &'static str,
    /// How they were placed on the processors.
    pub(crate) placed: String,
}

#[derive(Clone, Copy)]
enum Column {
    Figure(Measure),
    /// The median of the rounds' ratios to the floor.
    ToFloor(Measure),
}

impl Report<'_> {
    pub(crate) fn markdown(&self) -> String {
        let mut text = "# readyloop beside its peers\n\n".to_owned();
        text += "Written by `cargo bench -p readyloop-compare --bench peers`, all in one run. Whatever is said here follows from \
                 its figures.\n\n";
        for sentence in &self.circumstances {
            text += &format!("- {sentence}\n");
        }
        text += &format!("\n## Targets\n\n{}", self.targets());
        text += &format!("\n## Where we lose\n\n{}", self.losses());
        text += &format!("\n{MEANINGS}");
        for (file, title) in &self.charts {
            text += &format!("\n![{title}]({file})\n");
        }
        for (title, field, is_double) in
            [("One thread", &self.single, false), ("Two threads", &self.double, true)]
        {
            let rows = self.rows.iter().filter(|row| row.is_double == is_double);
            let tables: String = rows.map(|row| self.table(row, field)).collect();
            if !tables.is_empty() {
                text += &format!("\n## {title}\n\n{}\n{tables}", field.placed.trim_end());
            }
        }
        text
    }

    /// Of which rows, and how many of them are met.
    pub(crate) fn targets(&self) -> String {
        let others: Vec<_> = self.single.others().collect();
        let mut text = "| target | this run says | met |\n|---|---|---|\n".to_owned();
        for target in targets() {
            let verdict = target.judge(self.results, &others);
            let met = match verdict.is_met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "cannot be told",
            };
            writeln!(text, "| {} | {} | {met} |", target.text, in_cell(&verdict.says))
                .expect("a string takes all");
        }
        text
    }

    fn losses(&self) -> String {
        let mut text = String::new();
        for row in self.rows {
            let field = self.field(row);
            let ours = Place { row: row.title, peer: field.ours };
            let others: Vec<_> = field.others().collect();
            if let Some(failure) = self.results.failure(ours) {
                text += &format!("- {}: {} has {failure}\n", row.title, ours.peer);
            }
            let measures = columns(row).into_iter().filter_map(Column::figure);
            // The rate of an open loop is a part of the load.
            let is_asked =
                |measure: &Measure| !matches!((row.load, measure), (Load::Open(_), Measure::Rate));
            for measure in measures.filter(is_asked) {
                if let Some(loss) = loss(self.results, ours, measure, &others) {
                    text += &format!("- {}\n", loss.sentence());
                }
            }
        }
        if text.is_empty() { "Nowhere in these rows.\n".to_owned() } else { text }
    }

    fn field(&self, row: &Row) -> &Field {
        if row.is_double { &self.double } else { &self.single }
    }

    fn table(&self, row: &Row, field: &Field) -> String {
        let columns = columns(row);
        let mut text = format!("\n### {}\n\n|  |", row.title);
        columns.iter().for_each(|column| text += &format!(" {} |", column.head(row.load)));
        text += &format!("\n|---|{}\n", "---|".repeat(columns.len()));
        let mut notes: Vec<String> = Vec::new();
        let places = field.peers.iter().map(|&peer| Place { row: row.title, peer });
        for at in places.filter(|at| self.results.has(*at)) {
            let peer = at.peer;
            text += &format!("| {peer} |");
            if let Some(failure) = self.results.failure(at) {
                text += &format!(" {} |{}\n", in_cell(&failure), " |".repeat(columns.len() - 1));
                continue;
            }
            for column in &columns {
                let cell = self.cell(at, *column).unwrap_or_else(|why| {
                    let note = format!("{}: {why}", column.head(row.load));
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                    String::new()
                });
                text += &format!(" {cell} |");
            }
            text.push('\n');
        }
        notes.iter().for_each(|note| text += &format!("\nEmpty: {note}.\n"));
        text
    }

    fn cell(&self, at: Place, column: Column) -> Result<String, String> {
        match column {
            Column::Figure(measure) => {
                Ok(precise_spread(&mut self.results.figures(at, measure)?, "", 3))
            }
            Column::ToFloor(measure) => {
                let floor = Place { peer: FLOOR, ..at };
                let mut ratios = self.results.ratios(at, floor, measure)?;
                Ok(precise_spread(&mut ratios.each, "", 3))
            }
        }
    }
}

impl Field {
    fn others(&self) -> impl Iterator<Item = &'static str> {
        self.peers.iter().copied().filter(|peer| *peer != self.ours)
    }
}

fn columns(row: &Row) -> Vec<Column> {
    use Column::{Figure, ToFloor};
    use Measure::{
        Busy, Calls, Late, Megabytes, P50, P99, P999, Rate, Resident, ResidentAfterEcho, Total,
        User,
    };
    if let Load::Idle { .. } = row.load {
        return vec![Figure(Resident), Figure(ResidentAfterEcho)];
    }
    let mut columns = vec![Figure(Rate)];
    if !matches!(row.load, Load::Open(_)) {
        columns.push(ToFloor(Rate));
    }
    if let Load::Closed { size: 1_024.., .. } = row.load {
        columns.push(Figure(Megabytes));
    }
    columns.extend([P50, P99, P999].map(Figure));
    if let Load::Open(_) = row.load {
        columns.push(Figure(Late));
    }
    if row.longer > 1 {
        columns.push(Figure(User));
    }
    columns.extend([Figure(Total), ToFloor(Total), Figure(Busy)]);
    if row.is_traced {
        columns.push(Figure(Calls));
    }
    columns
}

impl Column {
    fn figure(self) -> Option<Measure> {
        match self {
            Self::Figure(measure) => Some(measure),
            Self::ToFloor(_) => None,
        }
    }

    fn head(self, load: Load) -> String {
        let what = if load == Load::Churn { "connections" } else { "messages" };
        match self {
            Self::Figure(Measure::Rate) => format!("{what} {}", Measure::Rate.head()),
            Self::Figure(measure) => measure.head().to_owned(),
            Self::ToFloor(Measure::Rate) => "× the floor's".to_owned(),
            Self::ToFloor(measure) => format!("{}, × the floor's", measure.words()),
        }
    }
}

/// Nothing in there may end the cell.
fn in_cell(text: &str) -> String {
    text.replace('|', "/").replace('\n', " ")
}

const MEANINGS: &str = "\
## What the columns mean

Figures are medians of the rounds, in parentheses the least and the greatest. In each round every peer had the
same load, in turn and in another order each time, with a fresh server process for each row. A ratio to the
floor is the median of the ratios within each round, as what disturbs a round disturbs both. A server that failed in any
round of a row has no figures there, but says why.

- messages (connections) a second: what the load got done. It has one thread: where a server is not busy, this
  says more about the load than about the server, and its processor time counts.
- p50, p99, p99.9: of the time from the sending of a message to the last byte of its answer; in an open loop
  from the moment when the message was due, in the row of whole connections from the connecting.
- the load's own p99.9: how late it was itself in handing over the messages of an open loop. That is a part of
  the latencies, and not the server's doing.
- user, user + system: processor time of the server for each message (whole connection), all its threads
  together. The kernel counts the sum exactly and samples the proportion by its ticks, so user time is the less
  sure one, and only told of rows that are measured for longer.
- busy: that time as a part of one processor's. With two threads it may be above 100 %.
- resident bytes a connection: what the server's resident memory has grown by when all are open, and when each
  has echoed 64 B once; over their number.
- system calls: for each message (whole connection), counted by `strace -c -f` once, in a run apart, in which 100
  connections ask at a time; all threads together.
";
