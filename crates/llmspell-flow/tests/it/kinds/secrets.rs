//! `secrets` and `returns`.

use llmspell::ErrorKind;
use serde_json::json;

use crate::kinds::probe::Probe;

// Cargo sets it for every test; its value is long and stands nowhere else.
const NAME: &str = "CARGO_MANIFEST_DIR";

#[tokio::test(start_paused = true)]
async fn secrets_are_taken_out_of_outputs_and_errors() {
    let secret = std::env::var(NAME).unwrap();
    let text = format!(
        "secrets: [{NAME}]
steps:
  - id: a
    tool: work
    with:
      value: {{ said: \"key=${{{{ secrets.{NAME} }}}}!\", list: [\"${{{{ secrets.{NAME} }}}}\"] }}
      fails: \"${{{{ 'denied: ' ~ secrets.{NAME} if inputs.fails else '' }}}}\"
    retry: {{ max: 2, base: 1ms }}
"
    );
    let probe = Probe::default();
    let ran = probe.run(&text, json!({ "fails": false })).await;
    assert!(probe.order()[0].contains(&secret), "the tool has to have it");
    assert!(!format!("{:?}", ran.cx.events()).contains(&secret));
    assert_eq!(ran.output(), json!({ "said": "key=***!", "list": ["***"] }));

    let ran = Probe::default().run(&text, json!({ "fails": true })).await;
    let shown = format!("{:?} {:?} {:?}", ran.outcome, ran.cx.events(), ran.error());
    assert!(shown.contains("denied: ***") && !shown.contains(&secret), "{shown}");
    assert_eq!((ran.error().kind(), ran.error().attempts()), (ErrorKind::AllFailed, 2));
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_taken_out_of_the_keys_of_tables_and_of_its_escaped_forms() {
    let secret = std::env::var(NAME).unwrap();
    let text = format!(
        "secrets: [{NAME}]
steps:
  - id: a
    tool: work
    with: {{ value: \"${{{{ {{secrets.{NAME}: 1}} }}}}\" }}
"
    );
    let ran = Probe::default().run(&text, json!({})).await;
    assert!(!ran.output().to_string().contains(&secret));
}

#[test]
fn secrets_stand_in_arguments_alone_and_have_to_be_declared() {
    let probe = Probe::default();
    let wrong = |text: &str| probe.read(text).err().map(|wrong| wrong.to_string()).unwrap_or_default();
    let value = format!("secrets: [{NAME}]\nsteps: [{{ id: a, value: \"${{{{ secrets.{NAME} }}}}\" }}]\n");
    assert!(wrong(&value).contains("secrets cannot be used here"));
    let output = format!("secrets: [{NAME}]\nsteps: [{{ id: a, value: 1 }}]\noutput: ${{{{ secrets.{NAME} }}}}\n");
    assert!(wrong(&output).contains("secrets cannot be used here"));
    let undeclared = "steps: [{ id: a, tool: work, with: { x: \"${{ secrets.KEY }}\" } }]\n";
    assert!(wrong(undeclared).contains("secrets: [KEY]"));
    let unset =
        "secrets: [SURELY_NOT_SET]\nsteps: [{ id: a, tool: work, with: { x: \"${{ secrets.SURELY_NOT_SET }}\" } }]\n";
    let refused = probe.read(unset).unwrap().check_permissions().unwrap_err().to_string();
    assert!(refused.contains("the secret `SURELY_NOT_SET` is not set") && refused.contains("hint: "), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_output_must_have_what_the_flow_returns() {
    let text = "returns: { n: { type: integer }, more: { required: false } }
steps: [{ id: a, value: 1 }]
output: { n: \"${{ inputs.n }}\" }
";
    assert!(Probe::default().run(text, json!({ "n": 5 })).await.outcome.result.is_ok());
    let ran = Probe::default().run(text, json!({ "n": "5" })).await;
    assert_eq!((ran.error().kind(), ran.error().hint().is_some()), (ErrorKind::Invalid, true));
    assert!(ran.error().to_string().contains("the field `n` of the output is not an integer"), "{}", ran.error());
    let ran =
        Probe::default().run("returns: { x: {} }\nsteps: [{ id: a, value: \"${{ inputs }}\" }]\n", json!({})).await;
    assert!(ran.error().to_string().contains("the field `x` of the output is missing"), "{}", ran.error());
}

/// Everything that is recorded, not only what the step comes to: attempts, parts, fallbacks, contenders.
#[tokio::test(start_paused = true)]
async fn no_event_on_the_way_has_a_secret() {
    let secret = std::env::var(NAME).unwrap();
    let work = |id: &str, fails: &str| {
        let value = format!("${{{{ '{fails}: ' ~ secrets.{NAME} }}}}");
        format!("{{ id: {id}, tool: work, with: {{ fails: \"{value}\" }}, retry: {{ max: 2, base: 1ms }} }}")
    };
    let text = format!(
        "secrets: [{NAME}]
steps:
  - id: parts
    each: \"[1, 2]\"
    on_error: skip
    do: [{}]
    fallback: {{ id: none, value: 0 }}
  - id: fastest
    race: [{}, {{ id: other, value: 1 }}]
  - id: degrades
    tool: work
    with: {{ degrades: \"${{{{ secrets.{NAME} }}}}\" }}
",
        work("part", "no part"),
        work("first", "not first"),
    );
    let ran = Probe::default().run(&text, json!({})).await;
    let events = serde_json::to_string(&ran.cx.events()).unwrap();
    for word in ["no part: ***", "not first: ***", "less: ***", "attempt_failed", "fell_back", "degraded"] {
        assert!(events.contains(word), "{word}: {events}");
    }
    let report = serde_json::to_string(&ran.cx.report()).unwrap();
    let shown = format!("{events} {report} {:?} {:?}", ran.outcome, ran.outcome.causes);
    assert!(!shown.contains(&secret), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_in_with_the_record_does_not_go_out() {
    let secret = std::env::var(NAME).unwrap();
    let text = format!("secrets: [{NAME}]\nsteps: [{{ id: a, value: \"${{{{ inputs.x }}}}\" }}]\n");
    let ran = Probe::default().run(&text, json!({ "x": format!("<{secret}>") })).await;
    assert_eq!(ran.output(), "<***>");
    let text = format!("secrets: [{NAME}]\nsteps: [{{ id: a, each: inputs.x, do: [{{ id: b, value: 1 }}] }}]\n");
    let ran = Probe::default().run(&text, json!({ "x": secret })).await;
    assert!(!format!("{:?}", ran.error()).contains(&secret), "{:?}", ran.error());
}
