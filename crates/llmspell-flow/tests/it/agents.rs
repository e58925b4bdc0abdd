//! Agents of flows: prompts, tools, answers, and what they share. The clock is paused: times are exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use llmspell::model::Message;
use llmspell::model::{Finish, ModelError, ModelErrorClass, ModelEvent, Options, ToolCallDelta};
use llmspell::observe::Quality;
use llmspell::step::BoxStep;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, ErrorKind, Outcome, Step, step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_test::{ScriptedModel, SimulatedModel};
use llmspell_tools::Permissions;
use serde_json::{Value, json};
use tokio::time::Instant;

fn toolbox() -> Toolbox {
    Toolbox::built_in(&Permissions::none())
}

fn parsed(text: &str, toolbox: &Toolbox) -> Flow {
    Flow::parse(&Source::new("f.yaml", text), toolbox).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn wrong(text: &str, toolbox: &Toolbox) -> String {
    Flow::parse(&Source::new("f.yaml", text), toolbox).err().map_or(String::new(), |wrong| wrong.to_string())
}

fn flow(text: &str, models: impl IntoIterator<Item = (&'static str, ScriptedModel)>) -> BoxStep<Value, Value> {
    let toolbox = models.into_iter().fold(toolbox(), |toolbox, (name, model)| toolbox.with_model(name, model));
    parsed(text, &toolbox).into_step()
}

async fn one(flow: BoxStep<Value, Value>, record: Value) -> Outcome<Value> {
    flow.with_outcome().run(record, &Context::new()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_agent_answers_with_text_and_sees_the_record() {
    let model = ScriptedModel::new("test").says("Paris");
    let seen = model.clone();
    let flow = flow(
        "flow: f\nmodels: { m: { model: openai/x, temperature: 0.5, max_output_tokens: 9, options: { seed: 7, user: me } } }\n\
         steps:\n  - id: a\n    agent:\n      model: m\n      system: Be ${{ inputs.how }}.\n      prompt: Of ${{ inputs.list }}?\n",
        [("m", model)],
    );
    let outcome = one(flow, json!({ "how": "brief", "list": [1, 2] })).await;
    assert_eq!(outcome.result.unwrap(), "Paris");
    let request = &seen.requests()[0];
    assert_eq!(*request.messages, [Message::system("Be brief."), Message::user("Of [1,2]?")]);
    let wanted = Options::new().temperature(0.5).max_tokens(9).seed(7).extra("user", "me");
    assert_eq!(*request.options, wanted);
}

const TYPED: &str = "flow: f\nsteps:\n  - id: verdict\n    agent:\n      model: m/m\n      prompt: Is it?\n      \
                     answer: { spam: { type: boolean, description: Whether it is. }, why: { type: string, required: false } }\n";

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_fields_that_are_declared() {
    let model = ScriptedModel::new("test").says("It is.").says("```json\n{ \"spam\": true }\n```");
    let seen = model.clone();
    let outcome = one(flow(TYPED, [("m/m", model)]), json!({})).await;
    assert_eq!(outcome.result.unwrap(), json!({ "spam": true, "why": null }));
    let output = serde_json::to_value(&seen.requests()[0].options.output).unwrap();
    assert_eq!(output["schema"]["name"], "verdict");
    assert_eq!(output["schema"]["schema"]["properties"]["spam"]["description"], "Whether it is.");
    assert_eq!(output["schema"]["schema"]["required"], json!(["spam"]));
    assert!(seen.requests()[1].last_text().contains("expected value"), "{}", seen.requests()[1].last_text());

    let model = ScriptedModel::new("test").says("{\"spam\":1}").says("{\"spam\":\"no\"}");
    let error = one(flow(TYPED, [("m/m", model)]), json!({})).await.result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let wanted = "f.verdict: the model did not answer with the fields of `verdict`: `spam` is not a boolean; its fields are \
                  `spam` (boolean); `why` (string), which may be missing";
    assert_eq!(error.to_string(), wanted);
    let model = ScriptedModel::new("test").says("1 2 3").says("1 2 3");
    let error = one(flow(TYPED, [("m/m", model)]), json!({})).await.result.unwrap_err();
    assert!(error.to_string().contains("of `verdict`: it is not JSON (trailing characters"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tools_are_called_within_what_is_allowed() {
    let text = "flow: f\nallow: { tool: [notes.search] }\ntools: { notes: { mcp: { url: 'http://127.0.0.1:1/' } } }\n\
                steps: [{ id: a, agent: { model: m/m, prompt: Look, tools: [notes.search, json] } }]\n"
        .replace("tool: [notes.search]", "tool: [notes.search], net: ['127.0.0.1']");
    let search = || {
        let found = step(|arguments: Value, _| async move { Ok(json!(format!("nothing on {}", arguments["query"]))) });
        DynTool::from_schema("search", "Searches.", json!({ "type": "object" }), found).security(Privilege::Restricted)
    };
    let model = ScriptedModel::new("test").calls("notes_search", json!({ "query": "rust" })).says("Nothing.");
    let seen = model.clone();
    let granted = Permissions::none().allow("net=127.0.0.1").unwrap();
    let with = |granted: &Permissions| {
        Toolbox::built_in(granted).with_model("m/m", model.clone()).with_server("notes", [search()])
    };
    let refused = parsed(&text, &with(&granted)).check_permissions().unwrap_err().to_string();
    assert!(refused.contains("f.yaml:4:") && refused.contains("--allow tool=notes.search"), "{refused}");
    let unasked = wrong(&text.replace("tool: [notes.search], ", ""), &with(&granted));
    assert!(unasked.contains("add to the flow file: allow: { tool: [\"notes.search\"] }"), "{unasked}");

    let flow = parsed(&text, &with(&granted.allow_tool("notes.search")));
    assert!(flow.check_permissions().is_ok());
    assert_eq!(one(flow.into_step(), json!({})).await.result.unwrap(), "Nothing.");
    let tools: Vec<_> = seen.requests()[0].tools.iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(tools, ["notes_search", "json"]);
    assert_eq!(seen.requests()[1].last_text(), "nothing on \"rust\"");
}

#[tokio::test(start_paused = true)]
async fn tokens_and_keys_are_in_nothing_that_servers_and_models_say_back() {
    // Cargo sets them for every test; neither stands in the other, nor anywhere else.
    let (token, key) = (env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_DESCRIPTION"));
    let text = "flow: f\nallow: { tool: [notes.search], net: ['127.0.0.1'] }\n\
                models: { quick: { model: m/m, key: CARGO_PKG_DESCRIPTION } }\n\
                tools: { notes: { mcp: { url: 'http://127.0.0.1:1/', token: CARGO_MANIFEST_DIR } } }\n\
                steps:\n  - { id: a, agent: { model: quick, prompt: Look } }\n  \
                - { id: b, tool: notes.search, with: { a: '${{ steps.a }}' } }\n\
                output: ['${{ steps.a }}', '${{ steps.b }}']\n";
    let fails = Arc::new(AtomicBool::new(false));
    let says = fails.clone();
    let found = step(move |_: Value, _| {
        let fails = says.load(Ordering::Relaxed);
        async move { if fails { Err(Error::failed(format!("401: {token}"))) } else { Ok(json!([token])) } }
    });
    let search = DynTool::from_schema("search", "Searches.", json!({ "type": "object" }), found);
    let model = ScriptedModel::new("test").says(format!("I am {key}")).says("Well.");
    let granted = Permissions::none().allow("net=127.0.0.1").unwrap().allow_tool("notes.search");
    let toolbox = Toolbox::built_in(&granted).with_model("quick", model).with_server("notes", [search]);
    let flow = || parsed(text, &toolbox);
    assert_eq!(flow().secret_in(token), Some("CARGO_MANIFEST_DIR"));
    assert_eq!(one(flow().into_step(), json!({})).await.result.unwrap(), json!(["I am ***", ["***"]]));
    fails.store(true, Ordering::Relaxed);
    let error = one(flow().into_step(), json!({})).await.result.unwrap_err();
    assert_eq!(error.message(), "401: ***");
}

#[tokio::test(start_paused = true)]
async fn agents_race_for_the_first_token() {
    let text = "flow: f\nsteps:\n  - id: both\n    first: output\n    race:\n      \
                - { id: slow, agent: { model: m/slow, prompt: Go } }\n      - { id: quick, agent: { model: m/quick, prompt: Go } }\n";
    let slow = ScriptedModel::new("slow").says("slow").delay(Duration::from_secs(5));
    let quick = ScriptedModel::new("quick").says("quick").delay(Duration::from_secs(1));
    let began = Instant::now();
    let outcome = one(flow(text, [("m/slow", slow), ("m/quick", quick)]), json!({})).await;
    assert_eq!(outcome.result.unwrap(), "quick");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_smaller_model_stands_in_and_silence_has_a_timeout() {
    let text = "flow: f\ndefaults: { model: m/small }\nsteps:\n  - id: a\n    agent: { model: m/large, prompt: Go }\n    \
                timeout: { first: 2s, idle: 10s }\n    fallback: { agent: { prompt: Go } }\n";
    let large = ScriptedModel::new("large").hangs();
    let small = ScriptedModel::new("small").says("small");
    let began = Instant::now();
    let outcome = one(flow(text, [("m/large", large), ("m/small", small)]), json!({})).await;
    assert_eq!(outcome.result.unwrap(), "small");
    assert_eq!(outcome.quality, Quality::Fallback);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_shared_by_all_agents_that_name_the_model() {
    let text = "flow: f\nmodels: { m: { model: x/y, rate: { requests: 1/s, burst: 1s } }, n: x/y }\nsteps:\n  \
                - { id: a, agent: { model: m, prompt: Go } }\n  - { id: b, agent: { model: m, prompt: Go } }\n";
    let model = || SimulatedModel::new("test").first_token(Duration::ZERO, 0.0).tokens_per_second(1e6);
    let run = async |text: &str| {
        let toolbox = toolbox().with_model("m", model()).with_model("n", model());
        let flow = parsed(text, &toolbox).into_step();
        let began = Instant::now();
        flow.stream([json!({}), json!({})], &Context::new()).ordered().try_collect().await.unwrap();
        began.elapsed().as_secs_f64()
    };
    let shared = run(text).await;
    assert!((2.9..3.2).contains(&shared), "{shared}");
    let alone = run(&text.replace("b, agent: { model: m", "b, agent: { model: n")).await;
    assert!((0.9..1.2).contains(&alone), "{alone}");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_has_said_is_its_answer_if_it_may_be_partial() {
    let text =
        "flow: f\nsteps: [{ id: a, agent: { model: m/m, prompt: Go, partial: true, max_turns: 1, tools: [json] } }]\n";
    let call = ToolCallDelta::begin(0, "1", "json").with_arguments("{\"value\":1}");
    let events = [ModelEvent::Text("So far".into()), ModelEvent::ToolCall(call), ModelEvent::Finish(Finish::ToolCalls)];
    let model = ScriptedModel::new("test").sends(events);
    let outcome = one(flow(text, [("m/m", model)]), json!({})).await;
    assert_eq!((outcome.result.unwrap(), outcome.quality), (json!("So far"), Quality::Partial));

    let model = ScriptedModel::new("test").calls("json", json!({ "value": 1 }));
    let error = one(flow(&text.replace("partial: true", "partial: false"), [("m/m", model)]), json!({})).await;
    assert_eq!(error.result.unwrap_err().kind(), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn errors_of_models_are_those_of_the_step() {
    let text = "flow: f\nsteps: [{ id: a, agent: { model: m/m, prompt: Go }, retry: { max: 2, base: 1ms } }]\n";
    let model = ScriptedModel::new("test").fails(ModelError::new(ModelErrorClass::RateLimited, "slow down")).says("ok");
    let outcome = one(flow(text, [("m/m", model)]), json!({})).await;
    assert_eq!((outcome.result.unwrap(), outcome.provenance.retries), (json!("ok"), 1));
}

#[test]
fn problems_with_agents_are_found_before_the_first_record() {
    let toolbox =
        toolbox().with_model("m/m", ScriptedModel::new("test")).with_model("mine", ScriptedModel::new("test"));
    let agent = |agent: &str| format!("flow: f\nsteps:\n  - id: a\n    agent: {{ {agent} }}\n");
    for (text, wanted) in [
        (agent("prompt: Go"), "an agent without a model"),
        (agent("prompt: Go, model: mien"), "did you mean `mine`?"),
        (agent("prompt: Go, model: x/y"), "the model `x/y` has not been opened"),
        (agent("prompt: '', model: m/m"), "an empty prompt"),
        (agent("prompt: '${{ steps.b }}', model: m/m"), "there is no step `b`"),
        (agent("prompt: '${{ secrets.K }}', model: m/m"), "secrets cannot be used here"),
        (agent("prompt: Go, model: m/m, tools: [jsno]"), "did you mean `json`?"),
        (agent("prompt: Go, model: m/m, tools: [json, json]"), "duplicate tool `json`"),
        (agent("prompt: Go, model: m/m, tools: [http_get]"), "add to the flow file: allow: { net: "),
        (agent("prompt: Go, model: m/m, max_turns: 0"), "0 is not from 1 to 1000"),
        (agent("prompt: Go, model: m/m, max_cost: -1.0"), "`max_cost` is not a number above 0"),
        (agent("prompt: Go, model: m/m, answer: {}"), "an answer without fields"),
        (agent("prompt: { file: p.j2 }, model: m/m"), "the flow itself is not in a file"),
        (
            agent("prompt: Go, model: m/m, tools: [command]").replace("steps:", "allow: { command: [ls] }\nsteps:")
                + "    hedge: 1s\n",
            "`command` must not be called twice",
        ),
        (
            agent("prompt: Go, model: m").replace("steps:", "models: { m: { model: gpt } }\nsteps:"),
            "the model `gpt` has no provider",
        ),
        (
            agent("prompt: Go, model: m").replace("steps:", "models: { m: { model: a/b, limit: 0 } }\nsteps:"),
            "a limit of 0",
        ),
        (
            agent("prompt: Go, model: m")
                .replace("steps:", "models: { m: { model: a/b, endpoint: 'http://x.org/' } }\nsteps:"),
            "allow: { net: [\"x.org\"] }",
        ),
    ] {
        let shown = wrong(&text, &toolbox);
        assert!(shown.contains(wanted), "{text}\n{shown}");
    }
    let flow = parsed(&agent("prompt: Go, model: m/m, max_cost: 1.0"), &toolbox);
    assert!(flow.warnings().any(|warning| warning.message().contains("this bound has no effect")));
}

#[tokio::test(start_paused = true)]
async fn prompts_can_be_files_beside_the_flow() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("prompts")).unwrap();
    write("f.yaml", "flow: f\nsteps: [{ id: a, agent: { model: m/m, prompt: { file: prompts/ask.j2 } } }]\n");
    write("prompts/ask.j2", "{% for x in inputs.list %}\n- {{ x }}\n{% endfor %}\n{{ record.index }}");
    let model = ScriptedModel::new("test").says("ok");
    let seen = model.clone();
    let toolbox = toolbox().with_model("m/m", model);
    let load = || Flow::load(&folder.path().join("f.yaml"), &toolbox);
    let loaded = load().unwrap();
    one(loaded.into_step(), json!({ "list": ["a", "b"] })).await.result.unwrap();
    assert_eq!(seen.requests()[0].last_text(), "- a\n- b\n0");

    write("prompts/ask.j2", "Go.\n{{ step.x }}\n");
    let shown = load().err().unwrap().to_string();
    assert!(shown.contains("prompts/ask.j2:2:4") && shown.contains("unknown name `step`"), "{shown}");
    write("prompts/ask.j2", &"x".repeat(300 << 10));
    assert!(load().err().unwrap().to_string().contains("larger than 256 KiB"));
    let flow = |file: &str| {
        write(
            "f.yaml",
            &format!("flow: f\nsteps: [{{ id: a, agent: {{ model: m/m, prompt: {{ file: {file} }} }} }}]\n"),
        );
    };
    flow("nope.j2");
    assert!(load().err().unwrap().to_string().contains("cannot be read"));
    flow("prompts");
    assert!(load().err().unwrap().to_string().contains("is not a file"));
    let outside = tempfile::NamedTempFile::new().unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link.j2")).unwrap();
        flow("link.j2");
        assert!(load().err().unwrap().to_string().contains("is outside the folder"));
    }
    flow(&outside.path().display().to_string());
    assert!(load().err().unwrap().to_string().contains("is outside the folder"));
}

#[cfg(unix)]
#[tokio::test]
async fn programs_can_be_declared_as_tools() {
    let text = "flow: f\nallow: { command: [printf] }\ntools:\n  greet:\n    description: Greets.\n    \
                command: [printf, '%s, %s!', Hello, '${{ args.name }}']\n    args: { name: { type: string }, n: { type: number, default: 1 } }\n\
                steps:\n  - { id: a, tool: greet, with: { name: '$HOME ${{ inputs.x }}' } }\n  \
                - { id: b, agent: { model: m/m, prompt: Go, tools: [greet] } }\noutput: ['${{ steps.a.stdout }}', '${{ steps.b }}']\n";
    let model =
        ScriptedModel::new("test").calls("greet", json!({})).then_calls("greet", json!({ "name": "Bo" })).says("done");
    let seen = model.clone();
    let granted = Permissions::none().allow("command=printf").unwrap();
    let with = |granted: &Permissions| Toolbox::built_in(granted).with_model("m/m", model.clone());
    let flow = parsed(text, &with(&granted));
    assert!(flow.check_permissions().is_ok());
    let output = one(flow.into_step(), json!({ "x": "y" })).await.result.unwrap();
    assert_eq!(output, json!(["Hello, $HOME y!", "done"]));
    let spec = &seen.requests()[0].tools[0];
    assert_eq!((spec.description.as_str(), &spec.parameters["required"]), ("Greets.", &json!(["name"])));
    let talk = format!("{:?}", seen.requests().last().unwrap().messages);
    assert!(talk.contains("`name` is missing") && talk.contains("Hello, Bo!"), "{talk}");

    let refused = parsed(text, &with(&Permissions::none())).check_permissions().unwrap_err().to_string();
    assert!(refused.contains("allow it with --allow command=printf"), "{refused}");
    let unasked = wrong(&text.replace("command: [printf] }", "command: [ls] }"), &with(&granted));
    assert!(unasked.contains("allow: { command: [\"printf\"] }"), "{unasked}");
    for (from, to, wanted) in [
        ("args.name", "args.nam", "did you mean `name`?"),
        ("args.name", "inputs.name", "use the arguments of the call"),
        ("[printf, '%s", "['${{ args.name }}', '%s", "the command has no constant program"),
        ("  greet:", "  json:", "there is already a tool `json`"),
        ("with: { name:", "with: { nam: 1, name:", "has no argument `nam`"),
    ] {
        let shown = wrong(&text.replace(from, to), &with(&granted));
        assert!(shown.contains(wanted), "{to}: {shown}");
    }
}

#[test]
fn an_invalid_step_is_reported_once_and_not_where_it_is_used() {
    let toolbox = toolbox().with_model("m/m", SimulatedModel::new("m"));
    for step in [
        "{ id: p, agent: { model: m/m, prompt: { file: missing.j2 } } }",
        "{ id: p, agent: { model: x/y, prompt: Go } }",
        "{ id: p, tool: no_such_tool }",
    ] {
        let text = format!(
            "flow: f\nsteps:\n  - {step}\n  - {{ id: q, tool: json, with: {{ value: '${{{{ steps.p.text }}}}' }} }}\noutput: '${{{{ steps.p }}}}'\n"
        );
        let wrong = wrong(&text, &toolbox);
        assert_eq!(wrong.matches("error: ").count(), 1, "{wrong}");
        assert!(wrong.contains("f.yaml:3:"), "{wrong}");
    }
    // One that runs later is still wrong.
    let text =
        "flow: f\nsteps:\n  - { id: q, tool: json, with: { value: '${{ steps.p }}' } }\n  - { id: p, tool: nope }\n";
    assert!(wrong(text, &toolbox).contains("runs later than this one"));
}
