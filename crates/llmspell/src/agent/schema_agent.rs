//! Agents that answer with JSON whose schema is known only at run time.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::answer_format::{Check, SchemaFormat, short_name};
use super::run::Run;
use super::{Agent, Conversation, Typed, WithReply};
use crate::context::Context;
use crate::error::Result;
use crate::model::{Options, OutputFormat};
use crate::step::{Step, StepInfo};

/// An agent that answers with JSON of a schema; made by [`Agent::with_schema`].
///
/// It is a [`TypedAgent`](super::TypedAgent) without a Rust type, and has the same errors.
///
/// ```
/// use llmspell::agent::Agent;
/// use llmspell_test::ScriptedModel;
/// use llmspell::{Context, Step};
/// use serde_json::json;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let schema = json!({ "type": "object", "properties": { "spam": { "type": "boolean" } }, "required": ["spam"] });
/// let model = ScriptedModel::new("demo").says(r#"{ "spam": "yes" }"#).says(r#"{ "spam": true }"#);
/// let judge = Agent::builder(model).build()?.with_schema("verdict", schema, |answer| match answer["spam"].is_boolean() {
///     true => Ok(()),
///     false => Err("`spam` must be true or false".to_owned()),
/// });
/// let verdict = judge.run("You have won a prize!".into(), &Context::new()).await?;
/// assert_eq!(verdict, json!({ "spam": true }));
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct SchemaAgent {
    agent: Agent,
    options: Arc<Options>,
    format: Arc<SchemaFormat>,
}

impl SchemaAgent {
    pub(super) fn new(agent: Agent, name: &str, schema: Value, check: Box<Check>) -> Self {
        let name = short_name(name);
        let output = OutputFormat::Schema { name: name.clone(), schema: schema.clone() };
        let options = Options { output, ..Options::clone(&agent.0.options) };
        SchemaAgent { agent, options: Arc::new(options), format: Arc::new(SchemaFormat { name, schema, check }) }
    }

    /// Returns a step whose output also has the agent's reply, with its usage, turns and conversation.
    pub fn with_reply(self) -> WithReply<Self> {
        WithReply { agent: self }
    }

    async fn answer(&self, conversation: Conversation, cx: &Context) -> Result<Typed<Value>> {
        let run = Run::new(&self.agent.0, self.options.clone());
        let (value, reply) = run.run_conversation(conversation, &*self.format, cx).await?;
        Ok(Typed { value, reply })
    }
}

impl fmt::Debug for SchemaAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaAgent")
            .field("agent", &self.agent)
            .field("name", &self.format.name)
            .finish_non_exhaustive()
    }
}

impl Step for SchemaAgent {
    type In = Conversation;
    type Out = Value;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<Value> {
        Ok(self.answer(conversation, cx).await?.value)
    }

    fn info(&self) -> StepInfo<'_> {
        self.agent.info()
    }
}

impl Step for WithReply<SchemaAgent> {
    type In = Conversation;
    type Out = Typed<Value>;

    fn run(&self, conversation: Conversation, cx: &Context) -> impl Future<Output = Result<Typed<Value>>> + Send {
        self.agent.answer(conversation, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.agent.info()
    }
}
