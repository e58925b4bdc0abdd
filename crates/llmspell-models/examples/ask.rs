//! Asks a model, and shows what it says as it says it.
//!
//! ```text
//! cargo run -p llmspell-models --example ask -- openai/gpt-5-mini "The capital of France?"
//! cargo run -p llmspell-models --example ask -- http://127.0.0.1:8080/v1 "The capital of France?"
//! ```

use std::io::Write;

use llmspell::model::{Model, ModelEvent, Request};
use llmspell::{Context, Result};
use llmspell_models::{Models, Wire};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err(llmspell::Error::invalid("what is asked, and who?").with_hint("ask provider/model \"a question\""));
    };
    let model = if name.contains("://") {
        Models::from_env().endpoint("local", Wire::OpenAi, name).get("local/default")?
    } else {
        llmspell_models::model(&name)?
    };
    let mut stream = model.stream(Request::new(question), &Context::new());
    let mut out = std::io::stdout().lock();
    while let Some(event) = stream.next().await {
        match event? {
            ModelEvent::Text(text) => {
                write!(out, "{text}")?;
                out.flush()?;
            }
            ModelEvent::Usage(usage) => {
                writeln!(out, "\n({} tokens in, {} out)", usage.input_tokens, usage.output_tokens)?;
            }
            _ => {}
        }
    }
    Ok(())
}
