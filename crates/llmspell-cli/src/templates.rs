//! The flows that `init` writes and `demo` runs, and the schema that editors read with them.

/// A built-in flow with its records.
pub(crate) struct Template {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) flow: &'static str,
    pub(crate) records: &'static str,
    /// The options that grant its permissions, each after a space.
    pub(crate) grants: &'static str,
}

/// The template that needs neither a key nor the network.
pub(crate) const FIRST: Template = Template {
    name: "first",
    description: "three steps over questions; needs no key and no network",
    flow: include_str!("templates/first.yaml"),
    records: include_str!("templates/first.jsonl"),
    grants: "",
};

/// All templates.
pub(crate) const ALL: [Template; 3] = [
    FIRST,
    Template {
        name: "agent",
        description: "asks a model about each record; the model is simulated until you name another",
        flow: include_str!("templates/agent.yaml"),
        records: include_str!("templates/agent.jsonl"),
        grants: "",
    },
    Template {
        name: "pages",
        description: "fetches web pages and extracts their titles",
        flow: include_str!("templates/pages.yaml"),
        records: include_str!("templates/pages.jsonl"),
        grants: " --allow net=example.com --allow net=www.rust-lang.org",
    },
];

/// Returns the JSON Schema of flow files as the text of a file.
pub(crate) fn schema_text() -> String {
    serde_json::to_string_pretty(&llmspell_flow::schema()).unwrap_or_default()
}
