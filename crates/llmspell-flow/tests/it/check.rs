//! Problems in a flow file are found before anything runs, and shown at their position.

use llmspell_flow::{Flow, Source, Toolbox};

use llmspell_tools::Permissions;

fn problems(text: &str) -> String {
    let toolbox = Toolbox::built_in(&Permissions::everything()).with_unopened_model("m");
    match Flow::parse(&Source::new("f.yaml", text), &toolbox) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

/// Returns the problems of a flow with one step `a` that has the keys `rest`.
fn step(rest: &str) -> String {
    problems(&format!("flow: f\nsteps:\n  - id: a\n{rest}"))
}

#[test]
fn a_problem_is_shown_with_its_place_and_a_hint() {
    let shown = step("    tool: txet\n    with: { value: x }\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn everything_wrong_is_shown_at_once_in_the_order_of_the_file() {
    let shown = problems(
        "flow: f\nsteps:\n  - id: a\n    tool: text\n    with: { value: \"${{ steps.b }}\", trm: true }\n    limit: 0\n\
         \x20 - id: a\n    tool: text\n    with: { value: \"${{ imputs.x }}\" }\n",
    );
    insta::assert_snapshot!(shown);
    let messages: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(
        messages,
        [
            "there is no step `b`",
            "the tool `text` has no argument `trm`",
            "a limit of 0: no record would ever pass this step",
            "there is already a step `a`",
            "unknown name `imputs`",
        ]
    );
}

#[test]
fn references_must_lead_somewhere() {
    let flow = |value: &str| {
        problems(&format!(
            "flow: f\ninputs: {{ question: {{ type: string }} }}\nsteps:\n  - {{ id: a, tool: json, with: {{ value: 1 }} }}\n\
             \x20 - id: b\n    tool: json\n    with:\n      value: {value}\n  - {{ id: c, tool: json, with: {{ value: 1 }} }}\n"
        ))
    };
    assert_eq!(flow("${{ steps.a + inputs.question + record.index }}"), "");
    assert_eq!(flow("${{ range(3) | map('string') | join(steps.a | default('x')) }}"), "");
    assert!(flow("${{ steps.c }}").contains("the step `c` runs later than this one"));
    assert!(flow("${{ steps.b }}").contains("the step `b` refers to itself"));
    assert!(flow("x ${{ steps.a }} ${{ steps.nots.x }}").contains("f.yaml:8:35"));
    assert!(flow("${{ inputs.qestion }}").contains("hint: did you mean `question`?"));
    assert!(flow("${{ item.line }}").contains("there is no `item` here"));
    assert!(flow("${{ record.line }}").contains("`record` has no field `line`"));
    assert!(flow("${{ a b }}").contains("this expression cannot be read"));
    assert!(flow("'{% if x %}'").contains("statements such as"));
}

#[test]
fn arguments_must_fit_the_schema_as_far_as_they_are_literal() {
    assert!(step("    tool: text\n").contains("needs the argument `value`"));
    assert!(step("    tool: text\n    with: { value: 5 }\n").contains("the argument `value` must be text"));
    assert!(step("    tool: text\n    with: { value: x, trim: NO }\n").contains("must be true or false"));
    assert!(
        step("    tool: text\n    with: { value: x, case: big }\n").contains("must be one of \"lower\", \"upper\"")
    );
    assert!(step("    tool: text\n    with: { value: x, truncate: ten }\n").contains("must be a whole number"));
    assert_eq!(step("    tool: text\n    with: { value: x, case: lower, truncate: \"${{ inputs.n }}\" }\n"), "");
}

#[test]
fn times_and_attempts_must_be_possible() {
    let text = |rest: &str| step(&format!("    tool: text\n    with: {{ value: x }}\n{rest}"));
    assert_eq!(
        text("    timeout: [1s, 3s]\n    deadline: 10s\n    retry: { max: 3, base: 250ms, on: [timeout] }\n"),
        ""
    );
    assert!(text("    timeout: 5\n").contains("`5` has no unit: write 5s or 5ms"));
    assert!(text("    timeout: 20s\n    deadline: 10s\n").contains("can never be reached"));
    assert!(text("    timeout: [1s, 2s]\n").contains("2 timeouts, but at most 1 attempts"));
    assert!(text("    timeout: []\n").contains("at least one"));
    assert!(text("    retry: x\n").contains("hint: write it in one of these forms"));
    assert!(text("    retry: 0\n").contains("would never run"));
    assert!(text("    retry: { max: 3, on: [timeuot] }\n").contains("did you mean `timeout`?"));
    assert!(text("    retry: -1\n").contains("-1 attempts: expected a number from 1 to 100"));
    for limit in ["-1", "99999999999", "many"] {
        let shown = text(&format!("    limit: {limit}\n"));
        assert!(shown.contains("expected a whole number from 0 to 4294967295"), "{shown}");
        assert!(shown.contains("hint: "), "{shown}");
    }
}

#[test]
fn a_step_is_of_one_kind() {
    assert!(step("    limit: 2\n").contains("a step without a kind"));
    assert!(step("    tool: text\n    with: { value: x }\n    value: x\n").contains("both `tool` and `value`"));
    assert!(step("    value: x\n    with: { value: x }\n").contains("`with` does not go with `value`"));
    assert!(step("    race: [{ id: b, value: x }]\n").contains("a race of 1"));
    assert!(step("    each: inputs.urls\n").contains("`each` needs `do`"));
    assert!(step("    each: ${{ inputs.urls }}\n    do: { value: x }\n").contains("without the marks: inputs.urls"));
    assert!(step("    repeat: [{ id: b, value: x }]\n    max: 2\n").contains("`repeat` needs `until`"));
    assert!(step("    concurrent: [{ value: x }]\n").contains("missing key `id`"));
}

#[test]
fn steps_see_those_before_them_and_not_those_beside_them() {
    let flow = |value: &str| {
        step(&format!(
            "    concurrent:\n      - {{ id: b, value: x }}\n      - id: c\n        pipeline:\n          - {{ id: d, value: x }}\n          - {{ id: e, value: \"{value}\" }}\n"
        ))
    };
    assert_eq!(flow("${{ steps.d }}"), "");
    assert!(flow("${{ steps.b }}").contains("runs later than this one, or inside of another step"));
    assert!(flow("${{ steps.a }}").contains("contains this one"));
    assert!(flow("${{ steps.e }}").contains("refers to itself"));
}

#[test]
fn files_that_are_not_flows_are_rejected_with_a_position() {
    for (text, wanted) in [
        ("", "the file is empty"),
        ("- 1\n", "expected a table of keys and values"),
        ("flow: f\n", "missing key `steps`"),
        ("steps: []\n", "missing key `flow`"),
        ("flow: f\nsteps: []\n", "the flow has no steps"),
        ("flow: f\nsteps: 3\n", "expected a list"),
        ("flow: f f\nsteps: []\n", "of a flow"),
        ("flow: f\nflow: g\nsteps: []\n", "duplicate key `flow`"),
        ("flow: f\nversion: 2\nsteps: []\n", "unknown version 2"),
        ("flow: f\nsteps: [\n", "unclosed bracket"),
        ("flow: f\nsteps: []\n---\nflow: g\n", "a second document"),
        ("flow: f\nsteps:\n  - {id: 1a, tool: slow}\n", "of a step"),
        ("flow: f\nsteps:\n  - {id: output, tool: slow}\n", "of a step"),
        ("flow: f\ninputs: {n: {type: integer, default: x}}\nsteps: []\n", "the default of `n` is not an integer"),
    ] {
        let shown = problems(text);
        assert!(shown.contains(wanted), "{text:?} gave:\n{shown}");
        assert!(shown.contains("f.yaml") && shown.contains("hint: "), "{text:?} gave:\n{shown}");
    }
    assert!(step("    tool: text\n    with: { value: ${{ inputs.x }} }\n").contains("quote a template inside"));
}

#[test]
fn names_in_expressions_must_exist() {
    let value = |value: &str| step(&format!("    tool: json\n    with:\n      value: {value}\n"));
    let shown = value("a ${{ inputs.x | uper }}");
    insta::assert_snapshot!(shown);
    for (expression, wanted) in [
        ("inputs | tojson", "the filters are: "),
        ("inputs.x | urlencode", "the filters are: "),
        ("1 is wrong", "the tests are: "),
        ("inputs.items()", "it is a filter: `… | items`"),
        ("rnge(3)", "did you mean `range`?"),
        ("[1] | map('uper')", "did you mean `upper`?"),
        ("inputs.x | indent(4)", "there is no filter `indent`"),
    ] {
        let shown = value(&format!("${{{{ {expression} }}}}"));
        assert!(shown.contains(wanted) && shown.matches("error: ").count() == 1, "{expression} gave:\n{shown}");
    }
}

#[test]
fn a_template_cannot_be_a_key() {
    let shown = step("    tool: json\n    with:\n      value: { \"${{ inputs.k }}\": 1 }\n");
    assert!(shown.contains("a template cannot be a key") && shown.contains("f.yaml:6:16"), "{shown}");
}

/// A flow whose second step names `value`, behind a step `a` of which `rest` tells the kind.
fn after(rest: &str, value: &str) -> String {
    problems(&format!(
        "flow: f\nallow: {{ net: [\"*\"], command: [\"*\"], read: [.] }}\nmodels: {{ m: simulated/m }}\ndefaults: {{ model: m }}\n\
         steps:\n  - id: a\n{rest}\n  - id: b\n    value: \"${{{{ {value} }}}}\"\n"
    ))
}

#[test]
fn fields_of_outputs_must_exist_where_the_file_tells_them() {
    let judge = "    agent: { prompt: x, answer: { verdict: { type: string }, note: { required: false } } }";
    let shown = after(judge, "steps.a.verdic");
    assert!(
        shown.starts_with("error: `steps.a` has no field `verdic`\n --> f.yaml:9:17\n")
            && shown.ends_with("^^^^^^^^^^^^^^\n  |\nhint: did you mean `verdict`?"),
        "{shown}"
    );
    assert_eq!(after(judge, "steps.a.verdict ~ steps.a.note.deep ~ steps.a['any']"), "");
    let text = "    agent: { prompt: x }";
    let value = "    value: { list: [{ x: 1 }], deep: { y: \"${{ inputs.y }}\" }, n: 1 }";
    let both = "    concurrent:\n      - { id: c, agent: { prompt: x } }\n      - { id: d, value: { x: 1 } }";
    let pages = "    each: inputs.urls\n    do: { tool: http_get, with: { url: \"${{ item }}\" } }";
    for (rest, value, message, hint) in [
        (
            judge,
            "steps.a.verdict.x",
            "`steps.a.verdict` is a text, and has no field `x`",
            "use `steps.a.verdict` itself",
        ),
        (text, "steps.a.text", "`steps.a` is a text, and has no field `text`", "give the agent an `answer`"),
        (value, "steps.a.lst", "`steps.a` has no field `lst`", "did you mean `list`?"),
        (value, "steps.a.deep.z", "`steps.a.deep` has no field `z`", "fields are: y"),
        (value, "steps.a.list.x", "`steps.a.list` is a list, and has no field `x`", "`steps.a.list[0].x`"),
        (value, "steps.a.n.x", "`steps.a.n` is a number, and has no field `x`", "use `steps.a.n` itself"),
        (both, "steps.a.e", "`steps.a` has no field `e`", "fields are: c"),
        (both, "steps.a.c.x", "`steps.a.c` is a text", "`answer`"),
        (both, "steps.a.d.y", "`steps.a.d` has no field `y`", "fields are: x"),
        (pages, "steps.a.body", "`steps.a` is a list", "map(attribute=\"body\")"),
        (
            "    tool: http_get\n    with: { url: x }",
            "steps.a.text",
            "`steps.a` has no field `text`",
            "status, headers, body",
        ),
        (
            "    tool: command\n    with: { argv: [ls] }",
            "steps.a.output",
            "`steps.a` has no field `output`",
            "stdout, stderr",
        ),
        ("    tool: text\n    with: { value: x }", "steps.a.value", "`steps.a` is a text", "use `steps.a` itself"),
        (
            "    tool: text\n    with: { value: x, count: true }",
            "steps.a.word",
            "`steps.a` has no field `word`",
            "`words`",
        ),
        (
            "    tool: text\n    with: { value: x, matches: { en: a } }",
            "steps.a.de",
            "`steps.a` has no field `de`",
            "en",
        ),
        ("    tool: read_file\n    with: { path: x }", "steps.a.body", "`steps.a` is a text", "use `steps.a` itself"),
        ("    race: [{ id: c, value: { x: 1 } }, { id: d, value: { x: 2 } }]", "steps.a.y", "no field `y`", "x"),
        ("    pipeline: [{ id: c, value: 1 }, { id: d, value: { x: 2 } }]", "steps.a.y", "no field `y`", "x"),
        ("    repeat: [{ id: c, value: { x: 2 } }]\n    until: steps.c.y\n    max: 2", "1", "no field `y`", "x"),
        ("    value: { x: 1 }\n    fallback: { value: { x: 1 } }", "steps.a.y", "no field `y`", "x"),
        ("    value: { x: 1 }", "[steps.a.x, steps.a.y] | join", "no field `y`", "x"),
    ] {
        let shown = after(rest, value);
        assert!(shown.contains(message) && shown.contains(hint), "{rest}\n{value} gave:\n{shown}");
        assert!(shown.matches("error: ").count() == 1 && shown.contains('^'), "{rest}\n{value} gave:\n{shown}");
    }
}

#[test]
fn fields_of_unknown_outputs_are_not_checked() {
    for rest in [
        "    tool: json\n    with: { value: 1 }",
        "    tool: slow\n    with: { value: { x: 1 } }",
        "    tool: text\n    with: { value: x, count: \"${{ inputs.c }}\" }",
        "    tool: read_file\n    with: { path: x, format: json }",
        "    tool: http_get\n    with: { url: x }\n    fallback: { value: { body: \"\", y: 1 } }",
        "    value: { x: 1 }\n    when: inputs.x",
        "    value: { x: 1 }\n    fallback: { tool: json, with: { value: 1 } }",
        "    value: \"${{ inputs.x }}\"",
        "    value: \"${{ {'x': 1} }}\"",
        "    race: [{ id: c, value: { x: 1 } }, { id: d, value: { z: 2 } }]",
        "    agent: { prompt: x, answer: { y: { type: object } } }",
    ] {
        assert_eq!(after(rest, "steps.a.y.z"), "", "{rest}");
    }
    let items = "    each: steps.a\n    do: { value: \"${{ item.y }}\" }\n";
    let flow = |list: &str| format!("flow: f\nsteps:\n  - {{ id: a, {list} }}\n  - id: b\n{items}");
    assert_eq!(problems(&flow("value: \"${{ inputs.list }}\"")), "");
    assert!(problems(&flow("value: { x: 1 }")).contains("`steps.a` must be a list, but is a table"));
    let read = flow("each: inputs.texts, do: { tool: html_to_text, with: { html: \"${{ item }}\" } }");
    assert!(problems(&read).contains("`item` has no field `y`"), "{}", problems(&read));
    let named = flow("value: 1")
        .replace("steps.a", "steps.b0")
        .replace("- id: b\n", "- { id: b0, value: [{ y: 1 }] }\n  - id: b\n");
    assert_eq!(problems(&named), "");
    // A replaced tool gives whatever it gives.
    let own = llmspell::tool::DynTool::from_schema(
        "html_to_text",
        "",
        serde_json::json!({ "type": "object" }),
        llmspell::step(|value, _| async move { Ok(value) }),
    );
    let toolbox = Toolbox::built_in(&Permissions::none()).with(own);
    assert!(Flow::parse(&Source::new("f.yaml", read), &toolbox).is_ok());
}

#[test]
fn declared_inputs_have_the_fields_of_their_type() {
    let flow = |value: &str| {
        problems(&format!(
            "flow: f\ninputs: {{ q: {{ type: string }}, t: {{ type: object }}, x: {{}} }}\nsteps: [{{ id: a, value: \"${{{{ {value} }}}}\" }}]\n"
        ))
    };
    assert_eq!(flow("[inputs.t.a, inputs.x.a, inputs.q]"), "");
    assert!(flow("inputs.q.text").contains("`inputs.q` is a text, and has no field `text`"));
}

#[test]
fn the_output_must_have_what_the_flow_returns() {
    let flow = |rest: &str| {
        problems(&format!(
            "flow: f\nreturns: {{ x: {{ type: integer }}, y: {{ required: false }} }}\nsteps:\n  - {{ id: a, value: {{ x: 1 }} }}\n{rest}"
        ))
    };
    assert_eq!(flow(""), "");
    assert_eq!(flow("output: { x: \"${{ steps.a.x }}\" }\n"), "");
    assert_eq!(flow("output: ${{ steps.a }}\n"), "");
    assert_eq!(flow("output: ${{ inputs.a }}\n"), "");
    let shown = flow("output: { z: 1 }\n");
    assert!(shown.starts_with("error: the output of the flow has no field `x`\n --> f.yaml:2:12\n"), "{shown}");
    assert!(shown.ends_with("hint: it has `z`: add the field there, or leave it out here"), "{shown}");
    assert!(flow("output: x is ${{ steps.a.x }}\n").contains("the output of the flow is a text"));
}

#[test]
fn fields_in_prompt_files_must_exist_where_the_file_tells_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("ask.j2"),
        "Judge:\n{% for x in steps.a.items %}{{ x }}{% endfor %}\n{{ steps.a.titel }}\n",
    )
    .unwrap();
    let text = "flow: f\nmodels: { m: simulated/m }\nsteps:\n  - { id: a, value: { title: x, items: [1] } }\n  - { id: b, agent: { model: m, prompt: { file: ask.j2 } } }\n";
    let source = Source::new("f.yaml", text).in_folder(folder.path());
    let toolbox = Toolbox::built_in(&Permissions::none()).with_unopened_model("m");
    let shown = Flow::parse(&source, &toolbox).map(|_| ()).unwrap_err().to_string();
    assert!(shown.contains("error: `steps.a` has no field `titel`\n") && shown.contains("ask.j2:3:4\n"), "{shown}");
    assert!(
        shown.contains("^^^^^^^^^^^^^\n  |\nhint: did you mean `title`?") && shown.matches("error: ").count() == 1,
        "{shown}"
    );
}

