//! Agents of flows against real peers: a model behind HTTP, and an MCP server in a process of its own.

use llmspell::{step, tool::DynTool};
use llmspell_mcp::Server;
use llmspell_models::Wire;
use llmspell_test::fault_server::{Answer, FaultServer};
use serde_json::{Value, json};

use crate::program::{Folder, Output, lines, wait};

const ASK: &str = "flow: ask\nmodels:\n  m: { model: openai/gpt-x, prices: { input: 1.0, output: 2.0 } }\nsteps:\n  \
                   - id: a\n    agent: { model: m, prompt: { file: ask.j2 }, answer: { capital: { type: string } } }\n    \
                   retry: { max: 3, base: 1ms }\n";

async fn run(folder: &Folder, args: &[&str], vars: &[(&str, &str)]) -> Output {
    let mut command = folder.command(args);
    for name in ["OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_BASE_URL"] {
        command.env_remove(name);
    }
    wait(command.envs(vars.iter().copied()).spawn().unwrap()).await
}

fn folder(flow: &str) -> Folder {
    Folder::new()
        .with("f.yaml", flow)
        .with("ask.j2", "{% if inputs.q %}{{ inputs.q }}{% endif %}\n")
        .with("in.jsonl", "{\"q\":\"The capital of France?\"}\n")
}

#[tokio::test]
async fn a_model_of_a_provider_answers_with_fields() {
    let server = FaultServer::start().await.unwrap();
    server.answer(Answer::status(429).header("retry-after-ms", 1).body("{}"));
    server.answer(Answer::says(Wire::OpenAi, "{\"capital\":"));
    server.answer(Answer::says(Wire::OpenAi, "{\"capital\":\"Paris\"}"));
    let folder = folder(ASK);
    let url = server.url("/v1");
    let vars = [("OPENAI_API_KEY", "sk-0123456789"), ("OPENAI_BASE_URL", url.as_str())];
    let ended = run(&folder, &["run", "f.yaml", "-i", "in.jsonl"], &vars).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(lines(&ended.out)[0]["output"], json!({ "capital": "Paris" }));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].header("authorization"), Some("Bearer sk-0123456789"));
    assert_eq!(requests[1].body["messages"][0]["content"], "The capital of France?");
    assert_eq!(requests[1].body["response_format"]["json_schema"]["name"], "a");
}

#[tokio::test]
async fn a_missing_key_is_reported_at_its_model() {
    let folder = folder(ASK);
    let ended = run(&folder, &["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"], &[]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("f.yaml:3:15") && ended.err.contains("hint: set OPENAI_API_KEY"), "{}", ended.err);
    assert!(!folder.path("out.jsonl").exists());
    let ended = run(&folder, &["check", "f.yaml"], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.starts_with("warning: there is no key for openai"), "{}", ended.err);

    let named = ASK.replace("gpt-x,", "gpt-x, key: WORK_KEY,");
    let ended =
        run(&folder.with("f.yaml", named), &["run", "f.yaml", "-i", "in.jsonl"], &[("OPENAI_API_KEY", "x")]).await;
    assert!(ended.err.contains("hint: set WORK_KEY"), "{}", ended.err);
}

