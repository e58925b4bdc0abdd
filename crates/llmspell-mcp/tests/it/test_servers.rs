//! Test servers in processes of their own: this test binary, started again to run one ignored test.
//!
//! They are thus never older than the code under test. The output of the test harness is noise on their standard
//! output, which clients must tolerate anyway.

mod misbehaving;
mod peer;

use std::ffi::OsString;

/// The environment variable that selects the server.
pub(crate) const SERVE: &str = "LLMSPELL_MCP_TEST_SERVE";

/// Returns the arguments with which this binary serves.
pub(crate) fn arguments() -> [&'static str; 5] {
    ["--exact", "test_servers::server_process", "--ignored", "--nocapture", "--quiet"]
}

pub(crate) fn program() -> OsString {
    std::env::current_exe().unwrap().into_os_string()
}

#[test]
#[ignore = "the server process of other tests"]
fn server_process() {
    let Ok(selected) = std::env::var(SERVE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match selected.split_once(' ') {
        None if selected == "misbehaving" => runtime.block_on(misbehaving::serve()),
        None => runtime.block_on(peer::serve(None)).unwrap(),
        Some((_, address)) => runtime.block_on(peer::serve(Some(address))).unwrap(),
    }
    // A blocking thread may still wait for input.
    runtime.shutdown_background();
}