#[test]
fn common_mistakes_of_newcomers_have_hints() {
    let step = |rest: &str| format!("flow: f\nsteps:\n  - id: a\n{rest}\n");
    let top = |rest: &str| format!("flow: f\n{rest}\nsteps: [{{ id: b, value: 1 }}]\n");
    for (text, place, hint) in [
        (top("inputs: {a: str}"), "2:13", "write `a: { type: string }`"),
        (top("inputs:\n  a:"), "3:4", "for any value: `a: {}`"),
        (top("inputs: [a]"), "2:9", "declare each field by name: `inputs: { x: { type: string } }`"),
        (top("inputs: { a: { type: int } }"), "2:22", "write `integer`"),
        (step("    agent: { prompt: x, answer: { ok: bool } }"), "4:39", "write `ok: { type: boolean }`"),
        (step("    agent: ask"), "4:12", "write `agent: { model: …, prompt: ask }`"),
        (step("    agent: { prompt: x, tools: text }"), "4:32", "write it in brackets: `tools: [text]`"),
        (step("    tool: slow\n    timeout: 5"), "5:14", "write a time with its unit: 500ms, 5s"),
        (step("    tool: slow\n    deadline: { attempt: 5 }"), "5:15", "write one text instead of a list or a table"),
        (step("    tool: slow\n    rate: 5"), "5:11", "`5/s`"),
        (step("    tool: slow\n    value: 1"), "5:12", "write two steps"),
        (step("    tool: text\n    with: hello"), "5:11", "name the arguments: `with: { value: hello }`"),
        (step("    each: [1, 2]\n    do: { value: 1 }"), "4:11", "put the list in quotes: `each: \"[1, 2]\"`"),
        (step("    each:\n      - 1\n    do: { value: 1 }"), "4:5", "name a list: `each: inputs.urls`"),
        (step("    value: 1\n    when: { a: 1 }"), "5:11", "write a condition: `when: "),
        (step("    concurrent: { b: { value: 1 } }"), "4:17", "write steps as a list: begin each with `- id: …`"),
        (step("    prompt: x"), "4:5", "write the call of a model under `agent`"),
        (step("    tool: slow\n    if: x"), "5:5", "write the condition under `when`"),
        (step("    value: a: b"), "4:13", "put a text that contains `: ` in quotes"),
        ("flow: f\nsteps:\n  a: { value: 1 }\n".to_owned(), "3:3", "write steps as a list: begin each with `- id: …`"),
        ("flow: f\nsteps:\n  - a\n".to_owned(), "3:5", "write a step as a table: `- id: …`"),
        ("steps:\n  - { id: a, value: 1 }\n".to_owned(), "1:1", "begin with the name of the flow"),
        ("name: f\nsteps: []\n".to_owned(), "1:1", "write the name of the flow under `flow`"),
        ("flow: f\nsteps:\n\t- id: a\n".to_owned(), "3:1", "indent with spaces"),
        ("flow: f\nsteps:\n  - id: a\n\tvalue: 1\n".to_owned(), "4:1", "indent with spaces"),
        ("{\"q\": 1}\n{\"q\": 2}\n".to_owned(), "1:2", "this looks like records: pass them with --input"),
        ("[{\"q\": 1}]\n".to_owned(), "1:1", "this looks like records: pass them with --input"),
        ("id,question\n1,why\n".to_owned(), "1:1", "write a table: `flow: NAME`, then `steps:`"),
        (String::new(), "1:1", "a flow has a name and steps"),
        (top("allow: net"), "2:8", "`allow: { net: [example.org] }`"),
        (top("allow: { net_private: yes }"), "2:23", "write true or false"),
        (top("run: 3"), "2:6", "`run: { limit: 64 }`"),
    ] {
        let shown = problems(&text);
        let (_, given) = shown.rsplit_once("hint: ").unwrap_or_default();
        assert!(shown.contains(&format!("--> f.yaml:{place}\n")) && given.contains(hint), "{text}\ngave:\n{shown}");
        assert!(shown.contains('^') && shown.matches("error: ").count() == 1, "{text}\ngave:\n{shown}");
    }
    // A flow in JSON is a flow: JSON is YAML.
    assert_eq!(problems("{\"flow\": \"f\", \"steps\": [{\"id\": \"a\", \"value\": 1}]}"), "");
}

