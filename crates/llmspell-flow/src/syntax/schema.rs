//! The JSON Schema of flow files, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::syntax::file::FlowFile;

/// Returns the JSON Schema of flow files. A copy is in `schema/flow.v1.json`; a flow refers to it in its first line:
/// `# yaml-language-server: $schema=…`.
///
/// The schema serves completion and first checks in editors. [`Flow::parse`](crate::Flow::parse) checks more and has
/// better messages.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<FlowFile>().to_value()
}
