//! Checks beyond single values: contradictory time limits, and the warnings of lint rules.

use llmspell_flow::{Flow, Source, Toolbox};

use llmspell_tools::Permissions;

/// The permissions that the flows of these tests request.
const ASKS: &str = "allow: { command: [\"*\"], net: [\"*\"] }\n";

/// Returns all diagnostics of a flow, warnings and errors.
fn said(text: &str) -> String {
    let toolbox = Toolbox::built_in(&Permissions::none()).with_unopened_model("m").with_unopened_model("n");
    match Flow::parse(
        &Source::new("f.yaml", format!("flow: f\n{}{text}", if text.contains("allow:") { "" } else { ASKS })),
        &toolbox,
    ) {
        Ok(flow) => flow.warnings().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(wrong) => wrong.to_string(),
    }
}

/// Asserts a single diagnostic, with a position, a caret and a hint.
#[track_caller]
fn once(text: &str, wanted: &str) {
    let said = said(text);
    // Every warning names its rule.
    let count = said.matches("error: ").count() + said.matches("warning[").count();
    assert!(said.contains(wanted) && count == 1, "{text}\ngave:\n{said}");
    assert!(said.contains("f.yaml:") && said.contains('^') && said.contains("\nhint: "), "{said}");
}

/// A step `a` of one line.
fn step(rest: &str) -> String {
    format!("steps:\n  - {{ id: a, tool: slow, {rest} }}\n")
}

#[test]
fn times_that_exclude_each_other() {
    once(
        &step("timeout: { attempt: 2s, first: 3s }"),
        "error: this timeout can never be reached: the timeout of the attempt",
    );
    once(
        &step("timeout: { attempt: 2s, idle: 3s }"),
        "error: this timeout can never be reached: the timeout of the attempt",
    );
    once(&step("deadline: 2s, timeout: { first: 3s }"), "error: this timeout can never be reached: the deadline");
    once(&step("timeout: 2s, hedge: 3s"), "error: this hedge can never start");
    let nested = |inner: &str, outer: &str| {
        format!("steps:\n  - id: o\n    each: range(2)\n    do: {{ id: a, tool: slow, {inner} }}\n    {outer}\n")
    };
    once(&nested("deadline: 3s", "deadline: 2s"), "this deadline can never be reached: the deadline of `o` around it");
    once(&nested("timeout: 3s", "timeout: 2s"), "this timeout can never be reached: the timeout of `o` around it");
    once(&nested("timeout: [1s, 3s], retry: 2", "deadline: 2s"), "hint: make this one shorter than 2s");
    assert_eq!(said(&nested("timeout: 2s", "deadline: 2s")), "");
    once(
        "steps: [{ id: a, tool: slow, hedge: 10s, deadline: 10s }]\n",
        "error: this hedge can never start: the deadline",
    );
    // Inside of other steps, in place of them, and where all steps have it.
    let inverted = "tool: slow, timeout: { attempt: 2s, first: 3s }";
    for text in [
        format!("steps: [{{ id: a, each: range(2), do: {{ {inverted} }} }}]\n"),
        format!("steps: [{{ id: a, tool: json, with: {{ value: 1 }}, fallback: [{{ {inverted} }}] }}]\n"),
        format!("steps: [{{ id: a, repeat: [{{ id: b, {inverted} }}], until: \"index == 1\", max: 2 }}]\n"),
        format!("steps: [{{ id: a, concurrent: [{{ id: b, {inverted} }}, {{ id: c, tool: slow }}] }}]\n"),
        format!("defaults: {{ timeout: {{ attempt: 2s, first: 3s }} }}\n{}", step("limit: 1")),
    ] {
        once(&text, "error: this timeout can never be reached: the timeout of the attempt");
    }
    let defaults = |rest: &str| {
        format!(
            "defaults: {{ {rest} }}\nsteps: [{{ id: a, tool: slow, with: {{ value: 1 }} }}, {{ id: b, tool: slow }}]\n"
        )
    };
    once(
        &defaults("timeout: 20s, deadline: 10s").replace("with: { value: 1 }", "when: inputs.x"),
        "error: this timeout can never be reached: the deadline",
    );
    once(&defaults("limit: 0").replace("with: { value: 1 }", "when: inputs.x"), "error: a limit of 0");
    // A fallback runs after the deadline of its step.
    let fallback =
        "steps:\n  - { id: a, tool: slow, deadline: 2s, fallback: { tool: text, with: { value: x }, deadline: 9s } }\n";
    assert_eq!(said(fallback), "");
    // `defaults` are meant for most steps, not for each.
    assert_eq!(said(&format!("defaults: {{ timeout: 9s }}\n{}", step("deadline: 2s"))), "");
    assert_eq!(said(&format!("defaults: {{ timeout: [1s, 2s], retry: 2 }}\n{}", step("retry: 1"))), "");
    // A step may say what makes sense of them.
    assert_eq!(said(&format!("defaults: {{ timeout: [5s, 15s, 45s], retry: 2 }}\n{}", step("retry: 3"))), "");
    assert_eq!(said(&format!("defaults: {{ timeout: 60s, deadline: 30s }}\n{}", step("deadline: 5m"))), "");
    once(
        &defaults("timeout: [5s, 15s, 45s], retry: 2").replace("with: { value: 1 }", "when: inputs.x"),
        "error: 3 timeouts, but at most 2 attempts",
    );
    once(
        &format!("defaults: {{ timeout: 60s, deadline: 30s }}\n{}", step("retry: 2, timeout: 40s")),
        "error: this timeout can never be reached: the deadline",
    );
}

