//! The behaviour of a flow with its records. The clock is paused, so times are exact.

use std::time::Duration;

use llmspell::model::Message;
use llmspell::tool::Privilege;
use llmspell::{Agent, Context, Error, ErrorKind, Outcome, Step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_test::ScriptedModel;
use llmspell_tools::Permissions;
use serde_json::{Value, json};

fn flow(text: &str) -> llmspell::step::BoxStep<Value, Value> {
    let toolbox = Toolbox::built_in(&Permissions::none());
    Flow::parse(&Source::new("f.yaml", text), &toolbox).unwrap_or_else(|wrong| panic!("{wrong}")).into_step()
}

async fn one(text: &str, record: Value) -> Outcome<Value> {
    flow(text).with_outcome().run(record, &Context::new()).await.unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn max_bytes_bounds_the_output_of_a_declared_program() {
    let permissions = Permissions::none().allow("command=sh").unwrap();
    let text = |max_bytes: &str| {
        format!(
            "flow: f\nallow: {{ command: [sh] }}\n\
             tools: {{ x: {{ command: [sh, -c, \"head -c $1 /dev/zero | tr '\\\\0' x\", sh, \"${{{{ args.n }}}}\"], \
             args: {{ n: {{ type: integer }} }}{max_bytes} }} }}\n\
             steps: [{{ id: a, tool: x, with: {{ n: \"${{{{ inputs.n }}}}\" }} }}]\n"
        )
    };
    let parsed = |max_bytes: &str| {
        Flow::parse(&Source::new("f.yaml", text(max_bytes)), &Toolbox::built_in(&permissions))
            .map_err(|wrong| wrong.to_string())
    };
    let said = async |max_bytes: &str, n: u64| {
        let flow = parsed(max_bytes).unwrap().into_step();
        let outcome = flow.with_outcome().run(json!({ "n": n }), &Context::new()).await.unwrap();
        outcome.result.map(|output| output["stdout"].as_str().unwrap().len())
    };
    assert_eq!(said("", 1 << 20).await.unwrap(), 1 << 20);
    let error = said("", (1 << 20) + 1).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
    assert_eq!(error.root_cause().hint(), Some("raise `max_bytes`"));
    assert_eq!(said(", max_bytes: 3000000", 3_000_000).await.unwrap(), 3_000_000);
    assert!(said(", max_bytes: 10", 11).await.is_err());
    let wrong = parsed(", max_bytes: 0").err().unwrap();
    assert!(wrong.contains("any output is an error") && wrong.contains("the default is 1 MiB"), "{wrong}");
    let server = "flow: f\ntools: { s: { mcp: { command: [s] }, max_bytes: 5 } }\nsteps: []\n";
    let wrong = Flow::parse(&Source::new("f.yaml", server), &Toolbox::built_in(&permissions)).err().unwrap();
    assert!(wrong.to_string().contains("`max_bytes` do not go with `mcp`"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn records_overlap_across_steps_and_each_step_has_its_limit() {
    let cx = Context::recording();
    let flow = flow(
        "flow: f\nsteps:\n  - { id: a, tool: slow, with: { delay_ms: 100 }, limit: 1 }\n\
         \x20 - { id: b, tool: slow, with: { delay_ms: 200 }, limit: 1 }\n\
         \x20 - { id: c, tool: slow, with: { delay_ms: 150, value: \"${{ record.index }}\" }, limit: 1 }\n",
    );
    let began = tokio::time::Instant::now();
    let out = flow.stream([json!({}), json!({}), json!({})], &cx).ordered().try_collect().await.unwrap();
    assert_eq!(out, [json!(0), json!(1), json!(2)]);
    // One worker a step: the first record fills the steps, then the slowest sets the pace.
    assert_eq!(began.elapsed(), Duration::from_millis(100 + 3 * 200 + 150));
    let report = cx.report();
    let paths: Vec<&str> = report.steps.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(paths, ["f", "f.a", "f.b", "f.c"]);
    assert_eq!(report.pipelines[0].stages.len(), 3);
    assert!(report.pipelines[0].efficiency > 0.99);
}

#[tokio::test(start_paused = true)]
async fn modifiers_are_a_set_and_a_wait_for_the_next_attempt_holds_no_place() {
    // However they are written, the limit stands inside of the retry.
    let modifiers = ["limit: 1", "timeout: 1s", "retry: { max: 2, base: 30s }"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let [a, b, c] = order.map(|place| modifiers[place]);
        let cx = Context::recording();
        let flow = flow(&format!(
            "flow: f\nsteps:\n  - {{ id: a, tool: slow, with: {{ delay_ms: \"${{{{ inputs.ms }}}}\" }}, {a}, {b}, {c} }}\n"
        ));
        let began = tokio::time::Instant::now();
        let mut outcomes = flow.stream([json!({ "ms": 5000 }), json!({ "ms": 100 })], &cx);
        assert_eq!(outcomes.next().await.unwrap().index, 1);
        assert_eq!(began.elapsed(), Duration::from_millis(1100));
        assert_eq!(outcomes.next().await.unwrap().result.unwrap_err().attempts(), 2);
        // Two attempts of a second, one of 100 ms; the delay between attempts is not work. (Timers go by whole
        // milliseconds, waits do not.)
        let report = cx.report();
        let stage = &report.pipelines[0].stages[0];
        assert_eq!((stage.limit, stage.work.as_millis() / 10), (Some(1), 210));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_flow_and_the_step() {
    let text = "flow: f\nsteps:\n  - { id: a, tool: slow, with: { failure_rate: 1.0 } }\n  - { id: b, tool: slow }\n";
    let error = one(text, json!({})).await.result.unwrap_err();
    assert_eq!(error.to_string(), "f.a: simulated failure");

    let text = "flow: f\nsteps:\n  - { id: a, tool: slow }\noutput: { x: \"${{ steps.a.b.c }}\" }\n";
    let error = one(text, json!({})).await.result.unwrap_err();
    assert_eq!(error.path().unwrap().as_str(), "f.output");

    let text = "flow: f\nsteps:\n  - { id: a, tool: text, with: { value: \"${{ inputs.n }}\" } }\n";
    let error = one(text, json!({ "n": 5 })).await.result.unwrap_err();
    assert!(error.to_string().starts_with("f.a: invalid arguments"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_timeout_and_the_deadline_covers_all() {
    let text = |rest: &str| {
        format!("flow: f\nsteps:\n  - id: a\n    tool: slow\n    with: {{ delay_ms: 2000, value: 7 }}\n{rest}")
    };
    let began = tokio::time::Instant::now();
    let outcome = one(&text("    timeout: [1s, 3s]\n    retry: { max: 2, base: 1ms }\n"), json!({})).await;
    assert_eq!(outcome.result.unwrap(), 7);
    assert_eq!(outcome.provenance.retries, 1);
    assert!((3000..3010).contains(&began.elapsed().as_millis()));

    let error = one(&text("    timeout: 1s\n    retry: { max: 2, base: 1ms }\n"), json!({})).await.result.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::AllFailed, 2));

    let error = one(&text("    deadline: 1500ms\n    retry: 5\n"), json!({})).await.result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn only_the_named_errors_are_retried() {
    let text = |on: &str| {
        format!(
            "flow: f\nsteps:\n  - id: a\n    tool: slow\n    with: {{ failure_rate: 1 }}\n    retry: {{ max: 3, on: [{on}] }}\n"
        )
    };
    assert_eq!(one(&text("timeout"), json!({})).await.result.unwrap_err().attempts(), 1);
    for on in ["failed", "transient", "timeout, failed"] {
        assert_eq!(one(&text(on), json!({})).await.result.unwrap_err().attempts(), 3, "{on}");
    }
}

#[tokio::test]
async fn records_must_have_what_the_flow_asks_for() {
    let text = "flow: f\ninputs:\n  a: { type: integer }\n  b: { type: string, default: none }\n  c: { required: false }\n\
                steps: [{ id: all, tool: json, with: { value: \"${{ [inputs.a, inputs.b, inputs.c] }}\" } }]\n";
    let run = async |record: Value| one(text, record).await.result.map_err(|error| error.to_string());
    assert_eq!(run(json!({ "a": 1, "more": true })).await, Ok(json!([1, "none", null])));
    assert_eq!(run(json!({ "a": 1, "b": null, "c": [2] })).await, Ok(json!([1, "none", [2]])));
    assert_eq!(run(json!({})).await, Err("the record has no field `a`".to_owned()));
    assert_eq!(run(json!({ "a": 1.5 })).await, Err("the field `a` is not an integer".to_owned()));
    assert_eq!(run(json!({ "a": null })).await, Err("the field `a` is not an integer".to_owned()));
    assert_eq!(run(json!([])).await, Err("the record is not a JSON object".to_owned()));
}

#[tokio::test]
async fn what_a_record_says_is_never_a_template() {
    let text = "flow: f\nsteps:\n  - { id: a, tool: text, with: { value: \"<${{ inputs.q }}>\" } }\n\
                \x20 - { id: b, tool: text, with: { value: \"${{ steps.a }}\" } }\noutput: ${{ steps.b }}\n";
    let said = "${{ steps.nothing }} {% if %} }}";
    assert_eq!(one(text, json!({ "q": said })).await.result.unwrap(), format!("<{said}>"));
}

#[test]
fn tools_beyond_computing_need_permission() {
    let steps = "steps:\n  - { id: a, tool: command, with: { argv: [ls] } }\n  - { id: b, tool: slow }\n";
    let unasked = Source::new("f.yaml", format!("flow: f\n{steps}"));
    let shown = Flow::parse(&unasked, &Toolbox::built_in(&Permissions::everything())).err().unwrap().to_string();
    assert!(shown.contains("f.yaml:3:20") && shown.contains("allow: { command: [\"ls\"] }"), "{shown}");
    let source = Source::new("f.yaml", format!("flow: f\nallow: {{ command: [ls] }}\n{steps}"));
    let refused =
        Flow::parse(&source, &Toolbox::built_in(&Permissions::none())).unwrap().check_permissions().unwrap_err();
    let shown = refused.to_string();
    assert!(
        shown.contains("privileged: `command=ls` was not allowed") && shown.contains("--allow command=ls"),
        "{shown}"
    );
    let allowed = Toolbox::built_in(&Permissions::none().allow("command").unwrap());
    assert!(Flow::parse(&source, &allowed).unwrap().check_permissions().is_ok());
}

#[tokio::test]
async fn any_tool_can_be_added() {
    let shout = llmspell::Tool::new("shout", "Shouts.", |value: Value, _| async move { Ok(format!("{value}!")) });
    let toolbox = Toolbox::empty().with(shout.erase());
    let source = Source::new("f.yaml", "flow: f\nsteps: [{ id: a, tool: shout, with: { x: 1 } }]\n");
    let flow = Flow::parse(&source, &toolbox).unwrap();
    assert!(flow.check_permissions().is_ok());
    assert_eq!(flow.into_step().run(json!({}), &Context::new()).await.unwrap(), "{\"x\":1}!");
}

#[test]
fn a_step_whose_output_goes_nowhere_is_warned_about() {
    let warnings = |text: &str| {
        let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap();
        flow.warnings().map(|warning| warning.to_string()).collect::<Vec<_>>().join("\n")
    };
    let steps = "flow: f\nallow: { command: [ls] }\nsteps:\n  - { id: a, tool: slow }\n  - { id: b, tool: command, with: { argv: [ls] } }\n  - { id: c, tool: slow }\n";
    let shown = warnings(steps);
    assert!(
        shown.starts_with("warning[unused-step]: nothing uses the output of the step `a`\n --> f.yaml:4:11\n"),
        "{shown}"
    );
    // The last step is the output, and a program may be run for what it does.
    assert!(!shown.contains("`b`") && !shown.contains("`c`"), "{shown}");
    assert_eq!(warnings(&format!("{steps}output: ${{{{ steps }}}}\n")), "");
    assert!(warnings(&format!("{steps}output: ${{{{ steps.a }}}}\n")).contains("`c`"));
}

#[tokio::test]
async fn a_flow_is_a_tool_of_an_agent() -> llmspell::Result<()> {
    let text = "
flow: shout
description: Says it louder.
inputs:
  what: { type: string }
  times: { type: integer, default: 1 }
steps:
  - id: louder
    tool: text
    with: { value: \"${{ inputs.what }}!\", case: upper }
output: { said: \"${{ steps.louder }}\", times: \"${{ inputs.times }}\" }
";
    let toolbox = Toolbox::built_in(&Permissions::none());
    let flow =
        Flow::parse(&Source::new("shout.yaml", text), &toolbox).map_err(|wrong| Error::invalid(wrong.to_string()))?;
    let shout = flow.into_tool();
    assert_eq!(
        shout.spec().parameters,
        json!({
            "type": "object",
            "properties": { "what": { "type": "string" }, "times": { "type": "integer", "default": 1 } },
            "required": ["what"],
        })
    );
    assert_eq!((shout.spec().description.as_str(), shout.spec().security), ("Says it louder.", Privilege::Safe));

    let model = ScriptedModel::new("test")
        .calls("shout", json!({ "what": "hello" }))
        .calls("shout", json!({ "what": 5 }))
        .says("Done.");
    let agent = Agent::builder(model).tools([shout]).build()?;
    let reply = agent.run("Say hello.".into(), &Context::new()).await?;
    let answers = reply.conversation.messages().iter().filter_map(|message| match message {
        Message::Tool(answer) => Some((answer.text.as_str(), answer.is_error)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers[0], (r#"{"said":"HELLO!","times":1}"#, false));
    assert!(answers[1].1 && answers[1].0.contains("`what` is not a string"), "{:?}", answers[1]);
    Ok(())
}
