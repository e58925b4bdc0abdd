//! Stack for long expressions.
//!
//! The library goes one level deeper into the stack for each link of a chain, such as `1+1+1` when it reads it and
//! `x[1:][1:]` when it computes it. Threads have 2 MiB, and an overflow ends the process.

/// The longest expression, in bytes; computing one takes time that grows with it.
pub(super) const LONGEST: usize = 4 << 10;

/// Expressions up to here do with the stack there is; longer ones are rare.
pub(super) const SHORT: usize = 256;

/// Plenty for the longest expression. Only what is used is taken from the system.
const STACK: usize = 128 << 20;

/// Does the work for an expression of `len` bytes where there is stack enough; the error says why there is not.
pub(super) fn roomy<T: Send>(len: usize, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if len <= SHORT {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| format!("there is no thread for it: {error}"))?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}
