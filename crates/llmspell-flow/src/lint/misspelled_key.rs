//! A key that is almost the name of an input.

use llmspell::internal::suggest;

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "misspelled-key",
    explanation: "The `key` of the flow is not a declared input, but differs from one by a letter or two.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    // Records may have undeclared fields, so only a probable typing error is reported.
    if let (Some(key), Some(inputs)) = (&file.key, &file.inputs) {
        let names = inputs.0.iter().map(|(name, _)| name.value.as_str());
        // Most short words are similar to another word.
        let is_long = key.value.chars().count() >= 4;
        let near = suggest::nearest(&key.value, names).filter(|near| is_long && *near != key.value);
        if let Some(near) = near {
            let message = format!("the key `{}` is not a declared input", key.value);
            warnings.push(&key.at, message, format!("did you mean `{near}`?"));
        }
    }
}
