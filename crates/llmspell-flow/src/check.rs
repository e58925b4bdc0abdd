//! What a flow file means, and whether it can.

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

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use llmspell_tools::{Grantor, MissingPermission, Permissions};

use crate::ir::fields::Inputs;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::ir::step::{Planned, StepKind};
use crate::lint;
use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::file::{FlowFile, StepDef};
use crate::syntax::located::Located;
use crate::syntax::parse::parse;
use crate::syntax::source::Source;
use crate::template::{Compiler, Expr, Template, with_large_stack};
use crate::toolbox::Toolbox;
use flow_tools::Own;
use references::{References, Sight, Uses};

/// A flow file that has been understood.
pub(crate) struct Checked {
    pub(crate) file: FlowFile,
    pub(crate) inputs: Inputs,
    pub(crate) steps: Vec<Planned>,
    pub(crate) output: Option<Template>,
    /// What decides an outcome besides the record.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) returns: Inputs,
    /// What the flow asks for.
    pub(crate) asked: Permissions,
    /// What of that its user has to grant, and does not.
    pub(crate) refused: Vec<Diagnostic>,
    /// What can run, but nobody can want.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Reads a flow file and finds everything that is wrong with it.
pub(crate) fn check(source: &Source, toolbox: &Toolbox) -> Result<Checked, Diagnostics> {
    let checked = with_large_stack(|| understand(source, toolbox));
    checked
        .unwrap_or_else(|why| Err(source.diagnose(None, why).with_hint("try again when there is more memory").into()))
}

fn understand(source: &Source, toolbox: &Toolbox) -> Result<Checked, Diagnostics> {
    let file = parse(source)?;
    let mut problems = Vec::new();
    names::check(&file, source, &mut problems);
    let inputs = Inputs::declared(file.inputs.as_ref(), source, &mut problems);
    let returns = Inputs::declared(file.returns.as_ref(), source, &mut problems);
    let ids = names::ids(&file.steps.value);
    let secrets = file.secrets.iter().map(|secret| secret.value.as_str()).collect();
    let references = References::new(&inputs, ids.iter().map(|id| id.value.as_str()), secrets);
    let asked = allow::asked(&file, source, &mut problems);
    let mut checker = Checker {
        toolbox,
        file: &file,
        references: &references,
        asked,
        own: BTreeMap::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
        compiler: Compiler::new(source, problems),
    };
    if let Some(allow) = &file.allow {
        let missing = checker.toolbox.gate(&checker.asked).missing_private();
        checker.missing("the flow asks for private addresses", &allow.at, missing);
    }
    modifiers::check_defaults(&file.defaults, source, &mut checker.compiler.problems);
    checker.models();
    checker.own = checker.own_tools();
    let mut sight = references.sight();
    let steps = checker.list(&file.steps.value, &mut sight, "");
    let uses = Uses::default();
    let output = file.output.as_ref().map(|output| checker.value(output, &sight, &uses));
    let given = match (&output, steps.last()) {
        (Some(output), _) => Shape::of(output, &|name| sight.shape_of(name)),
        (None, Some(last)) if steps.len() == file.steps.value.len() => last.shape.clone(),
        (None, _) => Shape::Any,
    };
    let mut problems = std::mem::take(&mut checker.compiler.problems);
    output::returned(&file, &given, &returns, source, &mut problems);
    let mut warnings = std::mem::take(&mut checker.warnings);
    warnings.append(&mut checker.compiler.warnings);
    nesting::times(&steps, &file.defaults, source, &mut problems);
    Diagnostics::none_of(problems)?;
    let used = references.take_used();
    lint::check(&lint::Subject { file: &file, steps: &steps, used: &used, source }, &mut warnings);
    let Checker { asked, refused, .. } = checker;
    warnings.sort_by_key(|warning| (warning.line(), warning.column()));
    let whole = steps.iter().map(|step| step.fingerprint.to_string()).collect::<Vec<_>>().join("\n");
    let output_text = file.output.as_ref().map(|output| output.value.to_json().to_string());
    let (taken, given) = (inputs.essence(), returns.essence());
    let whole = format!("{whole}\n{output_text:?}\n{}\n{taken}\n{given}", uses.into_text());
    let fingerprint = Fingerprint::of(whole.as_bytes());
    Ok(Checked { inputs, steps, output, fingerprint, returns, asked, refused, warnings, file })
}

/// What the steps of a file are checked with.
struct Checker<'a> {
    toolbox: &'a Toolbox,
    file: &'a FlowFile,
    references: &'a References<'a>,
    /// What the flow asks for.
    asked: Permissions,
    /// The tools of the flow's own.
    own: BTreeMap<String, Own>,
    refused: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    compiler: Compiler<'a>,
}