/// A flow whose first step is a table with the field `n`, and a second step.
fn of_a_table(second: &str) -> String {
    let text = format!("flow: f\nsteps:\n  - {{ id: a, value: {{ n: \"${{{{ inputs.x }}}}\" }} }}\n  - {second}\n");
    said(&text)
}

/// Returns all diagnostics of a flow, warnings and errors.
fn said(text: &str) -> String {
    let toolbox = Toolbox::built_in(&Permissions::everything()).with_unopened_model("m");
    match Flow::parse(&Source::new("f.yaml", text), &toolbox) {
        Ok(flow) => flow.warnings().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(problems) => problems.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "what takes for ever has to be left behind")]
#[test]
fn steps_that_name_each_other_over_and_over_are_checked_at_once() {
    let chain = |steps: usize, value: &str| {
        let mut text = "flow: f\nsteps:\n  - { id: s0, value: 1 }\n".to_owned();
        for step in 1..steps {
            let value = value.replace("PREV", &format!("${{{{ steps.s{} }}}}", step - 1));
            text += &format!("  - {{ id: s{step}, value: {value} }}\n");
        }
        text
    };
    let (done, ended) = std::sync::mpsc::sync_channel(4);
    std::thread::spawn(move || {
        for (steps, value) in [
            (64, "{ a: \"PREV\", b: \"PREV\" }"),
            (1000, "{ a: \"PREV\" }"),
            (64, "[{ a: \"PREV\" }]"),
            (64, "{ a: { b: { c: \"PREV\", d: \"PREV\" } } }"),
        ] {
            done.send(said(&chain(steps, value))).unwrap();
        }
    });
    for _ in 0..4 {
        // A hundredth of it is usual; without the bounds it takes for ever.
        let said = ended.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(said.as_deref(), Ok(""));
    }
}