#[tokio::test]
async fn a_model_with_an_endpoint_needs_permission_for_its_host_and_gets_no_key_of_the_environment() {
    let server = FaultServer::start().await.unwrap();
    server.otherwise(Answer::says(Wire::OpenAi, "{\"capital\":\"Paris\"}"));
    let elsewhere = |model: &str| {
        let endpoint = format!("{model}, endpoint: '{}',", server.url("/v1"));
        ASK.replace("openai/gpt-x,", &endpoint).replace("models:", "allow: { net: [127.0.0.1] }\nmodels:")
    };
    let vars = [("OPENAI_API_KEY", "sk-0123456789"), ("LOCAL_API_KEY", "sk-0123456789")];
    for model in ["openai/gpt-x", "local/smol"] {
        let folder = folder(&elsewhere(model));
        let refused = run(&folder, &["run", "f.yaml", "-i", "in.jsonl"], &vars).await;
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert!(refused.err.contains("allow it with --allow net=127.0.0.1"), "{}", refused.err);
        let ended = run(&folder, &["run", "f.yaml", "-i", "in.jsonl", "--allow", "net=127.0.0.1"], &vars).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    for request in server.requests() {
        let key = request.header("authorization").unwrap_or_default();
        assert!(!key.contains("sk-"), "{key}");
    }
}

#[tokio::test]
async fn simulated_models_need_no_key() {
    let folder =
        folder(&ASK.replace("openai/gpt-x", "simulated/small").replace(", answer: { capital: { type: string } }", ""));
    let ended = run(&folder, &["run", "f.yaml", "-i", "in.jsonl"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(lines(&ended.out)[0]["output"].is_string());
}

#[tokio::test]
async fn errors_in_models_and_prompts_are_reported_with_their_position() {
    let folder = folder(&ASK.replace("openai/gpt-x", "opnai/gpt-x"));
    let ended = run(&folder, &["check", "f.yaml"], &[]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("f.yaml:3:15") && ended.err.contains("did you mean `openai`?"), "{}", ended.err);
    let folder = self::folder(ASK).with("ask.j2", "Hello\n{{ input.q }}\n");
    let ended = run(&folder, &["check", "f.yaml"], &[]).await;
    assert!(ended.err.contains("ask.j2:2:4") && ended.err.contains("unknown name `input`"), "{}", ended.err);
}

/// The variable that turns this test program into a server.
const SERVE: &str = "LLMSPELL_CLI_TEST_SERVE";

#[test]
#[ignore = "the server of another test"]
fn serves_tools_for_another_test() {
    if std::env::var(SERVE).is_err() {
        return;
    }
    let greet = step(|arguments: Value, _| async move { Ok(json!(format!("Hello, {}!", arguments["name"]))) });
    let parameters = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let server = Server::new("greetings", "1").tools([DynTool::from_schema("say.hello", "Greets.", parameters, greet)]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(server.stdio(std::future::pending())).unwrap();
    runtime.shutdown_background();
}

#[tokio::test]
async fn steps_and_models_call_tools_of_servers() {
    let program = std::env::current_exe().unwrap().display().to_string();
    let command = json!([program, "--exact", "agents::serves_tools_for_another_test", "--ignored", "--nocapture"]);
    let flow = format!(
        "flow: greet\nallow: {{ command: [{program:?}], tool: [greetings.say_hello], net: [127.0.0.1] }}\n\
         tools: {{ greetings: {{ mcp: {{ command: {command}, env: [{SERVE}] }} }} }}\n\
         models: {{ m: {{ model: local/x, endpoint: URL }} }}\n\
         steps:\n  - {{ id: a, tool: greetings.say_hello, with: {{ name: Ada }} }}\n  \
         - {{ id: b, agent: {{ model: m, prompt: Greet Bo, tools: [greetings.say_hello] }} }}\n\
         output: {{ a: '${{{{ steps.a }}}}', b: '${{{{ steps.b }}}}' }}\n"
    );
    let server = FaultServer::start().await.unwrap();
    server.answer(Answer::calls(Wire::OpenAi, "greetings_say_hello", &json!({ "name": "Bo" })));
    server.answer(Answer::says(Wire::OpenAi, "Greeted."));
    let folder = folder(&flow.replace("URL", &server.url("/v1")));
    let grant = format!("command={program}");
    let grants = ["--allow", "net=127.0.0.1", "--allow", &grant, "--allow", "tool=greetings.say_hello"];
    let all = [&["run", "f.yaml", "-i", "in.jsonl"][..], &grants].concat();

    let refused = run(&folder, &all[..all.len() - 4], &[(SERVE, "1")]).await;
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.err.contains("--allow tool=greetings.say_hello") && refused.err.contains(&grant),
        "{}",
        refused.err
    );

    let ended = run(&folder, &all, &[(SERVE, "1")]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(lines(&ended.out)[0]["output"], json!({ "a": "Hello, \"Ada\"!", "b": "Greeted." }));
    let answer = &server.requests()[1].body["messages"];
    assert!(answer.to_string().contains("Bo"), "{answer}");

    // The arguments of a call are checked once the server has listed its tools.
    let wrong = flow.replace("URL", &server.url("/v1")).replace("name: Ada", "nam: Ada");
    let folder = folder.with("f.yaml", wrong);
    let check = run(&folder, &["check", "f.yaml"], &[(SERVE, "1")]).await;
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(
        check.out.contains("it requests") && check.out.contains("--allow tool=greetings.say_hello"),
        "{}",
        check.out
    );
    let check = run(&folder, &[&["check", "f.yaml", "--connect"][..], &grants].concat(), &[(SERVE, "1")]).await;
    assert_eq!(check.code, Some(2), "{check:?}");
    assert!(check.err.contains("needs the argument `name`"), "{}", check.err);
}

/// A server can replace the flow file while it starts. The user has not granted the permissions of that file.
#[cfg(unix)]
#[tokio::test]
async fn a_flow_file_replaced_during_start_does_not_run() {
    let program = std::env::current_exe().unwrap().display().to_string();
    let flow = |shell: &str, output: &str| {
        let command = json!([
            "sh",
            "-c",
            shell,
            program,
            "--exact",
            "agents::serves_tools_for_another_test",
            "--ignored",
            "--nocapture"
        ]);
        format!(
            "flow: greet\nallow: {{ command: [sh], tool: [greetings.say_hello] }}\n\
             tools: {{ greetings: {{ mcp: {{ command: {command}, env: [{SERVE}] }} }} }}\n\
             steps:\n  - {{ id: a, tool: greetings.say_hello, with: {{ name: Ada }} }}\noutput: {output}\n"
        )
    };
    let replaces = "mv other.yaml f.yaml; exec \"$0\" \"$@\"";
    let folder = folder(&flow(replaces, "allowed")).with("other.yaml", flow("exec \"$0\" \"$@\"", "another"));
    let grants = ["--allow", "command=sh", "--allow", "tool=greetings.say_hello"];
    let ended = run(&folder, &[&["run", "f.yaml", "-i", "in.jsonl"][..], &grants].concat(), &[(SERVE, "1")]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(lines(&ended.out)[0]["output"], "allowed");
    assert!(!folder.path("other.yaml").exists(), "it has been replaced");
}

#[tokio::test]
async fn an_unreachable_server_fails_the_run_before_it_begins() {
    let flow = "flow: f\nallow: { command: ['false'], tool: [x.y] }\ntools:\n  x: { mcp: { command: ['false'] } }\n\
                steps: [{ id: a, tool: x.y }]\n";
    let folder = folder(flow);
    let grants = ["--allow", "command", "--allow", "tool=x.y"];
    let ended =
        run(&folder, &[&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"][..], &grants].concat(), &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("f.yaml:4:"), "{}", ended.err);
    assert!(!folder.path("out.jsonl").exists() && !folder.path("out.jsonl.partial").exists());
}
