//! Tokens and cost of a flow before a model is asked.

use llmspell::model::{OutputFormat, Request};
use llmspell::{Context, Error, Step};
use llmspell_flow::{Estimate, EstimatedUse, Flow, InputSurvey, Source, Toolbox};
use llmspell_test::ScriptedModel;
use llmspell_tools::Permissions;
use serde_json::json;

fn toolbox() -> Toolbox {
    Toolbox::built_in(&Permissions::none())
        .with_unopened_model("m")
        .with_unopened_model("big")
        .with_unopened_server("s")
}

const MODELS: &str = "flow: f
allow: { net: ['*'], command: [s], tool: [s.find] }
tools: { s: { mcp: { command: [s] } } }
models:
  m: { model: openai/x, max_output_tokens: 100, prices: { input: 1.0, output: 10.0 } }
  big: openai/y
defaults: { model: m }
steps:
";

fn flow(steps: &str) -> Flow {
    let source = Source::new("f.yaml", format!("{MODELS}{steps}"));
    Flow::parse(&source, &toolbox()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Returns the estimates without a record.
fn outlined(steps: &str) -> Vec<Estimate> {
    flow(steps).plan().estimates
}

fn surveyed(steps: &str, records: &str) -> InputSurvey {
    flow(steps).survey(records.lines().map(|record| serde_json::from_str(record).map_err(Error::from)))
}

fn of_records(steps: &str, records: &str) -> Estimate {
    let mut estimates = surveyed(steps, records).estimates;
    assert_eq!(estimates.len(), 1, "{estimates:?}");
    estimates.remove(0)
}

/// Calls, tokens that go in and that come out; what goes in must be all.
fn whole(spent: &EstimatedUse) -> (u64, u64, Option<u64>) {
    assert!(spent.input_is_complete);
    (spent.calls, spent.input_tokens, spent.output_tokens)
}

fn partly(spent: &EstimatedUse) -> (u64, u64, Option<u64>) {
    assert!(!spent.input_is_complete);
    (spent.calls, spent.input_tokens, spent.output_tokens)
}

/// Twelve bytes.
const JOKE: &str = "agent: { prompt: Tell a joke. }";

#[test]
fn attempts_copies_rounds_and_fallbacks_count_at_worst() {
    for (steps, once, worst) in [
        (format!("  - {{ id: a, {JOKE} }}\n"), 1, 1),
        (format!("  - {{ id: a, {JOKE}, retry: 3, hedge: 1s, fallback: {{ {JOKE}, retry: 2 }} }}\n"), 1, 8),
        (format!("  - {{ id: r, repeat: [{{ id: a, {JOKE} }}], until: steps.a, max: 7 }}\n"), 1, 7),
        (format!("  - {{ id: r, race: [{{ id: a, {JOKE} }}, {{ id: b, value: 1 }}], retry: 5 }}\n"), 1, 5),
        (format!("  - {{ id: r, concurrent: [{{ id: a, {JOKE} }}, {{ id: b, {JOKE} }}] }}\n"), 2, 2),
        (format!("  - {{ id: a, value: 1, fallback: {{ {JOKE} }} }}\n"), 0, 1),
    ] {
        let estimates = outlined(&steps);
        assert_eq!(estimates.len(), 1, "{estimates:?}");
        assert_eq!(whole(&estimates[0].once), (once, once * 3, Some(once * 100)), "{steps}");
        assert_eq!(whole(&estimates[0].worst), (worst, worst * 3, Some(worst * 100)), "{steps}");
        let cost = estimates[0].worst.cost.unwrap();
        assert!((cost - worst as f64 * 1.003e-3).abs() < 1e-12, "{cost}");
        assert!((estimates[0].worst.input_cost.unwrap() - worst as f64 * 3e-6).abs() < 1e-12);
    }
}

#[test]
fn what_has_no_bound_or_no_price_is_said_to_have_none() {
    let estimate = &outlined("  - { id: a, agent: { model: big, prompt: Tell a joke. } }\n")[0];
    assert_eq!((estimate.model.as_str(), whole(&estimate.worst)), ("big", (1, 3, None)));
    assert_eq!((estimate.prices, estimate.worst.cost, estimate.worst.input_cost), (None, None, None));

    let flow = |model: &str| {
        let text = format!(
            "flow: f\nmodels: {{ m: {model} }}\nsteps: [{{ id: a, agent: {{ model: m, prompt: Tell a joke. }} }}]\n"
        );
        Flow::parse(&Source::new("f.yaml", text), &toolbox()).unwrap().plan().estimates.remove(0)
    };
    let priced = flow("{ model: openai/x, prices: { input: 2.0, output: 8.0 } }");
    assert_eq!((priced.worst.output_tokens, priced.worst.cost, priced.worst.input_cost), (None, None, Some(6e-6)));
    // Free output costs nothing, even without a bound.
    let simulated = flow("simulated/x");
    assert_eq!((simulated.worst.output_tokens, simulated.worst.cost), (None, Some(0.0)));
    let dear = flow("{ model: simulated/x, prices: { input: 2.0, output: 0.0 } }");
    assert_eq!((dear.worst.output_tokens, dear.worst.cost), (None, Some(6e-6)));
}

#[test]
fn each_turn_sends_what_was_said_before() {
    let agent = |more: &str| {
        let mut found = outlined(&format!("  - {{ id: a, agent: {{ prompt: Tell a joke., {more} }} }}\n"));
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let spec = toolbox().spec("calculator").unwrap().clone();
    let spec = json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters }).to_string();
    let first = (12 + spec.len() as u64).div_ceil(4);
    let tools = agent("tools: [calculator], max_turns: 3");
    assert_eq!(whole(&tools.once), (1, first, Some(100)));
    // The results of the calculator are unknown. The first reply is sent twice, and the second one once.
    assert_eq!(partly(&tools.worst), (3, 3 * first + 2 * 100 + 100, Some(300)));
    assert_eq!(tools.unknown_tool_answers.into_iter().collect::<Vec<_>>(), ["a"]);

    // Without tools, there is one turn to correct an answer.
    let schema = json!({
        "type": "object", "properties": { "x": { "type": "string" } }, "required": ["x"], "additionalProperties": false,
    });
    let schema = schema.to_string().len() as u64;
    let first = (12 + schema).div_ceil(4);
    let answer = agent("answer: { x: { type: string } }");
    assert_eq!(whole(&answer.once), (1, first, Some(100)));
    assert_eq!(whole(&answer.worst), (2, 2 * first + (schema + 120).div_ceil(4) + 100, Some(200)));

    let unbounded = agent("model: big, tools: [calculator], max_turns: 2");
    assert_eq!(partly(&unbounded.worst).2, None);
    assert_eq!(unbounded.unknown_answers.into_iter().collect::<Vec<_>>(), ["a"]);
    let server = agent("tools: [s.find], max_turns: 1");
    assert_eq!(server.unknown_tools.iter().collect::<Vec<_>>(), ["s_find"]);
    assert_eq!(partly(&server.once), partly(&server.worst));
}

#[test]
fn max_tokens_and_max_cost_hold_until_one_turn_more() {
    let agent =
        |more: &str| outlined(&format!("  - {{ id: a, agent: {{ prompt: Tell a joke., {more} }} }}\n")).remove(0);
    let schema = agent("answer: { x: { type: string } }");
    let (first, all) = (schema.once.input_tokens, schema.worst.input_tokens);
    // More than all of it bounds nothing.
    assert_eq!(agent("answer: { x: { type: string } }, max_tokens: 100000").worst, schema.worst);
    // 19 of 20 tokens may be used before a further turn, which sends them again.
    let mending = all - 2 * first - 100;
    let capped = agent("answer: { x: { type: string } }, max_tokens: 20");
    assert_eq!(whole(&capped.worst), (2, 19 + first + mending + 19, Some(119)));
    // The results of tools are within the bound, except those of the last turn.
    let tools = agent("tools: [calculator], max_turns: 9, max_tokens: 5000");
    assert_eq!(partly(&tools.worst), (9, 4999 + tools.once.input_tokens + 4999, Some(900)));
    // The first turn is made in any case.
    let joke = agent("max_tokens: 1, max_cost: 0.000001");
    assert_eq!((whole(&joke.worst), joke.worst.cost), ((1, 3, Some(100)), joke.once.cost));

    let last = (first + mending + 100) as f64 * 1e-6 + 100.0 * 1e-5;
    let cost = agent("answer: { x: { type: string } }, max_cost: 0.0001").worst.cost.unwrap();
    assert!((cost - 0.0001 - last).abs() < 1e-12, "{cost} {last}");
    assert_eq!(agent("answer: { x: { type: string } }, max_cost: 5.0").worst.cost, schema.worst.cost);
}

#[test]
fn prompts_are_rendered_from_each_record() {
    let steps = "  - { id: a, agent: { system: 'Be ${{ inputs.how }}.', prompt: '${{ inputs.text }}' } }\n";
    // 4 + 4 bytes are 2 tokens; 9 + 12 are 6, because a list is JSON; the third record is rejected; 4 + 10 are 4.
    let records = "{\"how\":\"\",\"text\":\"four\"}\n{\"how\":\"brief\",\"text\":[\"four\",1,2]}\nno\n{\"how\":\"\",\"text\":\"ééééé\"}\n";
    let estimate = of_records(steps, records);
    assert_eq!(whole(&estimate.once), (3, 2 + 6 + 4, Some(300)));
    assert!(estimate.unknown.is_empty());
    // Without a record, it is the fixed text, and said to be no more than that.
    let estimate = &outlined(steps)[0];
    assert_eq!(partly(&estimate.once), (1, 1, Some(100)));
    assert_eq!(estimate.unknown.iter().collect::<Vec<_>>(), ["inputs.how", "inputs.text"]);
}

#[test]
fn what_steps_give_is_not_known_and_said_to_be_missing() {
    let steps = "  - { id: fetch, tool: http_get, with: { url: 'https://example.com' } }
  - { id: known, value: '${{ inputs.x }}!' }
  - { id: a, agent: { prompt: '${{ steps.known }} ${{ inputs.x }} ${{ steps.fetch.body | upper }}' } }
  - { id: r, repeat: [{ id: b, agent: { prompt: '${{ last or 1 }}${{ index }}${{ inputs.x }}' } }], until: steps.b, max: 2 }
";
    let estimate = of_records(steps, "{\"x\":\"four\"}\n");
    // `four! four `, and `four` in each round.
    assert_eq!((partly(&estimate.once), partly(&estimate.worst)), ((2, 3 + 1, Some(200)), (3, 3 + 2, Some(300))));
    assert_eq!(estimate.unknown.iter().collect::<Vec<_>>(), ["last", "steps.fetch"]);
    // A value that cannot be computed fails the record, not the plan.
    let estimate = of_records(steps, "{}\n");
    assert_eq!(partly(&estimate.once), (2, 1, Some(200)));
}

#[test]
fn a_list_of_the_record_is_gone_through() {
    let steps = "  - id: e
    each: inputs.list
    do: { id: inner, each: item.list, do: { agent: { prompt: 'Tell ${{ item }} ${{ index }}' } }, retry: 2 }
";
    let survey = surveyed(steps, "{\"list\":[{\"list\":[\"a\",\"bcdef\"]},{\"list\":[]}]}\n{\"list\":[]}\n");
    let estimate = &survey.estimates[0];
    // `Tell a 0` and `Tell bcdef 1`.
    assert_eq!((survey.estimates.len(), whole(&estimate.once)), (1, (2, 2 + 3, Some(200))));
    assert_eq!(whole(&estimate.worst), (4, 10, Some(400)));
    assert_eq!(survey.calls["m"].fixed(), Some(4));

    let many = surveyed(
        "  - { id: e, each: range(90000), do: { id: i, each: range(3), do: { agent: { prompt: '${{ item }}' } } } }\n",
        "{}\n",
    );
    // More than can be looked at one by one are taken to be as the last.
    assert_eq!(many.calls["m"].fixed(), Some(270_000));
    assert_eq!(many.estimates[0].once.calls, 270_000);

    let steps = "  - { id: fetch, tool: slow }
  - { id: e, each: steps.fetch.list, do: { agent: { prompt: 'Tell ${{ item }}.' }, retry: 2 } }
  - { id: l, agent: { prompt: Tell a joke. } }
";
    let survey = surveyed(steps, "{}\n{}\n");
    let of: Vec<_> = survey.estimates.iter().map(|estimate| estimate.for_each_of.join(" ")).collect();
    assert_eq!(of, ["", "steps.fetch.list"]);
    assert_eq!(whole(&survey.estimates[0].once), (2, 6, Some(200)));
    assert_eq!(partly(&survey.estimates[1].worst), (4, 8, Some(400)));
    assert_eq!(survey.calls["m"].to_string(), "2 + 4 × items of `steps.fetch.list`");
}

#[test]
fn a_step_that_does_not_run_costs_nothing() {
    let steps = "  - { id: a, agent: { prompt: Tell a joke. }, when: inputs.x > 1, fallback: { tool: slow } }
  - { id: w, value: 1, when: inputs.x > 1 }
  - { id: b, agent: { prompt: 'Tell ${{ steps.w }}' }, when: steps.w }
  - { id: s, tool: slow, when: inputs.x > 1 }
";
    let survey = surveyed(steps, "{\"x\":1}\n{\"x\":2}\n{\"x\":0}\n{}\n");
    assert_eq!(whole(&survey.estimates[0].once), (2, 3 + 2, Some(200)));
    assert_eq!(survey.calls["slow"].fixed(), Some(2));
    assert_eq!(survey.calls["m"].fixed(), Some(2));
    // Whether it runs depends on what a tool gives: it is taken to.
    let steps = "  - { id: s, tool: slow }\n  - { id: a, agent: { prompt: Tell a joke. }, when: steps.s }\n";
    assert_eq!(of_records(steps, "{}\n").once.calls, 1);
}

#[test]
fn calls_that_models_make_have_no_number() {
    let plan =
        flow("  - { id: a, agent: { prompt: Look., tools: [http_get, s.find], max_turns: 5 }, retry: 2 }\n").plan();
    assert_eq!(
        serde_json::to_value(&plan.calls_by_agents).unwrap(),
        json!([{ "tool": "http_get", "agent": "a", "turns": 10 }, { "tool": "s_find", "agent": "a", "turns": 10 }])
    );
    assert_eq!(serde_json::to_value(&plan.calls).unwrap(), json!({ "m": 10 }));
}

#[test]
fn prompts_in_files_are_rendered_as_far_as_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{MODELS}  - {{ id: fetch, tool: http_get, with: {{ url: 'https://example.com' }} }}\n  - {{ id: a, agent: {{ prompt: {{ file: ask.j2 }} }} }}\n"
    );
    std::fs::write(folder.path().join("f.yaml"), text).unwrap();
    for (prompt, tokens, unknown) in [
        ("{% for x in inputs.list %}\n- {{ x }}\n{% endfor %}\n{{ record.index }}", 9_u64.div_ceil(4), vec![]),
        (
            "{% if inputs.list %}{{ steps.fetch.body }}{{ inputs.list | length }} items.{% endif %}",
            2,
            vec!["steps.fetch"],
        ),
        ("{% for x in steps.fetch.body %}{{ x }}{% endfor %}{{ steps.fetch.status }}four", 1, vec!["steps.fetch"]),
        // A prompt that cannot be rendered counts as its text without tags.
        ("{{ steps.fetch.status + 1 }}four{# no #}", 3, vec!["steps.fetch"]),
    ] {
        std::fs::write(folder.path().join("ask.j2"), prompt).unwrap();
        let flow = Flow::load(&folder.path().join("f.yaml"), &toolbox()).unwrap();
        let survey = flow.survey([Ok(json!({ "list": ["a", "b"] }))]);
        let estimate = &survey.estimates[0];
        assert_eq!(
            (estimate.once.input_tokens, estimate.once.input_is_complete),
            (tokens, unknown.is_empty()),
            "{prompt}"
        );
        assert_eq!(estimate.unknown.iter().collect::<Vec<_>>(), unknown, "{prompt}");
    }
}

