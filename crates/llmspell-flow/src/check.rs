//! What a flow file means, and whether it can.

use llmspell::tool::Security;

use crate::arguments;
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::file::{FlowFile, StepDef};
use crate::inputs::Inputs;
use crate::located::Located;
use crate::modifiers;
use crate::parse::parse;
use crate::references::References;
use crate::template::{Compiler, Template};
use crate::toolbox::Toolbox;
use llmspell::suggest;

/// A flow file that has been understood.
pub(crate) struct Checked {
    pub(crate) file: FlowFile,
    pub(crate) inputs: Inputs,
    /// The arguments of each step, in order.
    pub(crate) arguments: Vec<Vec<(String, Template)>>,
    pub(crate) output: Option<Template>,
    /// What can run, but nobody can want.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The name under which the output of the flow stands in paths.
pub(crate) const OUTPUT: &str = "output";

/// Reads a flow file and finds everything that is wrong with it.
pub(crate) fn check(source: &Source, toolbox: &Toolbox) -> Result<Checked, Diagnostics> {
    let file = parse(source)?;
    let mut problems = Vec::new();
    names(&file, source, &mut problems);
    let ids: Vec<&str> = file.steps.value.iter().map(|step| step.value.id.value.as_str()).collect();
    let inputs = Inputs::declared(file.inputs.as_ref(), source, &mut problems);
    let references = References::new(&inputs, &ids);
    let mut compiler = Compiler::new(source, problems);
    let mut all_arguments = Vec::new();
    for (place, step) in file.steps.value.iter().enumerate() {
        let check = |name: &str| references.check(name, place);
        let compiled = step.value.with.0.iter();
        let compiled: Vec<_> =
            compiled.map(|(key, value)| (key.value.clone(), compiler.compile(value.as_ref(), &check))).collect();
        tool(&step.value, &compiled, toolbox, &mut compiler);
        modifiers::check(&step.value, source, &mut compiler.problems);
        all_arguments.push(compiled);
    }
    let check = |name: &str| references.check(name, ids.len());
    let output = file.output.as_ref().map(|output| compiler.compile(output.as_ref(), &check));
    Diagnostics::none_of(compiler.problems)?;
    let warnings = unused(&file, &references, source, toolbox);
    Ok(Checked { file, inputs, arguments: all_arguments, output, warnings })
}

/// The names in the file: its version, its own name, the ids of its steps.
fn names(file: &FlowFile, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut problem = |at: &std::ops::Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    if let Some(version) = file.version.as_ref().filter(|version| version.value != 1) {
        let message = format!("version {} of the format is not known", version.value);
        problem(&version.at, message, "this program knows version 1");
    }
    if !is_name(&file.flow.value, true) {
        let message = format!("`{}` cannot be the name of a flow", file.flow.value);
        problem(&file.flow.at, message, "use letters, digits, - and _, and begin with a letter");
    }
    if file.steps.value.is_empty() {
        problem(&file.steps.at, "the flow has no steps".to_owned(), "add one: `- id: …` and `tool: …`");
    }
    let ids: Vec<&str> = file.steps.value.iter().map(|step| step.value.id.value.as_str()).collect();
    for (place, step) in file.steps.value.iter().enumerate() {
        let id = &step.value.id;
        if !is_name(&id.value, false) {
            let message = format!("`{}` cannot be the id of a step", id.value);
            problem(
                &id.at,
                message,
                "use letters, digits and _, and begin with a letter, so that templates can name it",
            );
        } else if id.value == OUTPUT {
            let message = "`output` cannot be the id of a step".to_owned();
            problem(&id.at, message, "in errors and reports it names the `output` of the flow; take another id");
        } else if ids[..place].contains(&id.value.as_str()) {
            let message = format!("there is a step `{}` already", id.value);
            problem(&id.at, message, "give each step its own id");
        }
    }
}

/// Steps that only compute, and whose output goes nowhere.
fn unused(file: &FlowFile, references: &References<'_>, source: &Source, toolbox: &Toolbox) -> Vec<Diagnostic> {
    let mut steps: Vec<_> = file.steps.value.iter().map(|step| &step.value).collect();
    if file.output.is_none() {
        steps.pop();
    }
    let computes = |tool: &str| toolbox.get(tool).is_some_and(|tool| tool.spec().security == Security::Safe);
    steps.retain(|step| computes(&step.tool.value) && !references.uses(&step.id.value));
    let warn = |step: &StepDef| {
        let message = format!("nothing uses the output of the step `{}`", step.id.value);
        let problem = source.diagnose(Some(step.id.at.clone()), message).warning();
        problem.with_hint(format!("use it as `steps.{}`, or leave the step out", step.id.value))
    };
    steps.into_iter().map(warn).collect()
}

fn tool(step: &StepDef, arguments: &[(String, Template)], toolbox: &Toolbox, compiler: &mut Compiler<'_>) {
    let Located { value: name, at } = &step.tool;
    match toolbox.get(name) {
        Some(tool) => arguments::check(step, arguments, tool.spec(), compiler.source, &mut compiler.problems),
        None => {
            let problem = compiler.source.diagnose(Some(at.clone()), format!("unknown tool `{name}`"));
            compiler.problems.push(problem.with_hint(suggest::hint(name, toolbox.names(), "the tools are")));
        }
    }
}

/// Whether a name can stand in a path, and without `dashes` in a template.
fn is_name(name: &str, dashes: bool) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || dashes && c == '-')
}
