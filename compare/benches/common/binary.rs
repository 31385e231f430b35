//! The `readyloop` binary, which another package of the workspace builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::common::failure::Failure;

/// The binary in its release build.
///
/// The first call builds it. Call it once before anything is measured.
///
/// # Errors
/// cargo cannot be run, or the build fails.
pub(crate) fn readyloop() -> Result<&'static Path, Failure> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|failure| failure.to_string()));
    built.as_deref().map_err(|text| text.clone().into())
}

fn build() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "readyloop-cli", "--bin", "readyloop"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err("the readyloop binary cannot be built".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    // The JSON of cargo has one message a line: doc.rust-lang.org/cargo/reference/external-tools.html.
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "readyloop").then_some(())?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo does not say where the readyloop binary is".into())
}
