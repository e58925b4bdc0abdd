//! Agents that answer with a value of a Rust type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::answer_format::{Json, short_name};
use super::run::Run;
use super::{Agent, AgentReply, Conversation};
use crate::context::Context;
use crate::error::Result;
use crate::model::{Options, OutputFormat};
use crate::step::{Step, StepInfo};
use crate::tool::Arguments;

/// An agent that answers with a `T`; made by [`Agent::typed`].
///
/// The model is asked for JSON of the type's schema. If the answer is not a `T`, the model gets one chance to correct
/// it, in the same run: the agent's limits cover both turns.
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
/// assert_eq!((verdict.value, verdict.reply.turns), (Verdict { spam: true }, 2));
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
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for TypedAgent<T> {
    fn clone(&self) -> Self {
        TypedAgent { agent: self.agent.clone(), options: self.options.clone(), output: PhantomData }
    }
}

impl<T> fmt::Debug for TypedAgent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedAgent").field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// The answer of a [`TypedAgent`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Typed<T> {
    /// The answer.
    pub value: T,
    /// The reply that it was read from.
    pub reply: AgentReply,
}

impl<T: Arguments> TypedAgent<T> {
    pub(super) fn new(agent: Agent) -> Self {
        let output = OutputFormat::Schema { name: short_name(std::any::type_name::<T>()), schema: T::schema() };
        let options = Options { output, ..Options::clone(&agent.0.options) };
        TypedAgent { agent, options: Arc::new(options), output: PhantomData }
    }
}

impl<T: Arguments> Step for TypedAgent<T> {
    type In = Conversation;
    type Out = Typed<T>;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<Typed<T>> {
        let run = Run::new(&self.agent.0, self.options.clone());
        let (value, reply) = run.run_conversation(conversation, &Json(PhantomData), cx).await?;
        Ok(Typed { value, reply })
    }

    fn info(&self) -> StepInfo<'_> {
        self.agent.info()
    }
}
