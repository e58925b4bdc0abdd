//! Closures as steps.

use super::Step;
use crate::context::Context;
use crate::error::Result;
use std::fmt;
use std::marker::PhantomData;

/// An async closure as a step; made by [`step`].
#[must_use = "a step does nothing until it runs"]
pub struct FnStep<F, In, Fut> {
    function: F,
    signature: PhantomData<fn(In) -> Fut>,
}

// By hand, because closures are not `Debug`.
impl<F, In, Fut> fmt::Debug for FnStep<F, In, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnStep").field("function", &std::any::type_name::<F>()).finish()
    }
}

impl<F: Clone, In, Fut> Clone for FnStep<F, In, Fut> {
    fn clone(&self) -> Self {
        FnStep { function: self.function.clone(), signature: PhantomData }
    }
}

/// Returns a step that runs an async closure over an input and a [`Context`].
///
/// The context is passed by value; name it `_` if the closure does not use it.
///
/// ```
/// use llmspell::{Context, Step, step};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let double = step(|x: u32, _cx| async move { Ok(x * 2) });
/// assert_eq!(double.run(21, &Context::new()).await?, 42);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
pub fn step<F, In, Fut, Out>(function: F) -> FnStep<F, In, Fut>
where
    F: Fn(In, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out>> + Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    FnStep { function, signature: PhantomData }
}

impl<F, In, Fut, Out> Step for FnStep<F, In, Fut>
where
    F: Fn(In, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out>> + Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    type In = In;
    type Out = Out;

    fn run(&self, input: In, cx: &Context) -> impl Future<Output = Result<Out>> + Send {
        (self.function)(input, cx.clone())
    }
}
