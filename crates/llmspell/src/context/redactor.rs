//! Texts that are changed before anybody hears them.

use std::sync::Arc;

use serde_json::Value;

use super::Context;
use super::node::Facet;
use crate::observe::event::EventKind;

/// What stands for a text that must not be told as it is; `None` if it may.
pub(crate) type Redactor = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Context {
    /// This context, with what it tells of the work below it scrubbed: `scrub` is shown the message of every error in an
    /// [event](crate::Event) and every text in [partial output](Context::emit), and gives what is told instead, or `None`
    /// if there is nothing to hide.
    ///
    /// Readers of events, the report and readers of chunks never see what was there before, wherever in the work they
    /// were added. Each chunk is looked at by itself: what is cut across two of them is not found. Outcomes are not
    /// changed: whoever runs the work has them in his hands.
    ///
    /// ```
    /// use llmspell::{Context, Error, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cx = Context::recording();
    /// let quiet = cx.scrubbing(|text| text.contains("hunter2").then(|| text.replace("hunter2", "***")));
    /// let login = step(|(), _| async { Err::<(), _>(Error::denied("hunter2 is wrong")) }).named("login");
    /// let _ = login.run((), &quiet).await;
    /// let told = serde_json::to_string(&cx.events()).unwrap();
    /// assert!(told.contains("*** is wrong") && !told.contains("hunter2"));
    /// # });
    /// ```
    pub fn scrubbing(&self, scrub: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.child(Facet::Redactor(Arc::new(scrub)))
    }

    fn scrubs(&self) -> impl Iterator<Item = &Redactor> {
        self.chain().filter_map(|node| match &node.facet {
            Facet::Redactor(scrub) => Some(scrub),
            _ => None,
        })
    }

    pub(crate) fn scrubbed(&self, mut fact: EventKind) -> EventKind {
        let failures = fact.errors_mut();
        if !failures.is_empty() {
            for scrub in self.scrubs() {
                for failure in &mut *failures {
                    change(scrub, &mut failure.message);
                }
            }
        }
        fact
    }

    pub(super) fn scrub_value(&self, value: &mut Value) {
        self.scrubs().for_each(|scrub| walk(scrub, value));
    }
}

fn change(scrub: &Redactor, text: &mut String) {
    if let Some(scrubbed) = scrub(text) {
        *text = scrubbed;
    }
}

fn walk(scrub: &Redactor, value: &mut Value) {
    match value {
        Value::String(text) => change(scrub, text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(scrub, item)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(_, field)| walk(scrub, field));
            if fields.keys().any(|key| scrub(key).is_some()) {
                let all = std::mem::take(fields).into_iter();
                *fields = all.map(|(key, field)| (scrub(&key).unwrap_or(key), field)).collect();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
