//! Keys appear nowhere but in the header that they are for.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use llmspell::model::Model;
use llmspell::{Context, Step};
use llmspell_models::Models;
use llmspell_test::fault_server::Answer;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

use super::{KEY, WIRES, failure_in, model, models, server, soon};

/// Everything that is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_server_that_repeats_the_key_does_not_make_it_known() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    tracing::error!("the log works");
    let said = format!("no such key: {KEY}");
    for wire in WIRES {
        let error = json!({ "error": { "message": said, "type": KEY, "code": KEY } });
        let frame = match wire {
            llmspell_models::Wire::Ollama => Answer::lines().line(json!({ "error": said })),
            llmspell_models::Wire::Anthropic => Answer::events().event("error", error.clone()),
            _ => Answer::events().data(error.clone()),
        };
        let in_head = Answer::status(401).header("x-request-id", KEY).body(error.to_string());
        let as_page = Answer::status(502).body(format!("<html><title>{said}</title>"));
        let plain = Answer::status(400).body(format!("{}{said}", "x".repeat(280)));
        let not_json = Answer::events().body(format!("data: {{{KEY}\n\n"));
        let server = server([in_head, as_page, plain, frame, not_json]).await;
        for _ in 0..5 {
            let cx = Context::recording();
            let (error, cause) = failure_in(model(&server, wire), &cx).await;
            let events = serde_json::to_string(&cx.events()).unwrap();
            let shown = format!("{error:?} {error} {cause:?} {} {events}", serde_json::to_string(&error).unwrap());
            assert!(!shown.contains(KEY), "{wire:?}: {shown}");
            // A key that was cut in two is known by its beginning.
            assert!(!shown.contains(&KEY[..12]), "{wire:?}: {shown}");
        }
    }
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("the log works") && !logged.contains(KEY), "{logged}");
}

#[tokio::test]
async fn nothing_that_can_be_printed_has_the_key() {
    let server = server([Answer::says(llmspell_models::Wire::OpenAi, "Hi")]).await;
    let models = models(&server, llmspell_models::Wire::OpenAi);
    let model = models.get("test/x").unwrap();
    let cx = Context::recording();
    let reply = soon(model.clone().step().named("ask").run("Hello?".into(), &cx)).await.unwrap();
    let events = serde_json::to_string(&cx.events()).unwrap();
    let shown = format!("{models:?} {model:?} {:?} {reply:?} {events} {}", model.clone().step(), cx.report());
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_unseen() {
    for key in ["sk-two words", "sk-line\nbreak", "sk-schlüssel"] {
        let error = Models::new().key("openai", key).get("openai/x").unwrap_err();
        assert!(!format!("{error:?}").contains(key), "{error:?}");
        assert_eq!(error.kind(), llmspell::ErrorKind::Denied);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn keys_come_from_files_too() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sk-in-a-file-123\n").unwrap();
    let allow = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let from_env = Models::from_vars(move |name| (name == "OPENAI_API_KEY_FILE").then(|| path.clone()));
    let from_code = Models::new().key_file("openai", file.path());
    for models in [from_env, from_code] {
        let server = server([Answer::says(llmspell_models::Wire::OpenAi, "Hi")]).await;
        let models = models.base_url("openai", server.url("/v1"));
        allow(0o604);
        let error = models.get("openai/x").unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.starts_with("chmod")), "{error:?}");
        allow(0o600);
        super::events(&models.get("openai/x").unwrap(), "Hello?").await;
        assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-in-a-file-123"));
    }
    let error = Models::new().key_file("openai", "/nowhere/key").get("openai/x").unwrap_err();
    assert!(error.message().contains("/nowhere/key"), "{error:?}");
}
