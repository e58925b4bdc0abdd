//! What a flow brings: tools of its own, servers, models.

use std::collections::BTreeMap;
use std::ops::Range;

use llmspell::suggest;
use llmspell::tool::DynTool;
use llmspell_tools::MissingPermission;
use llmspell_tools::internal as tools;
use serde_json::{Value, json};

use super::Checker;
use super::modifiers;
use super::names::is_name;
use crate::exec::command_tool::{FlowCommand, flow_command};
use crate::ir::fields::Inputs;
use crate::syntax::entries::Entries;
use crate::syntax::file::{ServerDef, ToolDef};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::template::{NameProblem, Template};

/// A tool by the name that the flow has for it.
pub(super) struct Named {
    pub(super) tool: DynTool,
    pub(super) is_pure: bool,
    /// What it consists of, if it is the flow's own.
    pub(super) essence: Value,
}

/// A tool of the flow's own.
pub(super) struct Own {
    tool: DynTool,
    missing: Option<MissingPermission>,
    essence: Value,
}

impl Checker<'_> {
    /// Notes what is wrong with `models`.
    pub(super) fn models(&mut self) {
        for (name, def) in &self.file.models.0 {
            self.nameable(name, "model");
            let def_at = if def.at.is_empty() { &name.at } else { &def.at };
            let model = &def.value.0;
            if !model.model.value.contains('/') {
                let at = if model.model.at.is_empty() { def_at } else { &model.model.at };
                let message = format!("`{}` does not say whose model it is", model.model.value);
                self.problem(at.clone(), message, "write it as provider/model, such as openai/gpt-5-mini".to_owned());
            }
            if model.temperature.is_some_and(|temperature| !(0.0..=10.0).contains(&temperature)) {
                self.problem(def_at.clone(), "a temperature is a number from 0".to_owned(), "1 is usual".to_owned());
            }
            let prices = model.prices.map(|prices| [prices.input, prices.output]);
            if prices.is_some_and(|prices| prices.iter().any(|price| !price.is_finite() || *price < 0.0)) {
                self.problem(
                    def_at.clone(),
                    "a price is a number from 0".to_owned(),
                    "for a million tokens".to_owned(),
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

    /// The tools of the flow's own, and what is wrong with them.
    pub(super) fn own_tools(&mut self) -> BTreeMap<String, Own> {
        let mut tools = BTreeMap::new();
        for (name, def) in &self.file.tools.0 {
            self.nameable(name, "tool");
            if self.toolbox.get(&name.value).is_some() {
                let hint = "give this one another name".to_owned();
                self.problem(name.at.clone(), format!("there is a tool `{}` already", name.value), hint);
            }
            match (&def.value.command, &def.value.mcp) {
                (Some(command), None) => {
                    tools.extend(self.program(name, &def.value, command).map(|own| (name.value.clone(), own)));
                }
                (None, Some(server)) => self.server(name, &def.value, server),
                _ => {
                    let message = format!("the tool `{}` is neither a program nor a server, or both", name.value);
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
    ) -> Option<Own> {
        let none = Entries::default();
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
            self.problem(command.at.clone(), "it is not said which program this is".to_owned(), hint.to_owned());
            return None;
        };
        let gate = self.toolbox.gate(&self.asked);
        let words: Vec<&str> = command.value.iter().map(|word| word.value.as_str()).collect();
        let description = def.description.clone().unwrap_or_else(|| format!("Runs {program}."));
        // How large an output may be decides whether there is one, and not which: it is no part of what the tool is.
        let essence = json!([words, args.essence()]);
        if let Some(bytes) = def.max_bytes.as_ref().filter(|bytes| bytes.value == 0) {
            let message = "with `max_bytes: 0`, the program may not say anything".to_owned();
            self.problem(bytes.at.clone(), message, "give a number of bytes; 1 MiB is the default".to_owned());
        }
        let max_bytes = def.max_bytes.as_ref().map(|bytes| bytes.value);
        let tool = flow_command(&name.value, &description, FlowCommand { args, argv, max_bytes }, &gate);
        let tool = if def.idempotent { tools::repeatable(tool) } else { tool };
        Some(Own { tool, missing: gate.missing_program(&program), essence })
    }

    fn server(&mut self, name: &Located<String>, def: &ToolDef, server: &Located<ServerDef>) {
        let Located { value: server, at } = server;
        if def.args.is_some() || def.description.is_some() || def.idempotent || def.max_bytes.is_some() {
            let hint = "the server describes its tools itself".to_owned();
            let message = "`args`, `description`, `idempotent` and `max_bytes` do not go with `mcp`".to_owned();
            self.problem(name.at.clone(), message, hint);
        }
        match (&server.command, &server.url) {
            (Some(command), None) => {
                let Some(program) = command.value.first().filter(|program| !program.is_empty()) else {
                    let hint = "write command: [program, argument, …]".to_owned();
                    self.problem(command.at.clone(), "this names no program".to_owned(), hint);
                    return;
                };
                let missing = self.toolbox.gate(&self.asked).missing_program(program);
                self.missing(&format!("the server `{}` is a program", name.value), &command.at, missing);
                if let Some(token) = &server.token {
                    let hint = "hand it a secret through its environment: `env: [NAME]`".to_owned();
                    self.problem(token.at.clone(), "a program takes no token".to_owned(), hint);
                }
            }
            (None, Some(url)) => {
                self.address(url, &format!("the server `{}`", name.value));
                if !server.env.is_empty() {
                    let hint = "`env` is for servers that are started".to_owned();
                    self.problem(at.clone(), "the environment of this server is not ours".to_owned(), hint);
                }
            }
            _ => {
                let hint = "give it `command: [program, argument]`, or `url: https://…`".to_owned();
                let message = format!("the server `{}` is neither started nor reached, or both", name.value);
                self.problem(at.clone(), message, hint);
            }
        }
    }

    /// An address that has to be allowed.
    fn address(&mut self, url: &Located<String>, what: &str) {
        if !tools::is_http_url(&url.value) {
            let hint = "write it as https://host/path".to_owned();
            self.problem(url.at.clone(), format!("`{}` is no address", url.value), hint);
            return;
        }
        let missing = self.toolbox.gate(&self.asked).missing_url(&url.value);
        self.missing(what, &url.at, missing);
    }

    fn nameable(&mut self, name: &Located<String>, what: &str) {
        if !is_name(&name.value, true) {
            let hint = "use letters, digits, - and _, and begin with a letter".to_owned();
            self.problem(name.at.clone(), format!("`{}` cannot be the name of a {what}", name.value), hint);
        }
    }

    /// A tool by its name: one of the flow's own, or of the toolbox; notes what is missing for it. `exactly` is what is
    /// missing for this very call, if that is known.
    pub(super) fn named_tool(
        &mut self,
        name: &str,
        at: &Range<usize>,
        exactly: Option<Vec<MissingPermission>>,
    ) -> Option<Named> {
        if let Some(own) = self.own.get(name) {
            let (tool, missing, essence) = (own.tool.clone(), own.missing.clone(), own.essence.clone());
            self.missing(&format!("the tool `{name}` is a program"), at, missing);
            return Some(Named { tool, is_pure: false, essence });
        }
        let Some(bound) = self.toolbox.bind(name, &self.asked) else {
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
        Some(Named { tool: bound.tool, is_pure: self.toolbox.is_pure(name), essence: Value::Null })
    }
}

/// What is wrong with a name in the command of a tool.
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
        _ => {
            complaint(format!("`{name}` is not known"), "a command sees the arguments of its call: `args.…`".to_owned())
        }
    }
}
