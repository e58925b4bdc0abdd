//! The consumer's side of a stream: outcomes one by one or all together.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;

use super::Streaming;
use crate::error::{Error, Result};
use crate::observe::outcome::Outcome;
use crate::step::Step;

impl<S: Step> Streaming<S> {
    /// Returns the next outcome, or `None` after the last one. By then no item is running.
    ///
    /// Tasks that an item has started itself, such as those of a nested stream, were asked to stop and end
    /// within moments.
    ///
    /// Cancel-safe: dropping the returned future loses no outcome.
    pub async fn next(&mut self) -> Option<Outcome<S::Out>> {
        poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    /// Returns all outcomes, in the order of delivery.
    ///
    /// To learn whether all inputs were admitted, keep the stream and call [`Streaming::stopped`] instead.
    pub async fn collect(mut self) -> Vec<Outcome<S::Out>> {
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Returns all results, in the order of delivery. The first failure cancels the items in flight.
    ///
    /// # Errors
    /// The first failure delivered; otherwise the reason why the stream [stopped](Streaming::stopped) before
    /// its source.
    pub async fn try_collect(mut self) -> Result<Vec<S::Out>> {
        let mut outs = Vec::new();
        while let Some(outcome) = self.next().await {
            match outcome.result {
                Ok(out) => outs.push(out),
                Err(error) => {
                    self.stop().await;
                    return Err(error);
                }
            }
        }
        match self.stopped() {
            Some(reason) => Err(reason.clone()),
            None => Ok(outs),
        }
    }

    /// Cancels everything in flight and waits until it has ended.
    pub async fn stop(mut self) {
        self.finish();
        while self.next().await.is_some() {}
    }

    /// Returns the number of items pulled from the source so far.
    pub fn pulled(&self) -> usize {
        self.pulled
    }

    /// Returns the number of outcomes delivered so far.
    pub fn delivered(&self) -> usize {
        self.delivered
    }

    /// Returns why the stream ended before its source, if a breaker or a budget admits no further input.
    ///
    /// Items in flight are delivered all the same; the remaining inputs of the source were not pulled.
    pub fn stopped(&self) -> Option<&Error> {
        self.gates.reason()
    }
}
