//! Choosing a model by name: everything that is wrong is found before anything is sent.

use std::collections::HashMap;

use llmspell::model::Model;
use llmspell::{Error, ErrorKind};
use llmspell_models::{Models, Wire};
use llmspell_test::fault_server::Answer;

use super::{events, server};

fn env(vars: &[(&str, &str)]) -> Models {
    let vars: HashMap<String, String> = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Models::from_vars(move |name| vars.get(name).cloned())
}

fn refused(models: &Models, name: &str) -> Error {
    models.get(name).unwrap_err()
}

#[test]
fn a_name_says_whose_model_it_is() {
    for name in ["gpt-5-mini", "/gpt-5-mini", ""] {
        let error = refused(&Models::new(), name);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some_and(|hint| hint.contains("provider/model")), "{error:?}");
    }
    for name in ["openai", "openai/"] {
        let error = refused(&Models::new(), name);
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, Some("add the model's name: openai/…")));
    }
}

#[test]
fn an_unknown_provider_is_told_which_there_are() {
    let models = Models::new().endpoint("local", Wire::OpenAi, "http://127.0.0.1:1/v1");
    let error = refused(&models, "opnai/gpt-5-mini");
    assert_eq!(error.message(), "there is no provider `opnai`; there are anthropic, gemini, local, ollama, openai");
    assert_eq!(error.hint(), Some("did you mean `openai`?"));
    assert!(refused(&models, "acme/x").hint().is_some_and(|hint| hint.contains("Models::endpoint")));
}

#[test]
fn a_missing_key_is_found_at_once_and_named() {
    for (name, variable) in [
        ("openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.5-flash", "GEMINI_API_KEY"),
    ] {
        let error = refused(&env(&[]), name);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains(variable)), "{error:?}");
        // An empty variable counts as unset.
        assert_eq!(refused(&env(&[(variable, " ")]), name).kind(), ErrorKind::Denied);
        assert_eq!(env(&[(variable, "sk-0123456789")]).get(name).unwrap().name(), name);
    }
    assert!(env(&[]).get("ollama/llama3.2").is_ok(), "Ollama wants no key");
}

#[test]
fn an_address_is_looked_at_before_it_is_used() {
    for (url, complaint) in [("ftp://host/", "not http"), ("nowhere", "relative"), ("http://", "host")] {
        let models = Models::new().endpoint("local", Wire::OpenAi, url);
        let error = refused(&models, "local/x");
        assert!(error.message().contains(complaint), "{url}: {error:?}");
    }
    let with_password = Models::new().endpoint("local", Wire::OpenAi, "ftp://me:hunter2@host/");
    assert!(!format!("{:?}", refused(&with_password, "local/x")).contains("hunter2"));
    assert!(!format!("{with_password:?}").contains("hunter2"));
}

#[test]
fn an_ending_that_would_be_taken_for_an_effort_is_refused_where_it_would() {
    let models = env(&[("GEMINI_API_KEY", "sk-0123456789"), ("OPENAI_API_KEY", "sk-0123456789")]);
    assert_eq!(refused(&models, "gemini/gemini-x-high").kind(), ErrorKind::Invalid);
    assert!(models.get("openai/my-model-high").is_ok());
}

#[tokio::test]
async fn names_of_models_arrive_as_they_are() {
    for model in ["my-model-high", "org/model", "a::b", "a::b-low"] {
        let server = server([Answer::says(Wire::OpenAi, "Hi")]).await;
        let models = Models::new().endpoint("test", Wire::OpenAi, server.url("/v1"));
        events(&models.get(&format!("test/{model}")).unwrap(), "Hello?").await;
        let body = server.requests()[0].body.clone();
        assert_eq!(body["model"], model);
        assert!(body.get("reasoning_effort").is_none(), "{body}");
    }
}

#[tokio::test]
async fn addresses_come_from_the_environment() {
    let server = server([Answer::says(Wire::OpenAi, "Hi"), Answer::says(Wire::Ollama, "Hi")]).await;
    let host = server.url("").replace("http://", "");
    // Somewhere else, no key is needed, and none is sent.
    let models = env(&[("OPENAI_BASE_URL", &server.url("/api/v1/")), ("OLLAMA_HOST", &host)]);
    let (_, error) = events(&models.get("openai/x").unwrap(), "Hello?").await;
    assert!(error.is_none(), "{error:?}");
    let (_, error) = events(&models.get("ollama/x").unwrap(), "Hello?").await;
    assert!(error.is_none(), "{error:?}");
    let requests = server.requests();
    assert_eq!((requests[0].path.as_str(), requests[1].path.as_str()), ("/api/v1/chat/completions", "/api/chat"));
    assert_eq!(requests[0].header("authorization"), None);
}

#[tokio::test]
async fn what_is_set_comes_before_the_environment() {
    let server = server([Answer::says(Wire::OpenAi, "Hi")]).await;
    let models = env(&[("OPENAI_API_KEY", "sk-from-env-123"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")])
        .key("openai", "sk-from-code-123")
        .base_url("openai", server.url("/v1"));
    events(&models.get("openai/x").unwrap(), "Hello?").await;
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-from-code-123"));
}

#[tokio::test]
async fn an_endpoint_has_its_key_in_a_variable_of_its_name() {
    let server = server([Answer::says(Wire::OpenAi, "Hi")]).await;
    let models = env(&[("MY_CLOUD_API_KEY", "sk-my-cloud-123")]).endpoint("my-cloud", Wire::OpenAi, server.url("/v1"));
    events(&models.get("my-cloud/x").unwrap(), "Hello?").await;
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-my-cloud-123"));
}

#[tokio::test]
async fn headers_for_a_gateway_are_sent_with_and_without_a_key_and_never_shown() {
    const TOKEN: &str = "gateway-token-0123456789";
    for wire in super::WIRES {
        for has_key in [true, false] {
            let repeats = Answer::status(403).body(format!("{TOKEN} is not welcome"));
            let server = server([Answer::says(wire, "Hi"), repeats]).await;
            let mut models = Models::new().endpoint("test", wire, server.url("/v1")).header("test", "X-Gateway", TOKEN);
            if has_key {
                models = models.key("test", super::KEY);
            }
            let model = models.get("test/x").unwrap();
            let (_, error) = events(&model, "Hello?").await;
            assert!(error.is_none(), "{wire:?}: {error:?}");
            assert_eq!(server.requests()[0].header("x-gateway"), Some(TOKEN), "{wire:?}, key: {has_key}");
            let (_, error) = events(&model, "Hello?").await;
            let shown = format!("{error:?} {model:?} {models:?}");
            assert!(shown.contains("[key] is not welcome") && !shown.contains(TOKEN), "{shown}");
        }
    }
    let models = Models::new().endpoint("test", Wire::OpenAi, "http://127.0.0.1:1/");
    assert_eq!(refused(&models.clone().header("test", "no name", "x"), "test/x").kind(), ErrorKind::Invalid);
    assert_eq!(refused(&models.header("test", "x-name", "two\nlines"), "test/x").kind(), ErrorKind::Invalid);
}
