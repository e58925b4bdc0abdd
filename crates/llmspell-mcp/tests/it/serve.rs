//! Servers to test with, in processes of their own: this very program, started again to run one of these tests alone.
//! So they are never older than what they test. What the test harness prints is noise on their standard output, and
//! clients have to bear that anyway.

mod ignores_cancel;
mod peer;

use std::ffi::OsString;

/// The variable that says what is to be served.
pub(crate) const SERVE: &str = "LLMSPELL_MCP_TEST_SERVE";

/// The arguments that bring this program to serve.
pub(crate) fn arguments() -> [&'static str; 5] {
    ["--exact", "serve::a_server_that_other_tests_start", "--ignored", "--nocapture", "--quiet"]
}

pub(crate) fn program() -> OsString {
    std::env::current_exe().unwrap().into_os_string()
}

#[test]
#[ignore = "no test, but the servers of the others"]
fn a_server_that_other_tests_start() {
    let Ok(what) = std::env::var(SERVE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match what.split_once(' ') {
        None if what == "heedless" => runtime.block_on(ignores_cancel::serve()),
        None => runtime.block_on(peer::serve(None)).unwrap(),
        Some((_, address)) => runtime.block_on(peer::serve(Some(address))).unwrap(),
    }
    // A thread may wait for input that never comes.
    runtime.shutdown_background();
}
