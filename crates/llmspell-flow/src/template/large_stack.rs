//! Stack for long expressions.
//!
//! The library recurses once for each link of a chain, such as `1+1+1` when it parses it and `x[1:][1:]` when it
//! computes it. Threads have 2 MiB of stack, and an overflow ends the process.

/// The longest expression, in bytes. Computing one takes time that grows with its length.
pub(super) const MAX_EXPR_BYTES: usize = 4 << 10;

/// Expressions of at most this depth run on the stack of the caller. Deeper ones are rare.
pub(super) const SHALLOW: usize = 128;

/// Ample for the longest expression. Only the used part is taken from the system.
const STACK_BYTES: usize = 128 << 20;

/// Returns an upper bound of the recursion depth of an expression. Each link has an operator, a bracket, a dot or a
/// word such as `not`. Links inside of texts are counted as well, which does no harm.
pub(super) fn depth_estimate(expression: &str) -> usize {
    let punctuation = expression.bytes().filter(|byte| byte.is_ascii_punctuation() && !b"_'\"".contains(byte)).count();
    let is_operator_word = |word: &&str| matches!(*word, "not" | "and" | "or" | "if" | "else" | "is" | "in");
    punctuation + expression.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_operator_word).count()
}

/// Runs the work for an expression of this depth with enough stack. The error says why there is no such stack.
pub(super) fn with_stack_for<T: Send>(depth_estimate: usize, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if depth_estimate <= SHALLOW { Ok(work()) } else { with_large_stack(work) }
}

/// Runs the work on a large stack in any case: parsing steps nested in steps takes a lot of it.
pub(crate) fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| format!("there is no thread for it: {error}"))?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}
