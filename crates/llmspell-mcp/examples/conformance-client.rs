//! The client for MCP's conformance suite. It connects to the URL in the last argument, lists the tools, and calls each
//! with arguments that its schema allows.

use llmspell::{Context, Error, Result, Step};
use llmspell_mcp::Client;
use serde_json::{Map, Value, json};

/// Returns a value that matches a schema, as far as the tools of the suite require.
fn example_value(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            Value::Object(
                properties.iter().map(|(name, schema)| (name.clone(), example_value(schema))).collect::<Map<_, _>>(),
            )
        }
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        _ => json!("text"),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().next_back().ok_or_else(|| Error::invalid("`conformance-client URL`"))?;
    let cx = Context::new();
    let client = Client::http(url).connect(&cx).await?;
    for tool in client.tools(&cx).await? {
        let arguments = example_value(&tool.spec().parameters);
        println!("{} {arguments}", tool.spec().name);
        println!("{}", tool.run(arguments, &cx).await?);
    }
    client.close().await;
    Ok(())
}
