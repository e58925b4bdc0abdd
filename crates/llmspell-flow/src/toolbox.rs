//! The tools and models that a flow file can name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llmspell::model::{Model, ModelStream, Request};
use llmspell::registry::Registry;
use llmspell::tool::{DynTool, Privilege, ToolSpec};
use llmspell::{Context, Error, Result, step};
use llmspell_tools::internal::{self as tools, Gate, PermissionKind};
use llmspell_tools::{MissingPermission, Permissions};
use serde_json::{Value, json};

use crate::exec::template_tool::template;

/// A set of tools by their names with the permissions of the user, and of models.
///
/// [Safe](llmspell::tool::Privilege::Safe) tools always run. Any other tool needs both: the flow's request and the
/// user's grant. A flow that names a tool without either is rejected before the first record.
#[derive(Clone)]
pub struct Toolbox {
    granted: Permissions,
    tools: BTreeMap<String, ToolEntry>,
    models: BTreeMap<String, Arc<dyn Model>>,
    /// The source of further models.
    registry: Option<Arc<Registry>>,
    /// Servers whose tools are not known.
    unopened: BTreeSet<String>,
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Toolbox")
            .field("tools", &self.tools.keys())
            .field("models", &self.models.keys())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct ToolEntry {
    /// The tool for a flow that requests every permission.
    tool: DynTool,
    /// The option that would allow the tool, if it may not run.
    refused: Option<String>,
    requirement: Requirement,
    pure: bool,
}

/// The requirement that a tool must meet to run.
#[derive(Clone)]
enum Requirement {
    /// None: the tool is safe, or the caller who added it allows it.
    None,
    /// Permissions of this kind. The tool is made for those granted.
    Permissions(PermissionKind, MakeTool),
    /// A permission for this tool by name.
    ToolPermission,
}

type MakeTool = Arc<dyn Fn(&Gate) -> DynTool + Send + Sync>;

/// A tool within the permissions of one flow.
#[derive(Clone, Debug)]
pub(crate) struct BoundTool {
    /// The tool; its [info](llmspell::Step::info) says whether it may run twice, as in a hedge. An action that is not
    /// allowed fails with [`ErrorKind::Rejected`](llmspell::ErrorKind::Rejected).
    pub(crate) tool: DynTool,
    /// The permissions that it lacks; empty if it can run.
    pub(crate) missing: Vec<MissingPermission>,
}

impl Toolbox {
    /// Creates a toolbox without tools.
    pub fn empty() -> Self {
        Toolbox::granting(&Permissions::none())
    }

    fn granting(granted: &Permissions) -> Self {
        Toolbox {
            granted: granted.clone(),
            tools: BTreeMap::new(),
            models: BTreeMap::new(),
            registry: None,
            unopened: BTreeSet::new(),
        }
    }

    /// Creates a toolbox with the built-in tools of LLMSpell, each within the user's grants; `llmspell tools` lists
    /// them.
    pub fn built_in(granted: &Permissions) -> Self {
        let mut toolbox = Toolbox::granting(granted);
        let template = tools::repeatable(template());
        for tool in tools::pure().into_iter().chain([template]) {
            toolbox.insert(tool, Requirement::None, true);
        }
        for tool in tools::safe() {
            toolbox.insert(tool, Requirement::None, false);
        }
        for (kind, make) in tools::gated() {
            let make: MakeTool = Arc::new(make);
            toolbox.insert(make(&Gate::of_user(granted)), Requirement::Permissions(kind, make), false);
        }
        toolbox
    }

    /// Adds a tool that may run: adding it allows it. A tool of the same name is replaced.
    pub fn with(mut self, tool: DynTool) -> Self {
        self.insert(tool, Requirement::None, false);
        self
    }

    /// Adds a model under a name of the flow: one of its `models`, or the model's own, such as `openai/gpt-5-mini`.
    ///
    /// ```
    /// use llmspell_test::ScriptedModel;
    /// use llmspell_flow::{Flow, Source, Toolbox};
    /// use llmspell_tools::Permissions;
    ///
    /// let text = "
    /// flow: ask
    /// models: { quick: openai/gpt-5-mini }
    /// steps:
    ///   - id: answer
    ///     agent: { model: quick, prompt: \"${{ inputs.question }}\" }
    /// ";
    /// let toolbox = Toolbox::built_in(&Permissions::none()).with_model("quick", ScriptedModel::new("test").says("42"));
    /// let flow = Flow::parse(&Source::new("ask.yaml", text), &toolbox)?;
    /// # Ok::<(), llmspell_flow::Diagnostics>(())
    /// ```
    pub fn with_model(mut self, name: impl Into<String>, model: impl Model) -> Self {
        self.models.insert(name.into(), Arc::new(model));
        self
    }

