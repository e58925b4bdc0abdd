//! Registries: what extensions bring is found by its name, and nothing takes the place of something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::model::Model;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Event, Extension, Registry, Result, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};

fn tool(name: &str) -> DynTool {
    let echo = step(|arguments: Value, _| async move { Ok(arguments) });
    DynTool::from_schema(name, "Gives it back.", json!({ "type": "object" }), echo)
}

/// Brings a tool, two models, a provider, a step and a counter of events.
struct Everything(Arc<AtomicUsize>);

impl Extension for Everything {
    fn name(&self) -> &str {
        "everything"
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        registry.tool(tool("search"))?;
        registry.model(ScriptedModel::new("mine/small").says("small"))?;
        registry.provider("mine", |name| {
            if name == "none" {
                return Err(Error::denied("no key for `mine`"));
            }
            Ok(ScriptedModel::new(format!("mine/{name}")))
        })?;
        registry.step(
            "double",
            "Doubles a number.",
            step(|n: Value, _| async move { Ok(json!(n.as_i64().unwrap_or(0) * 2)) }),
        )?;
        let count = self.0.clone();
        registry.sink(move |_: &Event| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        Ok(())
    }
}

/// Brings a tool of a name of its choice.
struct One(&'static str);

impl Extension for One {
    fn name(&self) -> &str {
        "one"
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        registry.tool(tool(self.0))
    }
}

#[tokio::test]
async fn what_an_extension_brings_is_found_by_its_name() -> Result<()> {
    let events = Arc::new(AtomicUsize::new(0));
    let registry = Registry::new().with(Everything(events.clone()))?;
    let cx = registry.observe(&Context::new());

    let found = registry.find_tool("search")?.run(json!({ "a": 1 }), &cx).await?;
    assert_eq!(found, json!({ "a": 1 }));
    assert!(events.load(Ordering::Relaxed) >= 2, "the call's start and end are told");
    assert_eq!(registry.find_step("double")?.step.run(json!(21), &cx).await?, 42);
    assert_eq!(registry.find_model("mine/small")?.name(), "mine/small");
    assert_eq!(registry.find_model("mine/large")?.name(), "mine/large", "made by the provider");
    assert_eq!(registry.find_model("mine/none").err().map(|error| error.kind()), Some(ErrorKind::Denied));
    Ok(())
}

#[test]
fn a_name_that_does_not_exist_is_an_error_that_helps() -> Result<()> {
    let registry = Registry::new().with(Everything(Arc::default()))?;
    let error = registry.find_tool("saerch").expect_err("no such tool");
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, Some("did you mean `search`?")));
    let error = registry.find_model("yours/small").err().expect("no such provider");
    assert_eq!(error.hint(), Some("the models are: mine/small, mine/…"));
    let error = Registry::new().find_step("double").err().expect("nothing is there");
    assert_eq!(error.hint(), Some("no steps are registered"));
    Ok(())
}

#[test]
fn a_name_is_given_once_and_the_error_says_who_has_it() -> Result<()> {
    for name in ["search", "double"] {
        let registry = Registry::new().with(Everything(Arc::default()))?;
        let error = registry.with(One(name)).expect_err("the name is taken");
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(text.contains("`one`") && text.contains(name) && text.contains("`everything`"), "{text}");
        assert!(error.hint().is_some());
    }
    Ok(())
}

/// Is made of others, and brings a tool of its own after them.
struct Bundle(Vec<Box<dyn Extension>>);

impl Extension for Bundle {
    fn name(&self) -> &str {
        "bundle"
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        for part in &self.0 {
            *registry = std::mem::take(registry).with(part)?;
        }
        registry.tool(tool("late"))
    }
}

#[test]
fn an_extension_can_be_made_of_others_and_of_objects() -> Result<()> {
    let bundle = Bundle(vec![Box::new(One("a")), Box::new(One("b"))]);
    let registry = Registry::new().with(&bundle as &dyn Extension)?;
    assert_eq!(registry.tools().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["a", "b", "late"]);
    for (taken, owner) in [("a", "one"), ("late", "bundle")] {
        let error = registry.clone().with(One(taken)).expect_err("two of one name");
        assert!(error.message().contains(&format!("from the extension `{owner}`")), "{error}");
    }
    // What comes after the bundle is not of it.
    let mut registry = registry;
    registry.tool(tool("mine"))?;
    let error = registry.with(One("mine")).expect_err("two of one name");
    assert!(!error.message().contains("from the extension"), "{error}");
    Ok(())
}
