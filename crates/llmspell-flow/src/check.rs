//! The semantic checks: from a parsed flow file to the intermediate representation.
//!
//! Resolves names, checks values, and reports all problems at once. It must not run or open anything.

mod agent;
mod allow;
mod arguments;
pub(crate) mod declared;
mod flow_tools;
mod kind;
mod modifiers;
mod names;
mod nesting;
mod output;
mod prompt;
mod references;
mod repeatability;
mod scope;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use llmspell_tools::{Grantor, MissingPermission, Permissions};

use crate::ir::fields::Inputs;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::ir::step::{Step, StepKind};
use crate::lint;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::file::{FlowFile, StepDef};
use crate::syntax::located::Located;
use crate::syntax::parse::parse;
use crate::syntax::source::Source;
use crate::template::{Compiler, Formula, Template, with_room};
use crate::toolbox::Toolbox;
use flow_tools::FlowTool;
use references::References;
use scope::{Dependencies, NameScope};

/// A flow file that has passed all checks.
pub(crate) struct CheckedFlow {
    pub(crate) file: FlowFile,
    pub(crate) inputs: Inputs,
    pub(crate) steps: Vec<Step>,
    pub(crate) output: Option<Template>,
    /// The fingerprint of everything that decides an outcome, except the record.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) returns: Inputs,
    /// The permissions under `allow`.
    pub(crate) requested: Permissions,
    /// The permissions that the user must grant, and has not.
    pub(crate) refused: Vec<Diagnostic>,
    /// The warnings of lint rules.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Parses and checks a flow file.
///
/// # Errors
/// All problems in it.
pub(crate) fn check(source: &Source, toolbox: &Toolbox) -> Result<CheckedFlow, Diagnostics> {
    let checked = with_room(|| understand(source, toolbox));
    checked.unwrap_or_else(|why| Err(source.diagnose(None, why).with_hint("free memory, then run it again").into()))
}

fn understand(source: &Source, toolbox: &Toolbox) -> Result<CheckedFlow, Diagnostics> {
    let file = parse(source)?;
    let mut problems = Vec::new();
    names::check(&file, source, &mut problems);
    let inputs = Inputs::declared(file.inputs.as_ref(), source, &mut problems);
    let returns = Inputs::declared(file.returns.as_ref(), source, &mut problems);
    let ids = names::ids(&file.steps.value);
    let secrets = file.secrets.iter().map(|secret| secret.value.as_str()).collect();
    let references = References::new(&inputs, ids.iter().map(|id| id.value.as_str()), secrets);
    let requested = allow::requested(&file, source, &mut problems);
    let mut checker = Checker {
        toolbox,
        file: &file,
        references: &references,
        requested,
        own: BTreeMap::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
        compiler: Compiler::new(source, problems),
    };
    if let Some(allow) = &file.allow {
        let missing = checker.toolbox.gate(&checker.requested).missing_private();
        checker.missing("the flow asks for private addresses", &allow.at, missing);
    }
    modifiers::check_defaults(&file.defaults, source, &mut checker.compiler.problems);
    checker.models();
    checker.own = checker.flow_tools();
    let mut scope = references.first_scope();
    let steps = checker.sequence(&file.steps.value, &mut scope, "");
    let dependencies = Dependencies::default();
    let output = file.output.as_ref().map(|output| checker.value(output, &scope, &dependencies));
    let given = match (&output, steps.last()) {
        (Some(output), _) => Shape::of(output, &|name| scope.shape_of(name)),
        (None, Some(last)) if steps.len() == file.steps.value.len() => last.shape.clone(),
        (None, _) => Shape::Any,
    };
    let mut problems = std::mem::take(&mut checker.compiler.problems);
    output::returned(&file, &given, &returns, source, &mut problems);
    let mut warnings = std::mem::take(&mut checker.warnings);
    let missing = std::mem::take(&mut checker.compiler.warnings);
    warnings.extend(missing.into_iter().map(|warning| warning.with_rule(lint::missing_field::RULE.id)));
    nesting::times(&steps, &file.defaults, source, &mut problems);
    Diagnostics::none_of(problems)?;
    let used = references.take_used();
    lint::check(&lint::Subject { file: &file, steps: &steps, used: &used, source }, &mut warnings);
    let Checker { requested, refused, .. } = checker;
    warnings.sort_by_key(|warning| (warning.line(), warning.column()));
    let whole = steps.iter().map(|step| step.fingerprint.to_string()).collect::<Vec<_>>().join("\n");
    let output_text = file.output.as_ref().map(|output| output.value.to_json().to_string());
    let (taken, given) = (inputs.definition(), returns.definition());
    let whole = format!("{whole}\n{output_text:?}\n{}\n{taken}\n{given}", dependencies.into_text());
    let fingerprint = Fingerprint::of(whole.as_bytes());
    Ok(CheckedFlow { inputs, steps, output, fingerprint, returns, requested, refused, warnings, file })
}

/// The state of the checks of one file.
struct Checker<'a> {
    toolbox: &'a Toolbox,
    file: &'a FlowFile,
    references: &'a References<'a>,
    /// The permissions under `allow`.
    requested: Permissions,
    /// The tools that the flow declares.
    own: BTreeMap<String, FlowTool>,
    refused: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    compiler: Compiler<'a>,
}

