//! What the compiler says to the mistakes that newcomers make.

/// The messages are those of one compiler; on another they may be worded otherwise.
#[test]
fn mistakes_are_explained() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/*.rs");
}
