//! Agents that answer with a value of a Rust type.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer_format::{Json, short_name};
use super::run::Run;
use super::{Agent, AgentReply, Conversation};
use crate::context::Context;
use crate::error::Result;
use crate::model::{Options, OutputFormat};
use crate::step::{Step, StepInfo};

/// An agent that answers with a `T`; made by [`Agent::typed`] and [`Agent::typed_from_schema`].
///
/// The model is asked for JSON of the type's schema. If the answer is not a `T`, the model gets one chance to correct
/// it, in the same run: the agent's limits cover both turns. [`TypedAgent::with_reply`] returns the reply as well.
///
/// ```
/// # #[cfg(feature = "schema")] {
/// use llmspell::agent::Agent;
/// use llmspell_test::ScriptedModel;
/// use llmspell::{Context, Step, schemars::JsonSchema};
///
/// #[derive(Debug, PartialEq, serde::Deserialize, JsonSchema)]
/// #[schemars(crate = "llmspell::schemars")]
/// struct Verdict {
///     spam: bool,
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let model = ScriptedModel::new("demo").says("It is spam.").says(r#"{ "spam": true }"#);
/// let judge = Agent::builder(model).build()?.typed::<Verdict>();
/// let verdict = judge.run("You have won a prize!".into(), &Context::new()).await?;
/// assert_eq!(verdict, Verdict { spam: true });
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// # }
/// ```
///
/// # Errors
/// The errors of the agent, and [`ErrorKind::Failed`](crate::ErrorKind::Failed) if the second answer is not a `T`
/// either. A [partial](super::AgentBuilder::partial) answer that is not a `T` does not count: the error is the limit
/// that was reached.
pub struct TypedAgent<T> {
    agent: Agent,
    options: Arc<Options>,
    format: Arc<Json<T>>,
}

impl<T> Clone for TypedAgent<T> {
    fn clone(&self) -> Self {
        TypedAgent { agent: self.agent.clone(), options: self.options.clone(), format: self.format.clone() }
    }
}

impl<T> fmt::Debug for TypedAgent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedAgent").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl<T> TypedAgent<T> {
    pub(super) fn new(agent: Agent, schema: Value) -> Self {
        let name = short_name(std::any::type_name::<T>());
        let output = OutputFormat::Schema { name, schema: schema.clone() };
        let options = Options { output, ..Options::clone(&agent.0.options) };
        TypedAgent { agent, options: Arc::new(options), format: Arc::new(Json::new(schema)) }
    }

    /// Returns a step whose output also has the agent's reply, with its usage, turns and conversation.
    pub fn with_reply(self) -> WithReply<Self> {
        WithReply { agent: self }
    }
}

impl<T: DeserializeOwned + Send + 'static> TypedAgent<T> {
    async fn answer(&self, conversation: Conversation, cx: &Context) -> Result<Typed<T>> {
        let run = Run::new(&self.agent.0, self.options.clone());
        let (value, reply) = run.run_conversation(conversation, &*self.format, cx).await?;
        Ok(Typed { value, reply })
    }
}

impl<T: DeserializeOwned + Send + 'static> Step for TypedAgent<T> {
    type In = Conversation;
    type Out = T;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<T> {
        Ok(self.answer(conversation, cx).await?.value)
    }

    fn info(&self) -> StepInfo<'_> {
        self.agent.info()
    }
}

/// A typed agent that also returns its reply; made by [`TypedAgent::with_reply`] and
/// [`SchemaAgent::with_reply`](super::SchemaAgent::with_reply).
///
/// ```
/// use llmspell::agent::Agent;
/// use llmspell_test::ScriptedModel;
/// use llmspell::{Context, Step};
/// use serde_json::json;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let schema = json!({ "type": "array", "items": { "type": "integer" } });
/// let model = ScriptedModel::new("demo").says("2, 3 and 5").says("[2, 3, 5]");
/// let primes = Agent::builder(model).build()?.typed_from_schema::<Vec<u32>>(schema).with_reply();
/// let answer = primes.run("The first three primes?".into(), &Context::new()).await?;
/// assert_eq!((answer.value, answer.reply.turns), (vec![2, 3, 5], 2));
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct WithReply<A> {
    pub(super) agent: A,
}

/// The output of [`WithReply`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Typed<T> {
    /// The answer.
    pub value: T,
    /// The reply that it was read from.
    pub reply: AgentReply,
}

impl<T: DeserializeOwned + Send + 'static> Step for WithReply<TypedAgent<T>> {
    type In = Conversation;
    type Out = Typed<T>;

    fn run(&self, conversation: Conversation, cx: &Context) -> impl Future<Output = Result<Typed<T>>> + Send {
        self.agent.answer(conversation, cx)
    }

    fn info(&self) -> StepInfo<'_> {
        self.agent.info()
    }
}
