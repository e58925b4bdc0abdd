//! Tests for fields that cannot exist. The template compiler finds them, because it knows the tested names.

use super::Rule;

pub(crate) const RULE: Rule = Rule {
    id: "missing-field",
    explanation: "A template tests for a field that the value never has, so the test always has the same result.",
};
