//! Compiler messages for the mistakes of newcomers.

/// The snapshots are those of Rust 1.95. Other compilers word the messages differently, and the test skips
/// them.
#[test]
fn compile_errors_match_the_snapshots() {
    let rustc = std::process::Command::new("rustc").arg("--version").output().expect("rustc");
    let version = String::from_utf8_lossy(&rustc.stdout).into_owned();
    if !version.starts_with("rustc 1.95.") {
        println!("skipped: the snapshots are of 1.95, and this is {version}");
        return;
    }
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
}
