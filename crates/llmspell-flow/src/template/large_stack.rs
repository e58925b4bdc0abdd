//! Stack for long expressions.
//!
//! The library goes one level deeper into the stack for each link of a chain, such as `1+1+1` when it reads it and
//! `x[1:][1:]` when it computes it. Threads have 2 MiB, and an overflow ends the process.

/// The longest expression, in bytes; computing one takes time that grows with it.
pub(super) const LONGEST: usize = 4 << 10;

/// Expressions with so many links do with the stack there is; others are rare.
pub(super) const FEW: usize = 128;

/// Plenty for the longest expression. Only what is used is taken from the system.
const STACK: usize = 128 << 20;

/// At least how many links the longest chain in an expression can have: each has an operator, a bracket, a dot
/// or a word such as `not`. Those inside of texts are counted, too; that does no harm.
pub(super) fn links(expression: &str) -> usize {
    let marks = expression.bytes().filter(|byte| byte.is_ascii_punctuation() && !b"_'\"".contains(byte)).count();
    let is_link = |word: &&str| matches!(*word, "not" | "and" | "or" | "if" | "else" | "is" | "in");
    marks + expression.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_link).count()
}

/// Does the work for an expression with so many links where there is stack enough; the error says why there is
/// not.
pub(super) fn roomy<T: Send>(links: usize, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if links <= FEW { Ok(work()) } else { with_room(work) }
}

/// Does the work where there is stack enough, whatever it is: steps nested in steps take a lot of it to read.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| format!("there is no thread for it: {error}"))?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}
