//! The names that a flow declares, and the names that its templates use.

use std::collections::BTreeSet;

use crate::syntax::file::FlowFile;

/// The names that a flow declares, as listed in a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeclaredNames {
    pub(crate) secrets: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) servers: Vec<String>,
}

impl DeclaredNames {
    pub(crate) fn of(file: &FlowFile) -> Self {
        let servers = file.tools.0.iter().filter(|(_, tool)| tool.value.mcp.is_some());
        DeclaredNames {
            secrets: file.secrets.iter().map(|secret| secret.value.clone()).collect(),
            models: file.models.0.iter().map(|(name, _)| name.value.clone()).collect(),
            servers: servers.map(|(name, _)| name.value.clone()).collect(),
        }
    }
}

/// The names that the templates of a flow use.
#[derive(Debug, Default)]
pub(crate) struct UsedNames(BTreeSet<String>);

impl UsedNames {
    /// Records that a template uses `inputs`, `inputs.FIELD`, `steps.ID` or `secrets.NAME`.
    pub(crate) fn add(&mut self, name: String) {
        self.0.insert(name);
    }

    /// Returns whether a template uses a field of the record.
    pub(crate) fn has_input(&self, field: &str) -> bool {
        self.0.contains("inputs") || self.0.contains(&format!("inputs.{field}"))
    }

    /// Returns whether a template uses a secret.
    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        self.0.contains(&format!("secrets.{secret}"))
    }

    /// Returns whether a template uses the output of a step.
    pub(crate) fn has_step(&self, id: &str) -> bool {
        self.0.contains(&format!("steps.{id}"))
    }
}
