//! The floor: an epoll loop in C (`floor.c`), compiled when the bench begins.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/floor.c");

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("floor")
}

/// Returns which compiler it was, and how it was called.
///
/// # Errors
/// Why there is no floor.
pub(crate) fn compile() -> Result<String, String> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let failed = |what: &str| format!("no floor: {compiler} -O2 floor.c: {what}");
    let mut command = Command::new(&compiler);
    let output = command.arg("-O2").arg("-o").arg(binary()).arg(SOURCE).output();
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.lines().next().unwrap_or("it fails without a word")));
    }
    let version = Command::new(&compiler).arg("--version").output();
    let version = version.map_err(|error| failed(&error.to_string()))?.stdout;
    let first = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned();
    Ok(format!("{first} (-O2)"))
}
