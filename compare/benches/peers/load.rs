//! The load: `readyloop bench`, in a process of its own.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::sample;
use crate::common::binary;
use crate::common::failure::Failure;
use crate::common::process::Server;
use crate::grid::Load;
use crate::results::Sample;

/// Beyond the measured time: to open 19,000 connections, and for the last answers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What `readyloop bench` says of this server.
///
/// # Errors
/// If it cannot be run, or says that something was lost, wrong or not done.
pub(crate) fn run(
    server: &Server,
    load: Load,
    rate: Option<u64>,
    time: Duration,
) -> Result<Sample, Failure> {
    let mut command = Command::new(binary::readyloop()?);
    command.args(["bench", &server.addr.to_string(), "--json", "--threads", "1"]);
    command.args(["--pid", &server.id().to_string(), "--ramp", "20000"]);
    command.args(["--duration", &format!("{}ms", time.as_millis())]);
    command.args(flags(load, rate)?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (said, complained) = finish(command.spawn()?, time + TIMEOUT)?;
    if said.trim().is_empty() {
        let why = complained.lines().last().unwrap_or("without a word");
        return Err(format!("the load fails: {why}").into());
    }
    Ok(sample(&said, load)?)
}

fn flags(load: Load, rate: Option<u64>) -> Result<Vec<String>, Failure> {
    let text = match load {
        Load::Closed { connections, active, size, pipeline } => format!(
            "--connections {connections} --active {active} --size {size} --pipeline {pipeline}"
        ),
        Load::Open(_) => {
            let rate = rate.ok_or("there is no top rate to take a share of")?;
            format!("--connections 100 --size 64 --rate {rate}")
        }
        Load::Churn => "--churn --active 100 --size 64".to_owned(),
        Load::Idle { connections } => format!("--idle --connections {connections} --size 64"),
    };
    Ok(text.split(' ').map(str::to_owned).collect())
}

/// What it has written to standard output and standard error. It is killed when it takes too long.
fn finish(mut child: Child, most: Duration) -> Result<(String, String), Failure> {
    let mut stdout = child.stdout.take().ok_or("no pipe")?;
    let mut stderr = child.stderr.take().ok_or("no pipe")?;
    let said = thread::spawn(move || read_all(&mut stdout));
    let complained = thread::spawn(move || read_all(&mut stderr));
    let give_up = Instant::now() + most;
    while child.try_wait()?.is_none() {
        if Instant::now() > give_up {
            child.kill()?;
            child.wait()?;
            return Err(format!("the load did not end within {} s", most.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let joined = |thread: thread::JoinHandle<String>| thread.join().map_err(|_| "a reader panics");
    Ok((joined(said)?, joined(complained)?))
}

fn read_all(from: &mut impl Read) -> String {
    let mut text = String::new();
    // What cannot be read is no JSON either.
    let _ = from.read_to_string(&mut text);
    text
}
