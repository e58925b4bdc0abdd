//! The execution plan of a flow.

use llmspell_flow::{Flow, Source, Toolbox};

use llmspell_tools::Permissions;

fn flow(steps: &str) -> Flow {
    let text = format!("flow: f\nallow: {{ net: [\"*\"] }}\nsteps:\n{steps}");
    Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap()
}

fn calls(steps: &str) -> String {
    flow(steps).plan().calls.get("slow").map_or_else(String::new, ToString::to_string)
}

fn time(steps: &str) -> String {
    flow(steps).plan().time.to_string()
}

#[test]
fn calls_are_counted_at_their_worst() {
    assert_eq!(calls("  - { id: a, value: 1 }\n"), "");
    assert_eq!(calls("  - { id: a, tool: slow, retry: 3 }\n"), "3");
    assert_eq!(calls("  - { id: a, tool: slow, retry: 3, hedge: 1s, fallback: { tool: slow, retry: 2 } }\n"), "8");
    assert_eq!(calls("  - { id: r, race: [{ id: a, tool: slow, retry: 2 }, { id: b, value: 1 }], retry: 5 }\n"), "10");
    assert_eq!(calls("  - { id: r, repeat: [{ id: a, tool: slow, retry: 2 }], until: steps.a, max: 7 }\n"), "14");
    assert_eq!(
        calls(
            "  - { id: e, each: inputs.x, do: [{ id: d, each: item, do: { tool: slow, retry: 2 } }, { id: s, tool: slow }] }\n"
        ),
        "1 × items of `inputs.x` + 2 × items of `inputs.x` × items of `item`"
    );
}

#[test]
fn times_are_bounds() {
    assert_eq!(time("  - { id: a, tool: text, with: { value: x } }\n"), "at once");
    assert_eq!(time("  - { id: a, tool: slow }\n"), "unbounded: `a` has no timeout");
    assert_eq!(time("  - { id: a, tool: slow, timeout: 2s }\n  - { id: b, tool: slow, timeout: 3s }\n"), "at most 5s");
    assert_eq!(time("  - { id: a, tool: slow, timeout: [1s, 2s], retry: { max: 3, base: 1s } }\n"), "at most 8s");
    assert_eq!(time("  - { id: a, tool: slow, timeout: 3s, retry: 2, deadline: 4s }\n"), "at most 4s");
    assert_eq!(time("  - { id: a, tool: slow, deadline: 4s, fallback: { tool: slow, timeout: 1s } }\n"), "at most 5s");
    let two = "[{ id: a, tool: slow, timeout: 1s }, { id: b, tool: slow, timeout: 2s }]";
    assert_eq!(time(&format!("  - {{ id: c, concurrent: {two} }}\n")), "at most 2s");
    assert_eq!(time(&format!("  - {{ id: c, concurrent: {two}, limit: 1 }}\n")), "at most 3s");
    assert_eq!(time(&format!("  - {{ id: c, race: {two} }}\n")), "at most 2s");
    assert_eq!(time(&format!("  - {{ id: c, repeat: {two}, until: last, max: 3 }}\n")), "at most 9s");
    let each = "  - { id: e, each: inputs.x, do: { tool: slow, timeout: 2s } }\n";
    assert_eq!(time(each), "unbounded: `e` takes 2s × items of `inputs.x`");
    assert_eq!(time("  - { id: e, each: inputs.x, do: { tool: slow }, deadline: 1m }\n"), "at most 1m");
}

#[test]
fn the_plan_is_json() {
    let flow = flow(
        "  - { id: a, tool: http_get, with: { url: \"${{ inputs.x }}\" }, rate: 10/s, limit: 3 }\n  - { id: b, tool: slow }\n",
    );
    let json = serde_json::to_value(flow.plan()).unwrap();
    assert_eq!(json["steps"][0]["modifiers"], serde_json::json!(["rate 10/s", "limit 3"]));
    assert_eq!(json["calls"], serde_json::json!({ "http_get": 1, "slow": 1 }));
    assert_eq!(json["time"]["unbounded"][0], "`a` has no timeout");
    assert_eq!(json["permissions"], serde_json::json!(["--allow net=HOST"]));
    assert_eq!(json["journaled"], serde_json::json!(["a", "b"]));
}

#[test]
fn permissions_are_as_narrow_as_what_the_flow_asks_for() {
    let wants = |asks: &str, steps: &str| {
        let text = format!("flow: f\nallow: {{ net: [{asks}] }}\nsteps:\n{steps}");
        let toolbox = Toolbox::built_in(&Permissions::none());
        Flow::parse(&Source::new("f.yaml", text), &toolbox).unwrap().plan().permissions
    };
    let templated = "  - { id: a, tool: http_get, with: { url: \"${{ inputs.x }}\" } }\n";
    assert_eq!(wants("\"*\"", templated), ["--allow net=HOST"]);
    assert_eq!(wants("example.org", templated), ["--allow net=example.org"]);
    assert!(wants("\"*\"", "  - { id: a, tool: slow }\n").is_empty());
}
