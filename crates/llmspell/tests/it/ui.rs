//! What the compiler says to the mistakes that newcomers make.

/// The messages are those of Rust 1.95; other compilers word them otherwise, and the test passes them over.
#[test]
fn mistakes_are_explained() {
    let rustc = std::process::Command::new("rustc").arg("--version").output().expect("rustc");
    let version = String::from_utf8_lossy(&rustc.stdout).into_owned();
    if !version.starts_with("rustc 1.95.") {
        println!("passed over: the snapshots are of 1.95, and this is {version}");
        return;
    }
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
}
