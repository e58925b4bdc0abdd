//! Registries: entries are found by name, and a name cannot be registered twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::model::Model;
use llmspell::observe::Event;
use llmspell::registry::{Extension, Registry};
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Result, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};

fn tool(name: &str) -> DynTool {
    let echo = step(|arguments: Value, _| async move { Ok(arguments) });
    DynTool::from_schema(name, "Returns its input.", json!({ "type": "object" }), echo)
}

/// Adds a tool, a model, a provider, a step and a counter of events.
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

/// Adds one tool with a given name.
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
async fn entries_of_an_extension_are_found_by_name() -> Result<()> {
    let events = Arc::new(AtomicUsize::new(0));
    let registry = Registry::new().with(Everything(events.clone()))?;
    let cx = registry.observe(&Context::new());

    let found = registry.find_tool("search")?.run(json!({ "a": 1 }), &cx).await?;
    assert_eq!(found, json!({ "a": 1 }));
    assert!(events.load(Ordering::Relaxed) >= 2, "the start and the end of the call are events");
    assert_eq!(registry.find_step("double")?.step.run(json!(21), &cx).await?, 42);
    assert_eq!(registry.find_model("mine/small")?.name(), "mine/small");
    assert_eq!(registry.find_model("mine/large")?.name(), "mine/large", "made by the provider");
    assert_eq!(registry.find_model("mine/none").err().map(|error| error.kind()), Some(ErrorKind::Denied));
    Ok(())
}

#[test]
fn an_unknown_name_is_an_error_with_a_hint() -> Result<()> {
    let registry = Registry::new().with(Everything(Arc::default()))?;
    let error = registry.find_tool("saerch").expect_err("no such tool");
    assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, Some("did you mean `search`?")));
    let error = registry.find_model("yours/small").err().expect("no such provider");
    assert_eq!(error.hint(), Some("the models are: mine/small, mine/…"));
    let error = Registry::new().find_step("double").expect_err("nothing is there");
    assert_eq!(error.hint(), Some("no steps are registered"));
    Ok(())
}

#[test]
fn a_taken_name_is_an_error_that_names_its_owner() -> Result<()> {
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

/// Adds other extensions, and then a tool of its own.
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
fn an_extension_can_add_others_and_be_a_trait_object() -> Result<()> {
    let bundle = Bundle(vec![Box::new(One("a")), Box::new(One("b"))]);
    let registry = Registry::new().with(&bundle as &dyn Extension)?;
    assert_eq!(registry.tools().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["a", "b", "late"]);
    for (taken, owner) in [("a", "one"), ("late", "bundle")] {
        let error = registry.clone().with(One(taken)).expect_err("two of one name");
        assert!(error.message().contains(&format!("from the extension `{owner}`")), "{error}");
    }
    // Entries added after the bundle do not belong to it.
    let mut registry = registry;
    registry.tool(tool("mine"))?;
    let error = registry.with(One("mine")).expect_err("two of one name");
    assert!(!error.message().contains("from the extension"), "{error}");
    Ok(())
}
