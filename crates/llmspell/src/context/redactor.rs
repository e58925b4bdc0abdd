//! Redaction of texts in events and partial output.

use std::sync::Arc;

use serde_json::Value;

use super::Context;
use super::node::NodeKind;
use crate::observe::event::EventKind;

/// A function that returns the redacted text, or `None` if there is nothing to redact.
pub(crate) type Redactor = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Context {
    /// Returns this context with `redact` applied to everything observed below it.
    ///
    /// `redact` is given the message of every error in an [event](crate::observe::Event) and every text in [partial
    /// output](Context::emit). It returns the redacted text, or `None` if there is nothing to redact.
    ///
    /// Event sinks, the report and readers of chunks see only redacted texts, wherever they were added. Each
    /// chunk is redacted on its own, so a secret split across two chunks is not found. Outcomes are not
    /// redacted, because they belong to the caller.
    ///
    /// ```
    /// use llmspell::{Context, Error, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cx = Context::recording();
    /// let redacting = cx.with_redactor(|text| text.contains("hunter2").then(|| text.replace("hunter2", "***")));
    /// let login = step(|(), _| async { Err::<(), _>(Error::denied("hunter2 is wrong")) }).named("login");
    /// let _ = login.run((), &redacting).await;
    /// let events =  serde_json::to_string(&cx.events()).unwrap();
    /// assert!(events.contains("*** is wrong") && !events.contains("hunter2"));
    /// # });
    /// ```
    pub fn with_redactor(&self, redact: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.child(NodeKind::Redactor(Arc::new(redact)))
    }

    fn redactors(&self) -> impl Iterator<Item = &Redactor> {
        self.chain().filter_map(|node| match &node.kind {
            NodeKind::Redactor(redact) => Some(redact),
            _ => None,
        })
    }

    pub(crate) fn redacted(&self, mut event: EventKind) -> EventKind {
        let failures = event.errors_mut();
        if !failures.is_empty() {
            for redact in self.redactors() {
                for failure in &mut *failures {
                    redact_text(redact, &mut failure.message);
                }
            }
        }
        event
    }

    pub(super) fn redact_value(&self, value: &mut Value) {
        self.redactors().for_each(|redact| redact_json(redact, value));
    }
}

fn redact_text(redact: &Redactor, text: &mut String) {
    if let Some(redacted) = redact(text) {
        *text = redacted;
    }
}

fn redact_json(redact: &Redactor, value: &mut Value) {
    match value {
        Value::String(text) => redact_text(redact, text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_json(redact, item)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(_, field)| redact_json(redact, field));
            if fields.keys().any(|key| redact(key).is_some()) {
                let all = std::mem::take(fields).into_iter();
                *fields = all.map(|(key, field)| (redact(&key).unwrap_or(key), field)).collect();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
