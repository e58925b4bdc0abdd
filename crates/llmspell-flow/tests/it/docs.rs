//! The examples in docs/flows.md, and the sample flows, are right.

use std::path::Path;

use llmspell_flow::{Flow, Source, Toolbox};

use llmspell_tools::Permissions;

#[test]
fn every_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/flows.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        let source = Source::new("docs/flows.md", block);
        // To be looked at, models and servers need not be opened.
        let declared = Flow::declarations(&source).unwrap_or_else(|wrong| panic!("{wrong}"));
        let mut toolbox = Toolbox::built_in(&Permissions::none());
        toolbox = declared.models.iter().fold(toolbox, |toolbox, model| toolbox.with_unopened_model(&*model.name));
        toolbox = declared.servers.iter().fold(toolbox, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let flow = Flow::parse(&source, &toolbox).unwrap_or_else(|wrong| panic!("{wrong}"));
        let warnings: Vec<String> = flow.warnings().map(ToString::to_string).collect();
        assert!(warnings.is_empty(), "{}", warnings.join("\n"));
    }
}