    /// Adds the tools of an MCP server that a flow declares under `tools`. They are called `<name>.<tool>`, and each
    /// needs a [permission](Permissions::allow_tool).
    pub fn with_server(mut self, name: &str, tools: impl IntoIterator<Item = DynTool>) -> Self {
        for tool in tools {
            let name = format!("{name}.{}", tool.spec().name);
            let tool = tool.renamed(&name);
            self.insert(tool, Requirement::ToolPermission, false);
        }
        self
    }

    /// Lets flows name a model that has not been opened, such as one whose key is missing. Such a flow can be
    /// inspected, and fails when it calls the model.
    pub fn with_unopened_model(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with_model(name.clone(), UnopenedModel(name))
    }

    /// Lets flows name any tool of a server that is not connected. Such a flow can be inspected, and fails when it
    /// calls one.
    pub fn with_unopened_server(mut self, name: impl Into<String>) -> Self {
        self.unopened.insert(name.into());
        self
    }

    /// Adds the tools, steps and models of a registry. A step is called like a tool, with any arguments. Steps and
    /// safe tools may run; other tools need a [permission](Permissions::allow_tool) among those that the toolbox was
    /// created with.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if a tool has the same name: no extension replaces a
    /// built-in tool.
    pub fn with_registry(mut self, registry: &Registry) -> Result<Self> {
        self.registry = Some(Arc::new(registry.clone()));
        let tools = registry.tools().map(|spec| registry.find_tool(&spec.name).cloned());
        let steps = registry.steps().map(|(name, registered)| {
            let step = registered.step.clone();
            Ok(DynTool::from_schema(name, &registered.description, json!({ "type": "object" }), step))
        });
        for tool in tools.chain(steps) {
            let tool = tool?;
            let name = &tool.spec().name;
            if self.tools.contains_key(name) {
                let error = Error::invalid(format!("there is a built-in tool `{name}` already"));
                return Err(error.with_hint("give the one of the extension another name"));
            }
            self.insert(tool, Requirement::ToolPermission, false);
        }
        Ok(self)
    }

    fn insert(&mut self, tool: DynTool, requirement: Requirement, pure: bool) {
        let missing = requirement.missing(&tool, &Gate::of_user(&self.granted));
        let refused = missing.first().map(MissingPermission::remedy);
        self.tools.insert(tool.spec().name.clone(), ToolEntry { tool, refused, requirement, pure });
    }

    /// Returns a tool by its name, for a flow that requests every permission.
    pub fn get(&self, name: &str) -> Option<&DynTool> {
        self.tools.get(name).map(|entry| &entry.tool)
    }

    /// Returns a model by its name; `None` if it is unknown or its provider cannot create it.
    pub fn model(&self, name: &str) -> Option<Arc<dyn Model>> {
        let registered = || self.registry.as_ref()?.find_model(name).ok();
        self.models.get(name).cloned().or_else(registered)
    }

    /// Returns the names of the models, sorted.
    pub fn models(&self) -> impl Iterator<Item = &str> + Clone {
        let registered: BTreeSet<&str> = self.registry.iter().flat_map(|registry| registry.models()).collect();
        let own = self.models.keys().map(String::as_str).filter(|name| !registered.contains(name));
        let mut names: Vec<&str> = own.chain(registered.iter().copied()).collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// Returns the permissions that both the flow requests and the user grants.
    pub(crate) fn gate(&self, asked: &Permissions) -> Gate {
        Gate::new(&self.granted, asked)
    }

    /// Returns a tool of a server that is not connected.
    fn unopened_tool(&self, name: &str, asked: &Permissions) -> Option<BoundTool> {
        let (server, _) =
            name.split_once('.').filter(|(server, tool)| self.unopened.contains(*server) && !tool.is_empty())?;
        let message = format!("the server `{server}` is not connected");
        let refuse = step(move |_: Value, _| {
            let error = Error::failed(message.clone());
            async move { Err::<Value, _>(error) }
        });
        let tool = DynTool::from_schema(name, "", json!({ "type": "object" }), refuse).security(Privilege::Privileged);
        let missing = Requirement::ToolPermission.missing(&tool, &self.gate(asked));
        Some(BoundTool { tool, missing })
    }

    /// Returns a tool by its name, within the flow's requests and the user's grants.
    pub(crate) fn bind(&self, name: &str, asked: &Permissions) -> Option<BoundTool> {
        let Some(entry) = self.tools.get(name) else { return self.unopened_tool(name, asked) };
        let gate = self.gate(asked);
        let tool = match &entry.requirement {
            Requirement::Permissions(_, make) => make(&gate),
            Requirement::None | Requirement::ToolPermission => entry.tool.clone(),
        };
        let missing = entry.requirement.missing(&tool, &gate);
        Some(BoundTool { tool, missing })
    }

    /// Returns the option that would allow a tool, if it may not run.
    pub fn refused(&self, name: &str) -> Option<&str> {
        self.tools.get(name)?.refused.as_deref()
    }

    /// Returns whether a tool only computes from its arguments: equal arguments give equal results.
    pub fn is_pure(&self, name: &str) -> bool {
        self.tools.get(name).is_some_and(|entry| entry.pure)
    }

    /// Returns whether this is the name of a built-in tool that has not been replaced.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.tools
            .get(name)
            .is_some_and(|entry| entry.pure || matches!(entry.requirement, Requirement::Permissions(..)))
    }

