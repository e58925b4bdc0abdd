//! What a flow would do with the records of an input.

use std::time::Duration;

use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_run::Input;
use llmspell_tools::Permissions;

fn flow(steps: &str) -> Flow {
    let text = format!("flow: f\nallow: {{ net: [\"*\"] }}\nsteps:\n{steps}");
    Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap()
}

#[tokio::test]
async fn an_input_is_counted_record_by_record() {
    let flow = flow(
        "  - { id: e, each: inputs.x, limit: 2, do: { tool: slow, timeout: 2s, retry: { max: 2, base: 1ms } } }\n\
         \x20 - { id: l, each: steps.e, do: { tool: slow, timeout: 1s } }\n",
    );
    let input = Input::from_reader("in", &b"{\"x\":[1,2,3]}\n{\"x\":[]}\nno\n{\"x\":\"abc\"}\n"[..]);
    let survey = llmspell_run::survey(&flow, input).await.unwrap();
    assert_eq!((survey.records, survey.wrong), (4, 1));
    assert!(survey.first_wrong.unwrap().contains("line 3 is not JSON"));
    // What is no list stays unknown.
    assert!(survey.calls["slow"].to_string().starts_with("6 + "), "{}", survey.calls["slow"]);

    let flow = self::flow("  - { id: e, each: inputs.x, limit: 2, do: { tool: slow, timeout: 2s } }\n");
    let input = Input::from_reader("in", &b"{\"x\":[1,2,3]}\n{\"x\":[1]}\n"[..]);
    let survey = llmspell_run::survey(&flow, input).await.unwrap();
    assert_eq!(survey.calls["slow"].fixed(), Some(4));
    assert_eq!(survey.slowest.max(), Some(Duration::from_secs(4)));
    assert_eq!(survey.all.max(), Some(Duration::from_secs(6)));

    // What a record can wait for, all of them can wait for: it is said once.
    let flow = self::flow("  - { id: a, tool: slow }\n  - { id: b, tool: slow }\n");
    let survey = llmspell_run::survey(&flow, Input::from_reader("in", &b"{}\n{}\n{}\n"[..])).await.unwrap();
    assert_eq!(survey.all.reasons(), ["`a` has no timeout", "`b` has no timeout"]);
}
