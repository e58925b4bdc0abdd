//! A constant as a step.

use super::{Step, StepInfo};
use crate::context::Context;
use crate::error::Result;
use std::fmt;
use std::marker::PhantomData;

/// A step that always returns the same value; made by [`value`].
#[must_use = "a step does nothing until it runs"]
pub struct Constant<In, T> {
    value: T,
    input: PhantomData<fn(In)>,
}

impl<In, T: fmt::Debug> fmt::Debug for Constant<In, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constant").field("value", &self.value).finish()
    }
}

impl<In, T: Clone> Clone for Constant<In, T> {
    fn clone(&self) -> Self {
        Constant { value: self.value.clone(), input: PhantomData }
    }
}

/// Returns a step that ignores its input and returns `value`: the last resort of a fallback.
pub fn value<In, T>(value: impl Into<T>) -> Constant<In, T>
where
    In: Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    Constant { value: value.into(), input: PhantomData }
}

impl<In: Send + 'static, T: Clone + Send + Sync + 'static> Step for Constant<In, T> {
    type In = In;
    type Out = T;

    async fn run(&self, _: In, _: &Context) -> Result<T> {
        Ok(self.value.clone())
    }

    fn info(&self) -> StepInfo<'_> {
        StepInfo::default().idempotent()
    }
}
