//! The server for MCP's conformance suite, with the tools that the suite calls: `conformance-server [ADDRESS | stdio]`.
//! The default address is `127.0.0.1:0`.

use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, step};
use llmspell_mcp::Server;
use serde_json::{Value, json};

/// A red dot.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// Silence.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

fn returning(name: &str, description: &str, value: Value) -> DynTool {
    let constant = step(move |_: Value, _| {
        let value = value.clone();
        async move { Ok(value) }
    });
    DynTool::from_schema(name, description, json!({ "type": "object" }), constant)
}

fn tools() -> Vec<DynTool> {
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    let audio = json!({ "type": "audio", "data": WAV, "mimeType": "audio/wav" });
    let embedded = |uri: &str, mime: &str, text: &str| json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime, "text": text } });
    let plain = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.");
    let mixed = embedded("test://mixed-content-resource", "application/json", "{\"test\":\"data\",\"value\":123}");
    let text = json!({ "type": "text", "text": "Multiple content types test:" });
    let failing = step(|_: Value, _| async {
        Err::<Value, _>(Error::failed("This tool intentionally returns an error for testing"))
    });
    let progress = step(|_: Value, cx: Context| async move {
        for done in [0, 50, 100] {
            cx.emit(json!({ "progress": done, "total": 100 })).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(json!("done"))
    });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": { "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } } } },
        "properties": { "name": { "type": "string" }, "address": { "$ref": "#/$defs/address" } },
        "additionalProperties": false
    });
    let echo = step(|arguments: Value, _| async move { Ok(arguments) });
    vec![
        returning("test_simple_text", "Gives text.", json!("This is a simple text response for testing.")),
        returning("test_image_content", "Gives an image.", json!({ "content": [image] })),
        returning("test_audio_content", "Gives sound.", json!({ "content": [audio] })),
        returning("test_embedded_resource", "Gives a resource.", json!({ "content": [plain] })),
        returning("test_multiple_content_types", "Gives a mixture.", json!({ "content": [text, image, mixed] })),
        DynTool::from_schema("test_error_handling", "Fails.", json!({ "type": "object" }), failing),
        DynTool::from_schema("test_tool_with_progress", "Shows progress.", json!({ "type": "object" }), progress),
        DynTool::from_schema("json_schema_2020_12_tool", "Has a schema of 2020-12.", schema, echo),
    ]
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let server = Server::new("conformance", "1.0").tools(tools());
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    if address == "stdio" {
        return server.stdio(interrupted).await;
    }
    let bound = server.http(address).bind().await?;
    println!("{}", bound.url());
    bound.serve(interrupted).await
}
