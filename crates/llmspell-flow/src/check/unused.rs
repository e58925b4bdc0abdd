//! What a file declares or computes, and nothing uses.

use std::collections::BTreeSet;
use std::ops::Range;

use llmspell::suggest;
use llmspell::tool::Privilege;

use crate::diagnostic::Diagnostic;
use crate::file::{FlowFile, StepDef};
use crate::located::Located;
use crate::plan::{Planned, StepKind};
use crate::references::References;
use crate::source::Source;

/// Steps that only compute, and whose output goes nowhere.
pub(super) fn steps(
    file: &FlowFile,
    steps: &[Planned],
    references: &References<'_>,
    source: &Source,
    warnings: &mut Vec<Diagnostic>,
) {
    let mut lists = vec![(steps, file.output.is_some())];
    while let Some((steps, whole)) = lists.pop() {
        let last = steps.len().saturating_sub(usize::from(!whole));
        for (place, step) in steps.iter().enumerate() {
            lists.push(match &step.kind {
                StepKind::Concurrent { .. } | StepKind::Race { .. } => (&[], true),
                kind => (kind.inner(), false),
            });
            let computes = match &step.kind {
                StepKind::Tool { tool, .. } => tool.spec().security == Privilege::Safe,
                StepKind::Value(_) => true,
                // It costs something, too.
                StepKind::Agent(agent) => agent.tools.is_empty(),
                _ => false,
            };
            if place < last && computes && !references.uses(&step.id) {
                let message = format!("nothing uses the output of the step `{}`", step.id);
                let hint = format!("use it as `steps.{}`, or leave the step out", step.id);
                warnings.push(source.diagnose(Some(step.at.clone()), message).warning().with_hint(hint));
            }
        }
    }
}

/// Inputs, secrets, models and tools that are declared in vain.
pub(super) fn declared(file: &FlowFile, references: &References<'_>, source: &Source, warnings: &mut Vec<Diagnostic>) {
    let mut unused = |at: &Range<usize>, message: String, hint: String| {
        warnings.push(source.diagnose(Some(at.clone()), message).warning().with_hint(hint));
    };
    let key = file.key.as_ref().map(|key| key.value.as_str());
    // Records may have more fields than the flow declares: only a slip of the fingers is told.
    if let (Some(key), Some(inputs)) = (&file.key, &file.inputs) {
        let names = inputs.0.iter().map(|(name, _)| name.value.as_str());
        // Most short words are like some other one.
        let is_long = key.value.chars().count() >= 4;
        let near = suggest::nearest(&key.value, names).filter(|near| is_long && *near != key.value);
        if let Some(near) = near {
            let message = format!("records are told apart by `{}`, which is no input", key.value);
            unused(&key.at, message, format!("did you mean `{near}`?"));
        }
    }
    for (name, _) in file.inputs.iter().flat_map(|inputs| &inputs.0) {
        if key != Some(&name.value) && !references.uses_input(&name.value) {
            let hint = format!("use it as `inputs.{}`, or leave it out: records may have more fields", name.value);
            unused(&name.at, format!("nothing uses the input `{}`", name.value), hint);
        }
    }
    let mut named = Named::default();
    named.list(&file.steps.value);
    named.models.extend(file.defaults.model.as_ref().map(|model| model.value.as_str()));
    let tokens = file.tools.0.iter().filter_map(|(_, tool)| tool.value.mcp.as_ref()?.value.token.as_ref());
    let tokens: BTreeSet<&str> = tokens.map(|token| token.value.as_str()).collect();
    for secret in &file.secrets {
        if !references.uses_secret(&secret.value) && !tokens.contains(secret.value.as_str()) {
            let hint = format!("use it in the arguments of a tool, as `secrets.{}`, or leave it out", secret.value);
            unused(&secret.at, format!("nothing uses the secret `{}`", secret.value), hint);
        }
    }
    for (name, _) in &file.models.0 {
        if !named.models.contains(name.value.as_str()) {
            let hint = format!("name it in an agent, `model: {}`, or leave it out", name.value);
            unused(&name.at, format!("nothing uses the model `{}`", name.value), hint);
        }
    }
    for (name, _) in &file.tools.0 {
        let of_server = format!("{}.", name.value);
        if !named.tools.iter().any(|tool| *tool == name.value || tool.starts_with(&of_server)) {
            let hint = "name it in a step or an agent, or leave it out".to_owned();
            unused(&name.at, format!("nothing uses the tool `{}`", name.value), hint);
        }
    }
}

/// The models and tools that steps name.
#[derive(Default)]
struct Named<'a> {
    models: BTreeSet<&'a str>,
    tools: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn list(&mut self, steps: &'a [Located<StepDef>]) {
        for step in steps {
            self.tools.extend(step.value.tool.as_ref().map(|tool| tool.value.as_str()));
            if let Some(agent) = &step.value.agent {
                self.models.extend(agent.value.model.as_ref().map(|model| model.value.as_str()));
                self.tools.extend(agent.value.tools.iter().map(|tool| tool.value.as_str()));
            }
            step.value.inner().into_iter().for_each(|list| self.list(list));
        }
    }
}