impl Checker<'_> {
    /// Reports the permissions missing for `what`. A permission that the flow does not request is a problem of the flow;
    /// one that the user does not grant is not.
    fn missing(&mut self, what: &str, at: &Range<usize>, missing: impl IntoIterator<Item = MissingPermission>) {
        for missing in missing {
            let problem = self.compiler.source.diagnose(Some(at.clone()), format!("{what}: {missing}"));
            let problem = problem.with_hint(missing.hint());
            match missing.side() {
                Grantor::Flow => self.compiler.problems.push(problem),
                _ => self.refused.push(problem),
            }
        }
    }

    /// Checks steps that run one after another: each can use the outputs of the steps before it.
    fn sequence(&mut self, steps: &[Located<StepDef>], scope: &mut NameScope, path: &str) -> Vec<Step> {
        let mut checked = Vec::new();
        for step in steps {
            match self.step(step, scope, path, None) {
                Some(step) => {
                    scope.add(&step.id, step.fingerprint, step.shape.clone());
                    checked.push(step);
                }
                // The problem is in this step, not in the steps that name it.
                None => {
                    if let Some(id) = &step.value.id {
                        scope.add(&Arc::from(id.value.as_str()), Fingerprint::of(b""), Shape::Any);
                    }
                }
            }
        }
        checked
    }

    /// Checks steps that run at the same time: none can use the output of another.
    fn siblings(&mut self, steps: &[Located<StepDef>], scope: &NameScope, path: &str) -> Vec<Step> {
        steps.iter().filter_map(|step| self.step(step, scope, path, None)).collect()
    }

    /// Checks one step. `default_id` is its id if it declares none.
    fn step(
        &mut self,
        step: &Located<StepDef>,
        scope: &NameScope,
        outer: &str,
        default_id: Option<String>,
    ) -> Option<Step> {
        let def = &step.value;
        let id: Arc<str> = match (&def.id, default_id) {
            (Some(id), _) => Arc::from(id.value.as_str()),
            (None, Some(name)) => Arc::from(name),
            (None, None) => {
                let problem = self.compiler.source.diagnose(Some(start_of(step)), "missing key `id`");
                let hint = "give every step an `id`; later steps use its output as `steps.<id>`";
                self.compiler.problems.push(problem.with_hint(hint));
                return None;
            }
        };
        let path: Arc<str> = if outer.is_empty() { id.clone() } else { Arc::from(format!("{outer}.{id}")) };
        let at = def.id.as_ref().map_or_else(|| start_of(step), |id| id.at.clone());
        let mut inside = scope.within(&id);
        let dependencies = Dependencies::default();
        let when = def.when.as_ref().and_then(|when| self.bare(when, &inside, &dependencies));
        inside.tested.extend(when.as_ref().map(Formula::tested).unwrap_or_default());
        let kind = self.kind(step, &inside, &path, &dependencies);
        let mut modifiers = def.modifiers();
        if let Some(StepKind::Tool { .. } | StepKind::Agent(_)) = &kind {
            modifiers.fill(&self.file.defaults);
        }
        let fallback = modifiers.fallback.clone().map_or_else(Vec::new, |fallbacks| {
            let fallbacks = fallbacks
                .value
                .0
                .0
                .into_iter()
                .map(|fallback| Located { at: at_or(fallback.at, &fallbacks.at), value: fallback.value });
            let name =
                |index: usize| if index == 0 { "fallback".to_owned() } else { format!("fallback_{}", index + 1) };
            fallbacks
                .enumerate()
                .filter_map(|(index, fallback)| self.step(&fallback, &inside, &path, Some(name(index))))
                .collect()
        });
        let kind = kind?;
        modifiers::check(def, &modifiers, &kind, &at, self.compiler.source, &mut self.compiler.problems);
        let dependencies = dependencies.into_text();
        let without_fallback = kind::fingerprint(def, &kind, &[], &dependencies);
        let fingerprint = if fallback.is_empty() {
            without_fallback
        } else {
            kind::fingerprint(def, &kind, &fallback, &dependencies)
        };
        let shape = output::of_step(&kind, &inside, def.when.is_none(), &fallback);
        Some(Step { id, path, at, kind, when, modifiers, fallback, fingerprint, without_fallback, shape })
    }
}

/// Returns a position, or the position around it if it is empty.
fn at_or(at: std::ops::Range<usize>, around: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    if at.is_empty() { around.clone() } else { at }
}

/// Returns the start of a step, as the position of a problem with all of it.
fn start_of(step: &Located<StepDef>) -> std::ops::Range<usize> {
    step.at.start..step.at.start + 1
}