    /// Returns the description of a tool.
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.get(name).map(DynTool::spec)
    }

    /// Returns the descriptions of the tools, by name.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.tools.values().map(|entry| entry.tool.spec())
    }

    /// Returns the names of the tools, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tools.keys().map(String::as_str)
    }
}

/// A model that cannot be called.
struct UnopenedModel(String);

impl Model for UnopenedModel {
    fn name(&self) -> &str {
        &self.0
    }

    fn stream(&self, _: Request, _: &Context) -> ModelStream {
        let error = Error::failed(format!("the model `{}` has not been opened", self.0)).permanent();
        ModelStream::produce(async move |_| Err(error))
    }
}

impl Requirement {
    fn missing(&self, tool: &DynTool, gate: &Gate) -> Vec<MissingPermission> {
        match self {
            Requirement::None => Vec::new(),
            Requirement::Permissions(kind, _) => gate.missing(*kind),
            Requirement::ToolPermission => gate.missing_tool(tool.spec()).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use llmspell_tools::Grantor;

    use super::*;

    #[test]
    fn tools_are_bound_to_requested_and_granted_permissions() {
        let toolbox = Toolbox::built_in(&Permissions::none().allow("net=a.org").unwrap());
        let bind = |name: &str, asked: &str| toolbox.bind(name, &Permissions::none().allow(asked).unwrap()).unwrap();
        assert_eq!(bind("http_get", "net").missing, []);
        assert_eq!(bind("http_get", "net=b.org").missing[0].remedy(), "--allow net=b.org");
        assert_eq!(bind("http_get", "read").missing[0].side(), Grantor::Flow);
        assert_eq!(bind("json", "read").missing, []);
        assert!(toolbox.bind("nothing", &Permissions::everything()).is_none());
        use llmspell::Step;
        let twice = |name: &str| toolbox.get(name).unwrap().info().idempotent;
        assert!(twice("json") && twice("http_get") && twice("read_file"));
        assert!(!twice("http_request") && !twice("command") && !twice("write_file"));
        assert!(toolbox.is_pure("json") && !toolbox.is_pure("slow") && !toolbox.is_pure("http_get"));
    }

    #[test]
    fn tools_of_extensions_are_requested_by_name() {
        let tool = |name: &str| {
            let step = llmspell::step(|value, _| async move { Ok(value) });
            DynTool::from_schema(name, "", json!({}), step)
        };
        let mut registry = Registry::new();
        registry.tool(tool("safe")).unwrap();
        registry.tool(tool("a b").security(llmspell::tool::Privilege::Restricted)).unwrap();
        let granted = Permissions::none();
        let toolbox = Toolbox::built_in(&granted).with_registry(&registry).unwrap();
        assert_eq!(toolbox.bind("safe", &Permissions::none()).unwrap().missing, []);
        let asked = Permissions::none().allow_tool("a b");
        assert_eq!(toolbox.bind("a b", &asked).unwrap().missing[0].remedy(), "--allow 'tool=a b'");
        let missing = toolbox.bind("a b", &Permissions::none()).unwrap().missing;
        assert_eq!(missing[0].hint(), "add to the flow file: allow: { tool: [\"a b\"] }");
        // The grants of the user cover all tools.
        let toolbox = Toolbox::built_in(&Permissions::none().allow_tool("a b")).with_registry(&registry).unwrap();
        assert_eq!(toolbox.bind("a b", &asked).unwrap().missing, []);
        assert_eq!(
            toolbox.bind("http_get", &Permissions::everything()).unwrap().missing[0].remedy(),
            "--allow net=HOST"
        );
    }
}
