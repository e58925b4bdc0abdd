//! Secrets that nothing uses.

use std::collections::BTreeSet;

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "unused-secret",
    explanation: "The flow declares a secret that no argument of a tool and no server uses.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let tokens = file.tools.0.iter().filter_map(|(_, tool)| tool.value.mcp.as_ref()?.value.token.as_ref());
    let tokens: BTreeSet<&str> = tokens.map(|token| token.value.as_str()).collect();
    for secret in &file.secrets {
        if !subject.used.has_secret(&secret.value) && !tokens.contains(secret.value.as_str()) {
            let hint = format!("use it in the arguments of a tool, as `secrets.{}`, or leave it out", secret.value);
            warnings.push(&secret.at, format!("nothing uses the secret `{}`", secret.value), hint);
        }
    }
}
