//! `readyloop bench`: loads an echo server, and says what it does.

mod args;
mod content;
mod latency;
mod link;
mod plan;
mod plot;
mod report;
mod schedule;
mod series;
mod server_side;
mod share;
mod sizes;
mod sources;
mod table;
mod tally;
mod trouble;