#[test]
fn timeouts_that_are_probably_mistakes() {
    once(
        &step("timeout: [3s, 1s], retry: 2"),
        "warning[decreasing-timeouts]: a later attempt has less time than an earlier one",
    );
    once(
        &step("timeout: 3s, retry: 4, deadline: 10s"),
        "warning[attempts-past-deadline]: 4 attempts may take 12s, but the deadline comes after 10s",
    );
    once(&step("timeout: [1s, 5s], retry: 3, deadline: 10s"), "3 attempts may take 11s");
    assert_eq!(said(&step("timeout: [1s, 4s], retry: 3, deadline: 9s")), "");
}

#[test]
fn a_warning_shows_the_id_of_its_rule() {
    insta::assert_snapshot!(said(&step("when: false")));
    let ids: Vec<&str> = llmspell_flow::LINT_RULES.iter().map(|rule| rule.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[test]
fn contenders_and_fallbacks_that_do_the_same() {
    let race = |b: &str| {
        format!(
            "steps:\n  - id: r\n    race:\n      - {{ id: a, tool: slow, with: {{ value: 1 }}, timeout: 1s }}\n      - {{ id: b, {b} }}\n"
        )
    };
    once(&race("tool: slow, with: { value: 1 }"), "warning[duplicate-contender]: `b` does the same as `a`");
    assert_eq!(said(&race("tool: slow, with: { value: 2 }")), "");
    let alone = "race: [{ id: a, value: \"${{ inputs.x }}\" }]";
    for text in [
        format!("steps: [{{ id: r, {alone} }}]\n"),
        format!("steps: [{{ id: e, each: range(2), do: {{ {alone} }} }}]\n"),
        format!("steps: [{{ id: f, tool: slow, fallback: {{ {alone} }} }}]\n"),
        format!("steps: [{{ id: p, pipeline: [{{ id: r, {alone} }}], from: range(2) }}]\n"),
    ] {
        once(&text, "error: a race of 1");
    }
    once(&step("fallback: { tool: slow }"), "warning[duplicate-fallback]: this fallback does the same as its step");
    once(
        &step("fallback: [{ value: 1 }, { value: 2 }]"),
        "warning[unreachable-fallback]: this fallback is never used: `fallback` before it is a value",
    );
    once(
        "steps: [{ id: a, value: 1, fallback: { value: 2 } }]\n",
        "warning[unreachable-fallback]: this fallback is never used: `a` before it",
    );
    assert_eq!(said(&step("fallback: [{ value: \"${{ inputs.x }}\" }, { value: 2 }]")), "");
}

#[test]
fn conditions_that_are_always_the_same() {
    once(&step("when: false"), "warning[constant-when]: the step `a` never runs");
    once(&step("when: 1 > 2"), "warning[constant-when]: the step `a` never runs");
    once(&step("when: true"), "warning[constant-when]: the `when` of `a` holds for every record");
    assert_eq!(said(&step("when: inputs.x is defined")), "");
    let repeat =
        |until: &str| format!("steps: [{{ id: r, repeat: [{{ id: a, tool: slow }}], until: {until}, max: 3 }}]\n");
    once(&repeat("true"), "warning[constant-until]: `r` always ends after its first round");
    once(&repeat("false"), "warning[constant-until]: `r` always takes all 3 rounds");
    assert_eq!(said(&repeat("index == 1")), "");
}

#[test]
fn limits_without_effect() {
    once(
        "steps: [{ id: e, each: range(9), do: { tool: slow }, limit: 1001 }]\n",
        "warning[many-items]: up to 1001 items of one record at a time",
    );
    once(
        "steps:\n  - id: c\n    concurrent: [{ id: a, tool: slow }, { id: b, tool: slow }]\n    limit: 3\n",
        "warning[oversized-limit]: a limit of 3, but only 2 branches",
    );
    once("steps: [{ id: e, each: range(9), do: { tool: slow }, limit: 0 }]\n", "error: a limit of 0");
    once(&step("adaptive: { min: 300 }"), "error: these bounds exclude each other");
    once(&step("adaptive: { max: 8, initial: 9 }"), "error: these bounds exclude each other");
    assert_eq!(said(&step("adaptive: { min: 8 }")), "");
    once(&step("limit: 3, adaptive: true"), "error: both `limit` and `adaptive`");
}

#[test]
fn only_what_can_be_repeated_is_hedged() {
    let command = "tool: command, with: { argv: [ls] }";
    once(&format!("steps: [{{ id: a, {command}, hedge: 1s }}]\n"), "error: `command` must not be called twice");
    once(
        &format!("steps: [{{ id: e, each: range(2), do: {{ tool: slow, fallback: {{ {command} }} }}, hedge: p95 }}]\n"),
        "error: `command` must not be called twice",
    );
    for fine in [
        "tool: text, with: { value: x }",
        "tool: slow",
        "value: 1",
        "tool: http_get, with: { url: x }",
        "tool: command, with: { argv: [ls] }, idempotent: true",
        "tool: command, with: { argv: [ls] }, idempotent: true, hedge: 1s",
    ] {
        let text = format!("flow: f\n{ASKS}steps: [{{ id: p, pipeline: [{{ id: a, {fine} }}], hedge: p95 }}]\n");
        let flow = Flow::parse(&Source::new("f", text), &Toolbox::built_in(&Permissions::none())).unwrap();
        drop(flow.into_step());
    }
}

#[test]
fn requests_that_can_be_repeated_are_hedged() {
    let request = |with: &str, hedge: &str| {
        format!("steps: [{{ id: a, tool: http_request, with: {{ url: \"http://x.org\", {with} }}, {hedge} }}]\n")
    };
    for fine in [
        "method: PUT",
        "method: POST, idempotent: true",
        "method: POST, headers: { Idempotency-Key: \"${{ inputs.id }}\" }",
    ] {
        assert_eq!(said(&request(fine, "hedge: p95")), "", "{fine}");
    }
    for wrong in ["method: POST", "method: PATCH", "method: PUT, idempotent: false", "method: \"${{ inputs.m }}\""] {
        once(&request(wrong, "hedge: p95"), "error: `http_request` must not be called twice for one record");
    }
    assert_eq!(said(&request("method: POST", "hedge: p95, idempotent: true")), "");
    once(&request("method: post", "limit: 1"), "hint: write POST");
    once(
        "steps: [{ id: a, tool: write_file, with: { path: x, content: y }, hedge: 1s }]\nallow: { write: [.] }\n",
        "must not be called twice",
    );
    assert_eq!(said("steps: [{ id: a, tool: command, with: { argv: [ls] }, hedge: 1s, idempotent: true }]\n"), "");
    let own = |idempotent: &str| {
        format!(
            "tools: {{ size: {{ command: [wc, -l], idempotent: {idempotent} }} }}\nsteps: [{{ id: a, tool: size, hedge: 1s }}]\n"
        )
    };
    assert_eq!(said(&own("true")), "");
    once(&own("false"), "error: `size` must not be called twice");
}

#[test]
fn retries_that_may_repeat_an_effect() {
    let call = |tool: &str, rest: &str| {
        format!("allow: {{ command: [\"*\"], net: [\"*\"], write: [.] }}\nsteps:\n  - {{ id: a, {tool}, {rest} }}\n")
    };
    let post = "tool: http_request, with: { url: \"http://x.org\", method: POST }";
    let append = "tool: write_file, with: { path: x, content: y, mode: append }";
    let command = "tool: command, with: { argv: [ls] }";
    for (tool, name, hint) in [
        (post, "http_request", "`idempotent: true` under `with`, or a header idempotency-key"),
        (append, "write_file", "`idempotent: true` beside `retry`; `mode: overwrite` can be repeated"),
        (command, "command", "`idempotent: true` beside `retry`"),
    ] {
        let wanted =
            format!("warning[unsafe-retry]: `{name}` may take effect before it times out, and is then called again");
        once(&call(tool, "retry: 2, timeout: 5s"), &wanted);
        once(&call(tool, "retry: { max: 2, on: [timeout] }, timeout: { idle: 5s }"), hint);
        once(&call(tool, "retry: { on: [failed] }"), "may take effect before it fails");
        for fine in ["retry: 2", "retry: 1, timeout: 5s", "timeout: 5s", "retry: 2, timeout: 5s, idempotent: true"] {
            assert_eq!(said(&call(tool, fine)), "", "{tool} {fine}");
        }
        let default = format!("defaults: {{ retry: 3, timeout: 5s }}\n{}", call(tool, "limit: 1"));
        assert!(said(&default).contains("--> f.yaml:5:11\n"), "{}", said(&default));
        once(&default, &wanted);
    }
    for fine in [
        "tool: http_request, with: { url: \"http://x.org\", method: PUT }",
        "tool: http_request, with: { url: \"http://x.org\", method: \"${{ inputs.m }}\" }",
        "tool: http_request, with: { url: \"http://x.org\", method: POST, idempotent: true }",
        "tool: http_get, with: { url: \"http://x.org\" }",
        "tool: write_file, with: { path: x, content: y }",
        "tool: slow",
    ] {
        assert_eq!(said(&call(fine, "retry: { on: [failed, timeout] }, timeout: 5s")), "", "{fine}");
    }
    let whole =
        |inner: &str, rest: &str| call(&format!("pipeline: [{{ id: b, {inner} }}, {{ id: c, tool: slow }}]"), rest);
    once(
        &whole(post, "retry: 2"),
        "warning[unsafe-retry]: `a` is retried as a whole, and `http_request` in it may repeat its effect",
    );
    assert_eq!(said(&whole(&format!("{post}, idempotent: true"), "retry: 2")), "");
    assert_eq!(said(&whole(post, "retry: 2, idempotent: true")), "");
    assert_eq!(said(&whole("tool: http_get, with: { url: \"http://x.org\" }", "retry: 2")), "");
    once(
        &call("agent: { model: m, prompt: x, tools: [command] }", "retry: 2"),
        "`command` in it may repeat its effect",
    );
}

#[test]
fn simulated_models_give_text_only() {
    let flow = |rest: &str| {
        let toolbox = Toolbox::built_in(&Permissions::none())
            .with_model("simulated/m", llmspell_test::SimulatedModel::new("simulated/m"));
        let text = format!(
            "flow: f\nmodels: {{ m: simulated/m }}\nsteps: [{{ id: a, agent: {{ model: m, prompt: x{rest} }} }}]\n"
        );
        let flow = Flow::parse(&Source::new("f.yaml", text), &toolbox).unwrap();
        flow.warnings().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(flow(""), "");
    let shown = flow(", tools: [text], answer: { ok: {} }");
    assert!(
        shown.starts_with("warning[simulated-model]: `simulated/m` gives text only: it never gives an `answer`"),
        "{shown}"
    );
    assert!(
        shown.contains("--> f.yaml:3:34\n") && shown.contains("\nhint: ") && shown.matches("warning").count() == 1,
        "{shown}"
    );
    assert!(
        flow(", tools: [text]")
            .starts_with("warning[simulated-model]: `simulated/m` gives text only: it never calls a tool")
    );
    assert_eq!(flow(", answer: { ok: {} } }, fallback: { value: { ok: false }"), "");
}

#[test]
fn unused_declarations() {
    let with =
        |top: &str| format!("{top}\nsteps: [{{ id: a, tool: slow, with: {{ value: \"${{{{ inputs.x }}}}\" }} }}]\n");
    once(&with("inputs: { x: {}, y: {} }"), "warning[unused-input]: nothing uses the input `y`");
    assert_eq!(said(&with("key: y\ninputs: { x: {}, y: {} }")), "");
    let key = |key: &str, input: &str| {
        with(&format!("key: {key}\ninputs: {{ x: {{}}, {input}: {{}} }}")).replace("inputs.x", "inputs")
    };
    once(&key("tilte", "title"), "hint: did you mean `title`?");
    for (other, input) in [("id", "ip"), ("no", "on"), ("url", "urn"), ("id", "id"), ("name", "title")] {
        assert_eq!(said(&key(other, input)), "", "{other}");
    }
    assert_eq!(said(&with("key: other\ninputs: { x: {} }")), "");
    once(&with("secrets: [HOME]"), "warning[unused-secret]: nothing uses the secret `HOME`");
    once(&with("models: { small: openai/gpt-4.1-mini }"), "warning[unused-model]: nothing uses the model `small`");
    assert_eq!(said("inputs: { y: {} }\nsteps: [{ id: a, value: \"${{ inputs }}\" }]\n"), "");
}

#[test]
fn numbers_that_yaml_changes() {
    for (written, read) in [
        ("1.10", "1.1"),
        ("010", "10.0"),
        ("0x1F", "31"),
        ("0o17", "15"),
        ("0b11", "3"),
        ("1_000", "1000"),
        ("1e3", "1000.0"),
        ("+5", "5"),
        (".5", "0.5"),
        ("-1.20", "-1.2"),
    ] {
        let wanted = format!("warning[changed-number]: YAML reads `{written}` as the number {read}\n");
        once(&format!("steps: [{{ id: a, value: {written} }}]\n"), &wanted);
        once(&format!("steps:\n  - id: a\n    value:\n      deep: [x, {written}] # a comment\n"), &wanted);
        once(
            &format!(
                "inputs: {{ x: {{ default: {written} }} }}\nsteps: [{{ id: a, value: \"${{{{ inputs.x }}}}\" }}]\n"
            ),
            &wanted,
        );
    }
    let twice =
        "steps: [{ id: a, tool: slow, with: { value: 1 }, fallback: [{ tool: json, with: { value: [1.10] } }] }]\n";
    once(twice, "warning[changed-number]: YAML reads `1.10` as the number 1.1");
    let answer = "steps: [{ id: a, agent: { model: m, prompt: x, answer: { n: { default: 1e3 } } } }]\n";
    once(answer, "warning[changed-number]: YAML reads `1e3` as the number 1000.0");
    once(
        "returns: { n: { default: 010 } }\nsteps: [{ id: a, value: { n: 1 } }]\n",
        "warning[changed-number]: YAML reads `010` as the number 10.0",
    );
    once(
        "steps: [{ id: a, value: 1 }]\noutput: { n: 1_000, a: \"${{ steps.a }}\" }\n",
        "warning[changed-number]: YAML reads `1_000` as the number 1000",
    );
    let own = "tools: { t: { command: [ls], args: { n: { default: +5 } } } }\nsteps: [{ id: a, tool: t }]\n";
    once(own, "warning[changed-number]: YAML reads `+5` as the number 5");
    // Where a number is expected, other digits for the same number are fine.
    let number = |kind: &str, written: &str| {
        format!(
            "inputs: {{ x: {{ type: {kind}, default: {written} }} }}\nsteps: [{{ id: a, value: \"${{{{ inputs.x }}}}\" }}]\n"
        )
    };
    let option = |written: &str| {
        format!(
            "models: {{ n: {{ model: a/b, options: {{ x: [{written}] }} }} }}\nsteps: [{{ id: a, agent: {{ model: n, prompt: x }} }}]\n"
        )
    };
    let run = |written: &str| format!("run: {{ budget: {written} }}\nsteps: [{{ id: a, value: 1 }}]\n");
    for fine in ["0.90", "2.50", "+5.0", ".5", "1e3"] {
        for text in [number("number", fine), option(fine), run(fine)] {
            assert_eq!(said(&text), "", "{text}");
        }
    }
    for changed in ["010", "0x1F", "0o17", "0b11", "1_000"] {
        for text in [number("number", changed), option(changed), run(changed)] {
            once(&text, &format!("warning[changed-number]: YAML reads `{changed}` as the number "));
        }
    }
    once(&number("integer", "0x1F"), "`0x1F`");
    // Texts of YAML 1.2 stay texts, and numbers that keep their digits have no warning.
    for fine in ["yes", "no", "on", "off", "NO", "2024-01-01", "12:30:45", "1.0", "0.1", "-3", "1.5.2", "\"1.10\""] {
        assert_eq!(said(&format!("steps: [{{ id: a, value: {fine} }}]\n")), "", "{fine}");
    }
}

#[test]
fn unknown_keys_at_every_level() {
    for (text, hint) in [
        ("stepps: []\n", "did you mean `steps`?"),
        ("defaults: { timout: 1s }\nsteps: []\n", "did you mean `timeout`?"),
        ("inputs: { x: { tpye: string } }\nsteps: []\n", "did you mean `type`?"),
        ("allow: { raed: [.] }\nsteps: []\n", "did you mean `read`?"),
        ("models: { m: { model: a/b, price: {} } }\nsteps: []\n", "did you mean `prices`?"),
        ("tools: { t: { comand: [ls] } }\nsteps: []\n", "did you mean `command`?"),
        ("tools: { t: { mcp: { ulr: x } } }\nsteps: []\n", "did you mean `url`?"),
        ("steps: [{ id: a, tool: slow, retri: 3 }]\n", "did you mean `retry`?"),
        ("steps: [{ id: a, tool: slow, retry: { mx: 3 } }]\n", "did you mean `max`?"),
        ("steps: [{ id: a, tool: slow, timeout: { attemt: 3s } }]\n", "did you mean `attempt`?"),
        ("steps: [{ id: a, tool: slow, hedge: { aftr: 3s } }]\n", "did you mean `after`?"),
        ("steps: [{ id: a, tool: slow, rate: { request: 3/s } }]\n", "did you mean `requests`?"),
        ("steps: [{ id: a, tool: slow, adaptive: { mix: 3 } }]\n", "`min`"),
        ("steps: [{ id: a, tool: slow, breaker: { sharee: 1 } }]\n", "did you mean `share`?"),
        ("steps: [{ id: a, agent: { prompt: x, modl: y } }]\n", "did you mean `model`?"),
        ("steps: [{ id: a, each: x, do: { tol: y } }]\n", "did you mean `tool`?"),
        ("steps: [{ id: a, race: [{ id: b, pipeline: [{ idd: y }] }] }]\n", "did you mean `id`?"),
        ("steps: [{ id: a, value: 1, fallback: [{ vaue: y }] }]\n", "did you mean `value`?"),
    ] {
        let said = said(text);
        assert!(said.contains("unknown key `") && said.contains(hint), "{text}\ngave:\n{said}");
        assert!(said.contains("^\n  |\nhint: "), "{said}");
    }
}

#[test]
fn ids_are_unique_at_every_depth() {
    once(
        "steps:\n  - { id: a, tool: slow }\n  - { id: b, race: [{ id: c, tool: slow }, { id: d, each: range(1), do: [{ id: a, value: 1 }] }] }\n",
        "error: there is already a step `a`",
    );
}

#[test]
fn steps_nest_at_most_8_deep() {
    let nested = |deep: usize| {
        let open: String = (1..deep).map(|level| format!("{{ id: a{level}, pipeline: [")).collect();
        format!("steps: [{open}{{ id: a, value: 1 }}{}]\n", "] }".repeat(deep - 1))
    };
    assert_eq!(said(&nested(8)), "");
    once(&nested(9), "error: steps nested 9 deep");
    for deep in [30, 33, 100, 10_000] {
        let said = said(&nested(deep));
        assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{deep} gave {said:.300}");
    }
    for (open, close) in [("{ each: range(1), do: ", "}"), ("{ value: 1, fallback: ", "}"), ("[", "]"), ("{ a: ", "}")]
    {
        for deep in [9, 31, 10_000] {
            let said = said(&format!("steps:\n  - id: a\n    do: {}1{}\n", open.repeat(deep), close.repeat(deep)));
            assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{open}{deep} gave {said:.300}");
        }
    }
}
