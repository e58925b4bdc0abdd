//! The effect of calling a tool twice, derived from the tool and its arguments.

use llmspell::Step;
use llmspell::tool::Privilege;

use super::Checker;
use super::flow_tools::ResolvedTool;
use crate::ir::repeatability::Repeatability;
use crate::template::Template;

impl Checker<'_> {
    /// Returns the effect of calling a tool twice with these arguments.
    pub(super) fn repeatability(
        &self,
        name: &str,
        tool: &ResolvedTool,
        arguments: &[(String, Template)],
    ) -> Repeatability {
        if tool.is_pure || tool.tool.clone().into_step().info().idempotent {
            return Repeatability::Safe;
        }
        let is_own = !tool.definition.is_null();
        if !is_own && self.toolbox.is_built_in(name) {
            return built_in(name, arguments);
        }
        // Nothing is known of the tools of a server that is not connected.
        match tool.tool.spec().security {
            Privilege::Privileged if is_own || self.toolbox.get(name).is_some() => Repeatability::Unsafe,
            _ => Repeatability::Unknown,
        }
    }
}

fn built_in(name: &str, arguments: &[(String, Template)]) -> Repeatability {
    let given = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let text = |name: &str| given(name).map(|value| value.literal().and_then(|value| value.as_str()));
    match name {
        "http_request" => {
            let stated = given("idempotent").map(|value| value.literal().and_then(|value| value.as_bool()));
            let keyed = given("headers").is_some_and(|headers| headers.has_key("idempotency-key"));
            match (stated, text("method")) {
                (Some(Some(true)), _) => Repeatability::Safe,
                (Some(None), _) => Repeatability::Unknown,
                (Some(Some(false)), _) => Repeatability::Unsafe,
                (None, Some(Some("POST" | "PATCH"))) if !keyed => Repeatability::Unsafe,
                (None, Some(Some(_))) => Repeatability::Safe,
                (None, _) => Repeatability::Unknown,
            }
        }
        "write_file" => match text("mode") {
            None | Some(Some("overwrite")) => Repeatability::Sequential,
            Some(None) => Repeatability::Unknown,
            Some(Some(_)) => Repeatability::Unsafe,
        },
        _ => Repeatability::Unsafe,
    }
}
