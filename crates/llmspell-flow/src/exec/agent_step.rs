//! A step that calls an agent with a prompt for each record.

use std::sync::Arc;

use llmspell::agent::{Conversation, SchemaAgent};
use llmspell::model::Message;
use llmspell::step::StepInfo;
use llmspell::{Agent, Context, Result, Step};
use serde_json::Value;

use super::scope::Scope;
use crate::ir::agent::answer_schema;
use crate::ir::fields::Inputs;
use crate::template::Prompt;

pub(super) struct AgentStep {
    pub(super) agent: Answers,
    pub(super) system: Option<Prompt>,
    pub(super) prompt: Prompt,
}

/// The agent with the kind of answer that it gives.
pub(super) enum Answers {
    Text(Agent),
    Fields(SchemaAgent, Arc<Inputs>),
}

impl Answers {
    pub(super) fn new(agent: Agent, step: &str, fields: Option<Inputs>) -> Self {
        let Some(fields) = fields else { return Answers::Text(agent) };
        let fields = Arc::new(fields);
        let checked = fields.clone();
        let check = move |answer: &Value| checked.mismatch(answer).map_or(Ok(()), Err);
        Answers::Fields(agent.with_schema(step, answer_schema(&fields), check), fields)
    }
}

impl Step for AgentStep {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let conversation = {
            let view = scope.value();
            let mut conversation = Conversation::new();
            if let Some(system) = &self.system {
                conversation.push(Message::system(system.render(&view)?));
            }
            conversation.user(self.prompt.render(&view)?);
            conversation
        };
        match &self.agent {
            Answers::Text(agent) => agent.run(conversation, cx).await.map(|reply| Value::String(reply.text)),
            Answers::Fields(agent, fields) => match agent.run(conversation, cx).await {
                Ok(Value::Object(answer)) => fields.accept(answer).map(Value::Object),
                other => other,
            },
        }
    }

    fn info(&self) -> StepInfo<'_> {
        match &self.agent {
            Answers::Text(agent) => agent.info(),
            Answers::Fields(agent, _) => agent.info(),
        }
    }
}
