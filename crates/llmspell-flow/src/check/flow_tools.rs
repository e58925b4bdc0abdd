//! Checks of the tools, servers and models that a flow declares.

use std::collections::BTreeMap;
use std::ops::Range;

use llmspell::internal::suggest;
use llmspell::tool::DynTool;
use llmspell_tools::MissingPermission;
use llmspell_tools::internal as tools;
use serde_json::{Value, json};

use super::Checker;
use super::modifiers;
use super::names::is_name;
use crate::exec::command_tool::{FlowCommand, flow_command};
use crate::ir::fields::Inputs;
use crate::syntax::file::{ServerDef, ToolDef};
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;
use crate::template::{NameProblem, Template};

/// A tool that a step or an agent names.
pub(super) struct ResolvedTool {
    pub(super) tool: DynTool,
    pub(super) is_pure: bool,
    /// The definition, if the flow declares the tool; otherwise null.
    pub(super) definition: Value,
}

/// A program that the flow declares as a tool.
pub(super) struct FlowTool {
    tool: DynTool,
    missing: Option<MissingPermission>,
    definition: Value,
}

impl Checker<'_> {
    /// Checks `models`.
    pub(super) fn models(&mut self) {
        for (name, def) in &self.file.models.0 {
            self.check_name(name, "model");
            let def_at = if def.at.is_empty() { &name.at } else { &def.at };
            let model = &def.value.0;
            if !model.model.value.contains('/') {
                let at = if model.model.at.is_empty() { def_at } else { &model.model.at };
                let message = format!("the model `{}` has no provider", model.model.value);
                self.problem(at.clone(), message, "write it as provider/model, such as openai/gpt-5-mini".to_owned());
            }
            if model.temperature.is_some_and(|temperature| !(0.0..=10.0).contains(&temperature)) {
                self.problem(
                    def_at.clone(),
                    "invalid temperature: expected a number from 0".to_owned(),
                    "use 1, which is usual".to_owned(),
                );
            }
            let prices = model.prices.map(|prices| [prices.input, prices.output]);
            if prices.is_some_and(|prices| prices.iter().any(|price| !price.is_finite() || *price < 0.0)) {
                self.problem(
                    def_at.clone(),
                    "invalid price: expected a number from 0".to_owned(),
                    "write the price of a million tokens".to_owned(),
                );
            }
            if let Some(endpoint) = &model.endpoint {
                self.address(endpoint, &format!("the model `{}` is served elsewhere", name.value));
            }
            let source = self.compiler.source;
            let mut problem = |at: &Range<usize>, message: String, hint: &str| {
                self.compiler.problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
            };
            modifiers::check_shared(&model.modifiers(), &mut problem);
        }
    }

    /// Checks `tools`, and returns the programs among them.
    pub(super) fn flow_tools(&mut self) -> BTreeMap<String, FlowTool> {
        let mut tools = BTreeMap::new();
        for (name, def) in &self.file.tools.0 {
            self.check_name(name, "tool");
            if self.toolbox.get(&name.value).is_some() {
                let hint = "give this one another name".to_owned();
                self.problem(name.at.clone(), format!("there is already a tool `{}`", name.value), hint);
            }
            match (&def.value.command, &def.value.mcp) {
                (Some(command), None) => {
                    tools.extend(self.program(name, &def.value, command).map(|own| (name.value.clone(), own)));
                }
                (None, Some(server)) => self.server(name, &def.value, server),
                _ => {
                    let message = format!("the tool `{}` must be either a program or a server", name.value);
                    let hint = "give it `command: [program, argument]`, or `mcp: { command: [server] }`".to_owned();
                    self.problem(name.at.clone(), message, hint);
                }
            }
        }
        tools
    }

    fn program(
        &mut self,
        name: &Located<String>,
        def: &ToolDef,
        command: &Located<Vec<Located<String>>>,
    ) -> Option<FlowTool> {
        let none = Mapping::default();
        let args = def.args.as_ref().unwrap_or(&none);
        let args = Inputs::declared(Some(args), self.compiler.source, &mut self.compiler.problems);
        let known: Vec<String> = args.names().unwrap_or_default().into_iter().map(str::to_owned).collect();
        let argv: Vec<Template> = command
            .value
            .iter()
            .map(|word| {
                let node = Node::Text(word.value.clone());
                self.compiler.compile(Located { value: &node, at: word.at.clone() }, &|name| argument(name, &known))
            })
            .collect();
        let Some(Value::String(program)) = argv.first().and_then(Template::literal).cloned() else {
            let hint = "begin with the name of the program, without a template: [jq, -r, \"${{ args.filter }}\"]";
            self.problem(command.at.clone(), "the command has no constant program".to_owned(), hint.to_owned());
            return None;
        };
        let gate = self.toolbox.gate(&self.requested);
        let words: Vec<&str> = command.value.iter().map(|word| word.value.as_str()).collect();
        let description = def.description.clone().unwrap_or_else(|| format!("Runs {program}."));
        // `max_bytes` decides whether there is an output, not which: it is not a part of the definition.
        let definition = json!([words, args.definition()]);
        if let Some(bytes) = def.max_bytes.as_ref().filter(|bytes| bytes.value == 0) {
            let message = "with `max_bytes: 0`, any output is an error".to_owned();
            self.problem(bytes.at.clone(), message, "write a number of bytes; the default is 1 MiB".to_owned());
        }
        let max_bytes = def.max_bytes.as_ref().map(|bytes| bytes.value);
        let tool = flow_command(&name.value, &description, FlowCommand { args, argv, max_bytes }, &gate);
        let tool = if def.idempotent { tools::repeatable(tool) } else { tool };
        Some(FlowTool { tool, missing: gate.missing_program(&program), definition })
    }

    fn server(&mut self, name: &Located<String>, def: &ToolDef, server: &Located<ServerDef>) {
        let Located { value: server, at } = server;
        if def.args.is_some() || def.description.is_some() || def.idempotent || def.max_bytes.is_some() {
            let hint = "remove them: the server describes its tools itself".to_owned();
            let message = "`args`, `description`, `idempotent` and `max_bytes` do not go with `mcp`".to_owned();
            self.problem(name.at.clone(), message, hint);
        }
        match (&server.command, &server.url) {
            (Some(command), None) => {
                let Some(program) = command.value.first().filter(|program| !program.is_empty()) else {
                    let hint = "write command: [program, argument, …]".to_owned();
                    self.problem(command.at.clone(), "missing program".to_owned(), hint);
                    return;
                };
                let missing = self.toolbox.gate(&self.requested).missing_program(program);
                self.missing(&format!("the server `{}` is a program", name.value), &command.at, missing);
                if let Some(token) = &server.token {
                    let hint = "pass the secret in its environment: `env: [NAME]`".to_owned();
                    self.problem(token.at.clone(), "`token` does not go with `command`".to_owned(), hint);
                }
            }
            (None, Some(url)) => {
                self.address(url, &format!("the server `{}`", name.value));
                if !server.env.is_empty() {
                    let hint = "remove it: only a program that is started has an environment".to_owned();
                    self.problem(at.clone(), "`env` does not go with `url`".to_owned(), hint);
                }
            }
            _ => {
                let hint = "give it `command: [program, argument]`, or `url: https://…`".to_owned();
                let message = format!("the server `{}` needs either a command or an address", name.value);
                self.problem(at.clone(), message, hint);
            }
        }
    }

    /// Checks an address and its permission.
    fn address(&mut self, url: &Located<String>, what: &str) {
        if !tools::is_http_url(&url.value) {
            let hint = "write it as https://host/path".to_owned();
            self.problem(url.at.clone(), format!("invalid address `{}`", url.value), hint);
            return;
        }
        let missing = self.toolbox.gate(&self.requested).missing_url(&url.value);
        self.missing(what, &url.at, missing);
    }

    fn check_name(&mut self, name: &Located<String>, what: &str) {
        if !is_name(&name.value, true) {
            let hint = "use letters, digits, - and _, and begin with a letter".to_owned();
            self.problem(name.at.clone(), format!("invalid name `{}` of a {what}", name.value), hint);
        }
    }

    /// Resolves a tool that the flow declares or the toolbox contains, and reports its missing permissions. `exactly` are
    /// the permissions missing for this particular call, if they are known.
    pub(super) fn named_tool(
        &mut self,
        name: &str,
        at: &Range<usize>,
        exactly: Option<Vec<MissingPermission>>,
    ) -> Option<ResolvedTool> {
        if let Some(own) = self.own.get(name) {
            let (tool, missing, definition) = (own.tool.clone(), own.missing.clone(), own.definition.clone());
            self.missing(&format!("the tool `{name}` is a program"), at, missing);
            return Some(ResolvedTool { tool, is_pure: false, definition });
        }
        let Some(bound) = self.toolbox.bind(name, &self.requested) else {
            if let Some(feature) = tools::missing_feature(name) {
                let message = format!("`{name}`: this program was built without `{feature}`");
                self.problem(at.clone(), message, format!("build it with the cargo feature `{feature}`"));
                return None;
            }
            let server = self.file.tools.0.iter().any(|(known, def)| known.value == name && def.value.mcp.is_some());
            let own: Vec<String> = self.own.keys().cloned().collect();
            let names = self.toolbox.names().chain(own.iter().map(String::as_str));
            let hint = match server {
                true => format!("name one of its tools: `{name}.…`"),
                false => suggest::hint(name, names, "the tools are"),
            };
            self.problem(at.clone(), format!("unknown tool `{name}`"), hint);
            return None;
        };
        let missing = if bound.missing.is_empty() { Vec::new() } else { exactly.unwrap_or(bound.missing) };
        self.missing(&format!("the tool `{name}` is {}", bound.tool.spec().security.as_str()), at, missing);
        Some(ResolvedTool { tool: bound.tool, is_pure: self.toolbox.is_pure(name), definition: Value::Null })
    }
}

/// Returns the problem with a name in the command of a tool, if there is one.
fn argument(name: &str, known: &[String]) -> Option<NameProblem> {
    let complaint = |message: String, hint: String| Some(NameProblem::new(message, hint));
    match name.split_once('.') {
        Some(("args", rest)) => {
            let field = rest.split('.').next().unwrap_or_default();
            let hint = || match known.is_empty() {
                true => format!("declare it: `args: {{ {field}: {{ type: string }} }}`"),
                false => suggest::hint(field, known.iter().map(String::as_str), "its arguments are"),
            };
            if known.iter().any(|known| known == field) {
                None
            } else {
                complaint(format!("there is no argument `{field}`"), hint())
            }
        }
        None if name == "args" => None,
        _ => complaint(format!("unknown name `{name}`"), "use the arguments of the call: `args.…`".to_owned()),
    }
}