#[test]
fn testing_for_a_missing_field_is_a_warning() {
    for asked in ["steps.a.m is defined", "steps.a.m | default(1)", "steps.a.m if steps.a.m is defined else 1"] {
        let said = of_a_table(&format!("{{ id: b, value: '${{{{ {asked} }}}}' }}"));
        assert!(
            said.starts_with("warning[missing-field]: `steps.a` has no field `m`") && said.contains("hint: "),
            "{asked}: {said}"
        );
        assert_eq!(said.matches("warning[missing-field]: ").count(), 1, "{said}");
    }
    for fine in [
        "{ id: b, value: '${{ steps.a.n | default(1) }}' }",
        "{ id: b, value: '${{ steps.a.m if steps.a is string else 1 }}' }",
        "{ id: b, when: '\"m\" in steps.a', value: '${{ steps.a.m }}' }",
    ] {
        assert_eq!(of_a_table(fine), "", "{fine}");
    }
    let when = of_a_table("{ id: b, when: steps.a.m is defined, value: '${{ steps.a.m.x }}' }");
    assert!(
        when.starts_with("warning[missing-field]: `steps.a` has no field `m`")
            && when.matches("has no field").count() == 1,
        "{when}"
    );
    for wrong in ["steps.a.m", "steps.a.m ~ (steps.a.m | default(1))", "steps.a.m.x is defined", "steps.a.m | upper"] {
        let said = of_a_table(&format!("{{ id: b, value: '${{{{ {wrong} }}}}' }}"));
        assert!(said.starts_with("error: `steps.a` has no field `m`"), "{wrong}: {said}");
    }
}

