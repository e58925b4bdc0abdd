//! The JSON Schema of flow files, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::syntax::file::FlowFile;

/// The JSON Schema of flow files. It stands in `schema/flow.v1.json`, where a line at the top of a flow points to:
/// `# yaml-language-server: $schema=…`.
///
/// It is for completion and first checks in editors; [`Flow::parse`](crate::Flow::parse) knows more and says it better.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<FlowFile>().to_value()
}
