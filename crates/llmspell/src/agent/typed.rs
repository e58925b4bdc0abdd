//! Agents that answer with a Rust type.

use std::marker::PhantomData;
use std::sync::Arc;

use super::run::Run;
use super::{Agent, AgentReply, Conversation};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Options, OutputFormat};
use crate::step::Step;
use crate::tool::Arguments;

/// An agent that answers with a `T`; made by [`Agent::typed`].
///
/// The model is asked for JSON of the type's schema. If what it says is not a `T`, it is told what is wrong, and
/// has one more run to mend it.
///
/// ```
/// # #[cfg(feature = "schema")] {
/// use llmspell::agent::Agent;
/// use llmspell::model::ScriptedModel;
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
/// Those of the agent, and [`Kind::Failed`](crate::Kind::Failed) if the second answer is not a `T` either.
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

/// What a [`TypedAgent`] has answered.
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
        let name = std::any::type_name::<T>();
        let name = name.split('<').next().and_then(|name| name.rsplit("::").next()).unwrap_or("output");
        let output = OutputFormat::Schema { name: name.to_owned(), schema: T::schema() };
        let options = Options { output, ..Options::clone(&agent.0.options) };
        TypedAgent { agent, options: Arc::new(options), output: PhantomData }
    }

    async fn ask(&self, conversation: Conversation, cx: &Context) -> Result<AgentReply> {
        Run::new(&self.agent.0, self.options.clone()).converse(conversation, cx).await
    }
}

impl<T: Arguments> Step for TypedAgent<T> {
    type In = Conversation;
    type Out = Typed<T>;

    async fn run(&self, conversation: Conversation, cx: &Context) -> Result<Typed<T>> {
        let first = self.ask(conversation, cx).await?;
        let complaint = match read(&first.text) {
            Ok(value) => return Ok(Typed { value, reply: first }),
            Err(complaint) => complaint,
        };
        let mut conversation = first.conversation;
        conversation.user(format!(
            "That is not what was asked for: {complaint}. Answer with nothing but JSON of this schema: {}",
            T::schema()
        ));
        let mut reply = self.ask(conversation, cx).await?;
        reply.usage += first.usage;
        reply.turns += first.turns;
        reply.tool_calls += first.tool_calls;
        match read(&reply.text) {
            Ok(value) => Ok(Typed { value, reply }),
            Err(complaint) => {
                let name = std::any::type_name::<T>();
                let error = Error::failed(format!("the model did not answer with a {name}: {complaint}"));
                Err(error.with_hint("describe the fields in the type's documentation, or use a more capable model"))
            }
        }
    }
}

/// The value in an answer, which some models put between words or into a block of code.
fn read<T: Arguments>(text: &str) -> Result<T, String> {
    let text = text.trim();
    let complaint = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(complaint) => complaint,
    };
    let fenced = text.split_once("```").and_then(|(_, rest)| rest.split_once("```")).map(|(block, _)| block);
    let fenced = fenced.map(|block| block.strip_prefix("json").unwrap_or(block).trim());
    match fenced.map(serde_json::from_str) {
        Some(Ok(value)) => Ok(value),
        Some(Err(complaint)) => Err(complaint.to_string()),
        None => Err(complaint.to_string()),
    }
}
