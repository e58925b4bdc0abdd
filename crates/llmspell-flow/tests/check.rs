//! What is wrong with a flow file is found before anything runs, and shown where it stands.

use llmspell_flow::{Flow, Permissions, Source, Toolbox};

fn problems(text: &str) -> String {
    let toolbox = Toolbox::built_in(&Permissions::none());
    match Flow::parse(&Source::new("f.yaml", text), &toolbox) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

/// A flow with one step that says `rest`, and an output that works.
fn step(rest: &str) -> String {
    problems(&format!("flow: f\nsteps:\n  - id: a\n{rest}"))
}

#[test]
fn a_problem_is_shown_with_its_place_and_a_hint() {
    let shown = step("    tool: txet\n    with: { value: x }\n");
    assert_eq!(
        shown,
        "error: unknown tool `txet`\n  --> f.yaml:4:11\n   |\n 4 |     tool: txet\n   |           ^^^^\n\n\
         hint: did you mean `text`?"
    );
}

#[test]
fn everything_wrong_is_shown_at_once_in_the_order_of_the_file() {
    let shown = problems(
        "flow: f\nsteps:\n  - id: a\n    tool: text\n    with: { value: \"${{ steps.b }}\", trm: true }\n    limit: 0\n\
         \x20 - id: a\n    tool: text\n    with: { value: \"${{ imputs.x }}\" }\n",
    );
    let messages: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(
        messages,
        [
            "there is no step `b`",
            "the tool `text` has no argument `trm`",
            "a limit of 0: no record would ever pass this step",
            "there is a step `a` already",
            "`imputs` is not known",
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
    assert!(flow("${{ record.line }}").contains("`record` has no `line`"));
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
    assert!(text("    retry: x\n").contains("hint: this value does not fit its key"));
    assert!(text("    retry: 0\n").contains("would never run"));
    assert!(text("    retry: { max: 3, on: [timeuot] }\n").contains("did you mean `timeout`?"));
    assert!(text("    retry: -1\n").contains("-1 attempts: a number from 1 to 100"));
    for limit in ["-1", "99999999999", "many"] {
        let shown = text(&format!("    limit: {limit}\n"));
        assert!(shown.contains("a whole number from 0 to 4294967295 is expected here"), "{shown}");
        assert!(shown.contains("hint: "), "{shown}");
    }
}

#[test]
fn a_step_is_of_one_kind() {
    assert!(step("    limit: 2\n").contains("does not say what it does"));
    assert!(step("    tool: text\n    with: { value: x }\n    value: x\n").contains("both `tool` and `value`"));
    assert!(step("    value: x\n    with: { value: x }\n").contains("`with` does not go with `value`"));
    assert!(step("    race: [{ id: b, value: x }]\n").contains("a race of 1"));
    assert!(step("    each: inputs.urls\n").contains("`each` needs `do`"));
    assert!(step("    each: ${{ inputs.urls }}\n    do: { value: x }\n").contains("without the marks: inputs.urls"));
    assert!(step("    repeat: [{ id: b, value: x }]\n    max: 2\n").contains("`repeat` needs `until`"));
    assert!(step("    concurrent: [{ value: x }]\n").contains("the key `id` is missing"));
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
    assert!(flow("${{ steps.a }}").contains("is around this one"));
    assert!(flow("${{ steps.e }}").contains("refers to itself"));
}

#[test]
fn what_is_no_flow_at_all_is_refused_with_a_place() {
    for (text, wanted) in [
        ("", "the file is empty"),
        ("- 1\n", "a table of keys and values is expected here"),
        ("flow: f\n", "the key `steps` is missing"),
        ("steps: []\n", "the key `flow` is missing"),
        ("flow: f\nsteps: []\n", "the flow has no steps"),
        ("flow: f\nsteps: 3\n", "a list is expected here"),
        ("flow: f f\nsteps: []\n", "cannot be the name of a flow"),
        ("flow: f\nflow: g\nsteps: []\n", "stands here twice"),
        ("flow: f\nversion: 2\nsteps: []\n", "version 2"),
        ("flow: f\nsteps: [\n", "unclosed bracket"),
        ("flow: f\nsteps: []\n---\nflow: g\n", "a second document"),
        ("flow: f\nsteps:\n  - {id: 1a, tool: slow}\n", "cannot be the id of a step"),
        ("flow: f\nsteps:\n  - {id: output, tool: slow}\n", "cannot be the id of a step"),
        ("flow: f\ninputs: {n: {type: integer, default: x}}\nsteps: []\n", "the default of `n` is not an integer"),
    ] {
        let shown = problems(text);
        assert!(shown.contains(wanted), "{text:?} gave:\n{shown}");
        assert!(shown.contains("f.yaml") && shown.contains("hint: "), "{text:?} gave:\n{shown}");
    }
    assert!(step("    tool: text\n    with: { value: ${{ inputs.x }} }\n").contains("must be quoted"));
}

#[test]
fn names_in_expressions_must_exist() {
    let value = |value: &str| step(&format!("    tool: json\n    with:\n      value: {value}\n"));
    let shown = value("a ${{ inputs.x | uper }}");
    assert_eq!(
        shown,
        "error: there is no filter `uper`\n  --> f.yaml:6:31\n   |\n 6 |       value: a ${{ inputs.x | uper }}\n   \
         |                               ^^^^\n\nhint: did you mean `upper`?"
    );
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
