//! Agents over real models, and over cassettes of them.

use llmspell::agent::Agent;
use llmspell::model::Model;
use llmspell::{Context, Step, Tool};
use llmspell_test::Cassette;
use llmspell_test::fault_server::Answer;
use serde_json::json;

use super::{WIRES, model, server, soon};

#[derive(serde::Deserialize, llmspell::schemars::JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Place {
    city: String,
}

fn agent(model: impl Model) -> Agent {
    let weather =
        Tool::new(
            "weather",
            "The weather there.",
            |place: Place, _| async move { Ok(format!("{}: 3 °C", place.city)) },
        );
    Agent::builder(model).system("Be brief.").tool(weather).build().unwrap()
}

#[tokio::test]
async fn an_agent_calls_a_tool_on_every_wire_and_does_so_again_without_a_network() {
    for wire in WIRES {
        let calls = Answer::calls(wire, "weather", &json!({ "city": "Oslo" }));
        let server = server([calls, Answer::says(wire, "It is cold.")]).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.jsonl");
        let online = agent(Cassette::record(model(&server, wire), &path).unwrap());
        let reply = soon(online.run("Oslo?".into(), &Context::new())).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.tool_calls), ("It is cold.", 1), "{wire:?}");
        let sent = server.requests()[1].body.to_string();
        assert!(sent.contains("Oslo: 3 °C"), "{wire:?}: {sent}");
        drop(server);

        let tape = Cassette::replay(&path).unwrap();
        let offline = soon(agent(tape.clone()).run("Oslo?".into(), &Context::new())).await.unwrap();
        assert_eq!((offline.text, offline.usage, tape.left()), (reply.text, reply.usage, 0), "{wire:?}");
    }
}