impl Checker<'_> {
    /// Notes what is missing for `what`: what the flow does not ask for is wrong with the flow, what the user does not
    /// grant is not.
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

    /// Steps one after another: each sees those before it.
    fn list(&mut self, steps: &[Located<StepDef>], sight: &mut Sight, path: &str) -> Vec<Planned> {
        let mut planned = Vec::new();
        for step in steps {
            match self.step(step, sight, path, None) {
                Some(step) => {
                    sight.add(&step.id, step.fingerprint, step.shape.clone());
                    planned.push(step);
                }
                // Something is wrong with it, not with those that name it.
                None => {
                    if let Some(id) = &step.value.id {
                        sight.add(&Arc::from(id.value.as_str()), Fingerprint::of(b""), Shape::Any);
                    }
                }
            }
        }
        planned
    }

    /// Steps beside each other: none sees another.
    fn beside(&mut self, steps: &[Located<StepDef>], sight: &Sight, path: &str) -> Vec<Planned> {
        steps.iter().filter_map(|step| self.step(step, sight, path, None)).collect()
    }

    /// One step. Without an id, it is called as `unnamed` says.
    fn step(
        &mut self,
        step: &Located<StepDef>,
        sight: &Sight,
        outer: &str,
        unnamed: Option<String>,
    ) -> Option<Planned> {
        let def = &step.value;
        let id: Arc<str> = match (&def.id, unnamed) {
            (Some(id), _) => Arc::from(id.value.as_str()),
            (None, Some(name)) => Arc::from(name),
            (None, None) => {
                let problem = self.compiler.source.diagnose(Some(first(step)), "the key `id` is missing");
                let hint = "give every step an `id`; later steps use its output as `steps.<id>`";
                self.compiler.problems.push(problem.with_hint(hint));
                return None;
            }
        };
        let path: Arc<str> = if outer.is_empty() { id.clone() } else { Arc::from(format!("{outer}.{id}")) };
        let at = def.id.as_ref().map_or_else(|| first(step), |id| id.at.clone());
        let mut inside = sight.within(&id);
        let uses = Uses::default();
        let when = def.when.as_ref().and_then(|when| self.bare(when, &inside, &uses));
        inside.asked.extend(when.as_ref().map(Expr::guarded).unwrap_or_default());
        let kind = self.kind(step, &inside, &path, &uses);
        let mut modifiers = def.modifiers();
        if let Some(StepKind::Tool { .. } | StepKind::Agent(_)) = &kind {
            modifiers.fill(&self.file.defaults);
        }
        let fallback = modifiers.fallback.clone().map_or_else(Vec::new, |rungs| {
            let rungs =
                rungs.value.0.0.into_iter().map(|rung| Located { at: at_of(rung.at, &rungs.at), value: rung.value });
            let name =
                |place: usize| if place == 0 { "fallback".to_owned() } else { format!("fallback_{}", place + 1) };
            rungs.enumerate().filter_map(|(place, rung)| self.step(&rung, &inside, &path, Some(name(place)))).collect()
        });
        let kind = kind?;
        modifiers::check(def, &modifiers, &kind, &at, self.compiler.source, &mut self.compiler.problems);
        let uses = uses.into_text();
        let without_fallback = kind::fingerprint(def, &kind, &[], &uses);
        let fingerprint =
            if fallback.is_empty() { without_fallback } else { kind::fingerprint(def, &kind, &fallback, &uses) };
        let shape = output::of_step(&kind, &inside, def.when.is_none(), &fallback);
        Some(Planned { id, path, at, kind, when, modifiers, fallback, fingerprint, without_fallback, shape })
    }
}

/// A place, or that of what is around it, if it has none of its own.
fn at_of(at: std::ops::Range<usize>, around: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    if at.is_empty() { around.clone() } else { at }
}

/// The first line of a step, for what concerns all of it.
fn first(step: &Located<StepDef>) -> std::ops::Range<usize> {
    step.at.start..step.at.start + 1
}
