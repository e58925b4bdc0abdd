//! What a tool lacks to be run, and what to do about it.

use std::fmt;

/// Who has to allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// The flow does not ask for it.
    Flow,
    /// The user does not grant it.
    User,
}

/// A permission that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    side: Side,
    grant: String,
}

impl Missing {
    pub(crate) fn new(side: Side, grant: String) -> Self {
        Missing { side, grant }
    }

    /// Who has to allow it.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What has to be allowed, such as `net=example.org`; or `net=HOST`, if it is not known which one.
    pub fn grant(&self) -> &str {
        &self.grant
    }

    /// What to do: the option to give, ready to be pasted into a shell, or the line to add to the flow file.
    pub fn remedy(&self) -> String {
        match self.side {
            Side::User => option(&self.grant),
            Side::Flow => {
                let (kind, value) = self.grant.split_once('=').unwrap_or((&self.grant, "*"));
                // A string of JSON is one of YAML.
                format!("allow: {{ {kind}: [{}] }}", serde_json::Value::from(value))
            }
        }
    }

    /// What to do, as a hint.
    pub fn hint(&self) -> String {
        match self.side {
            Side::User => format!("allow it with {}", self.remedy()),
            Side::Flow => format!("the flow file has to ask for it: {}", self.remedy()),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side::User => write!(f, "`{}` was not allowed", self.grant),
            Side::Flow => write!(f, "the flow does not ask for `{}`", self.grant),
        }
    }
}

/// The option that allows something.
fn option(grant: &str) -> String {
    format!("--allow {}", pasteable(grant))
}

/// A text as one word of a shell: names of tools come from servers, and what they call `x --allow command` must not
/// allow that.
pub(super) fn pasteable(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
