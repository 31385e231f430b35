//! What several benches need. Each of them uses a part of it.

#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod binary;
pub(crate) mod failure;
pub(crate) mod figures;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod servers;
pub(crate) mod table;

/// Raises the limit of open files to the hard limit, for this process and its children.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, the connection that fails says how far it went.
    let _ = setrlimit(Resource::Nofile, limit);
}