/// The bytes of all that a model is sent.
fn bytes(request: &Request) -> usize {
    let messages: usize = request.messages.iter().map(|message| message.text().len()).sum();
    let tools = request.tools.iter().map(|spec| {
        json!({ "name": spec.name, "description": spec.description, "parameters": spec.parameters }).to_string().len()
    });
    let schema = match &request.options.output {
        OutputFormat::Schema { schema, .. } => schema.to_string().len(),
        _ => 0,
    };
    messages + tools.sum::<usize>() + schema
}

#[tokio::test]
async fn the_estimate_is_of_what_is_asked() {
    let model = ScriptedModel::new("m").says("no JSON").says("{\"good\":true}");
    let seen = model.clone();
    let steps = "  - id: a
    agent:
      system: Judge ${{ inputs.kind }}.
      prompt: Is ${{ inputs.what }} good?
      tools: [calculator, text]
      answer: { good: { type: boolean, description: Whether it is. } }
";
    let text = format!("{MODELS}{steps}");
    let toolbox = toolbox().with_model("m", model);
    let parsed = || Flow::parse(&Source::new("f.yaml", text.clone()), &toolbox).unwrap();
    let record = json!({ "kind": "food", "what": "an apple in the morning" });
    let estimate = parsed().survey([Ok(record.clone())]).estimates.remove(0);
    parsed().into_step().run(record, &Context::new()).await.unwrap();
    let requests = seen.requests();
    assert_eq!(estimate.once.input_tokens, (bytes(&requests[0]) as u64).div_ceil(4));
    let both: usize = requests.iter().map(bytes).sum();
    assert!(both.div_ceil(4) as u64 <= estimate.worst.input_tokens);
}
