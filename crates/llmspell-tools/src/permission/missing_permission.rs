//! A permission that a tool lacks, and how to grant it.

use std::fmt;

/// The side that must grant a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grantor {
    /// The flow must request it.
    Flow,
    /// The user must grant it.
    User,
}

/// A permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MissingPermission {
    side: Grantor,
    grant: String,
}

impl MissingPermission {
    pub(crate) fn new(side: Grantor, grant: String) -> Self {
        MissingPermission { side, grant }
    }

    /// Returns the side that must grant the permission.
    pub fn side(&self) -> Grantor {
        self.side
    }

    /// Returns the permission to grant, such as `net=example.org`, or `net=HOST` if the host is unknown.
    pub fn grant(&self) -> &str {
        &self.grant
    }

    /// Returns the option to paste into a shell, or the line to add to the flow file.
    pub fn remedy(&self) -> String {
        match self.side {
            Grantor::User => option(&self.grant),
            Grantor::Flow => {
                let (kind, value) = self.grant.split_once('=').unwrap_or((&self.grant, "*"));
                // A JSON string is a YAML string.
                format!("allow: {{ {kind}: [{}] }}", serde_json::Value::from(value))
            }
        }
    }

    /// Returns the remedy as a hint.
    pub fn hint(&self) -> String {
        match self.side {
            Grantor::User => format!("allow it with {}", self.remedy()),
            Grantor::Flow => format!("add to the flow file: {}", self.remedy()),
        }
    }
}

impl fmt::Display for MissingPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Grantor::User => write!(f, "`{}` was not allowed", self.grant),
            Grantor::Flow => write!(f, "the flow does not request `{}`", self.grant),
        }
    }
}

/// Returns the command-line option that grants a permission.
fn option(grant: &str) -> String {
    format!("--allow {}", shell_quoted(grant))
}

/// Quotes a text as one word of a shell. Tool names come from servers: a tool called `x --allow command` must not
/// grant that.
pub(super) fn shell_quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