#[test]
fn testing_for_a_missing_field_in_a_prompt_file_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let toolbox = Toolbox::built_in(&Permissions::everything()).with_unopened_model("m");
    let said = |prompt: &str| {
        std::fs::write(folder.path().join("p.j2"), prompt).unwrap();
        let flow = folder.path().join("f.yaml");
        let text = "flow: f\nsteps:\n  - { id: a, value: { n: \"${{ inputs.x }}\" } }\n  - { id: b, agent: { model: m, prompt: { file: p.j2 } } }\noutput: \"${{ steps }}\"\n";
        std::fs::write(&flow, text).unwrap();
        match Flow::parse(&Source::load(&flow).unwrap(), &toolbox) {
            Ok(flow) => flow.warnings().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Err(problems) => problems.to_string(),
        }
    };
    let shown = said("Go.\n{% if steps.a.m is defined %}{{ steps.a.m }} {{ steps.a.m.x }}{% endif %}");
    assert!(shown.starts_with("warning[missing-field]: `steps.a` has no field `m`"), "{shown}");
    assert!(shown.matches("warning").count() == 1 && shown.contains("p.j2:2:7"), "{shown}");
    assert!(said("{{ steps.a.m | default('none') }}").starts_with("warning[missing-field]: "));
    assert_eq!(said("{% if steps.a is mapping %}{{ steps.a.n }}{% endif %}"), "");
    assert!(said("{% if steps.a %}{{ steps.a.m }}{% endif %}").starts_with("error: "));
}

#[test]
fn optional_fields_of_the_output_may_always_be_missing() {
    let returns = |fields: &str| said(&format!("flow: f\nreturns: {{ {fields} }}\nsteps: [{{ id: a, value: x }}]\n"));
    assert_eq!(returns("score: { type: number, required: false }"), "");
    let shown = returns("score: { type: number, required: false }, name: {}");
    assert!(shown.contains("the output of the flow is a text, and has no field `name`"), "{shown}");
}

#[test]
fn each_needs_a_list() {
    let each = |list: &str| {
        said(&format!(
            "flow: f\ninputs: {{ title: {{ type: string }}, tags: {{ type: array }}, any: {{}} }}\nsteps:\n  - {{ id: all, value: \"${{{{ inputs }}}}\" }}\n  - {{ id: a, each: {list}, do: {{ tool: json, with: {{ value: [\"${{{{ item }}}}\", \"${{{{ steps.all.more }}}}\"] }} }} }}\n"
        ))
    };
    assert!(
        each("inputs.title").starts_with("error: `inputs.title` must be a list, but is a text"),
        "{}",
        each("inputs.title")
    );
    for fine in ["inputs.tags", "inputs.any", "inputs.title | list", "inputs.any.deep"] {
        assert_eq!(each(fine), "", "{fine}");
    }
}

#[test]
fn one_mistake_is_reported_once() {
    let text = "flow: f
steps:
  - { id: a, tool: txet, with: { value: x } }
  - { id: b, value: '${{ steps.a | nope }}' }
  - { id: c, value: 'x ${{ steps.b.field }}' }
  - { id: d, tool: json, with: { value: '${{ 1 + }}', parse: '{% if x %}' } }
  - { id: e, each: steps.b, do: { value: '${{ steps.d.x }}' } }
";
    let shown = problems(text);
    let messages: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let starts =
        ["unknown tool `txet`", "there is no filter `nope`", "this expression cannot be read", "statements such"];
    assert!(messages.len() == 4 && messages.iter().zip(starts).all(|(said, start)| said.starts_with(start)), "{shown}");
}
