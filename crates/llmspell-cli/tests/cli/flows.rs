//! Every flow in `flows/` runs over its sample data.

use std::path::{Path, PathBuf};

use crate::program::{Folder, lines};

/// Each flow with its records, and the size of the sample.
const SAMPLES: [(&str, &str, usize); 7] = [
    ("brief.yaml", "tool-tasks.jsonl", 20),
    ("concurrent.yaml", "seattle-weather.csv", 50),
    ("pipeline.yaml", "tool-tasks.jsonl", 50),
    ("race.yaml", "seattle-weather.csv", 50),
    ("stream.yaml", "tool-tasks.jsonl", 50),
    ("timeout.yaml", "seattle-weather.csv", 50),
    ("tool-triage.yaml", "tool-tasks.jsonl", 3_115),
];

fn flows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../flows").canonicalize().unwrap()
}

#[test]
fn every_flow_has_sample_data() {
    for entry in flows().read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = SAMPLES.iter().any(|(flow, _, _)| *flow == name);
        assert!(known || !name.ends_with(".yaml"), "{name} has no sample data in this test");
    }
}

#[tokio::test]
async fn every_flow_runs_over_its_sample_data() {
    for (flow, data, records) in SAMPLES {
        let (flow, data) = (flows().join(flow), flows().join("data").join(data));
        let text = std::fs::read_to_string(&flow).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=../schema/flow.v1.json\n"), "{}", flow.display());
        let sample = records.to_string();
        let args = ["run", flow.to_str().unwrap(), "--input", data.to_str().unwrap(), "--sample", &sample];
        let ended = Folder::new().run(&args).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let out = lines(&ended.out);
        assert_eq!(out.len(), records);
        assert!(out.iter().enumerate().all(|(place, line)| line["index"] == place && line["status"] == "ok"));
    }
}

#[tokio::test]
async fn the_triage_flow_converts_specs_to_json_schema() {
    let record = r#"{"id":"x","category":"c","prompt":" Book a\n table, and also  a taxi if it rains tomorrow? ",
        "functions":[{"name":"f","parameters":{"type":"dict","properties":{"n":{"type":"float"},"t":{"type":"tuple"}}}}]}"#;
    let folder = Folder::new().with("in.jsonl", record.replace('\n', ""));
    let flow = flows().join("tool-triage.yaml");
    let ended = folder.run(&["run", flow.to_str().unwrap(), "--input", "in.jsonl"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let output = &lines(&ended.out)[0]["output"];
    assert_eq!(output["prompt"], "Book a table, and also a taxi if it rains tomorrow?");
    let parameters = &output["functions"][0]["parameters"];
    assert_eq!(parameters["type"], "object");
    assert_eq!(parameters["properties"]["n"]["type"], "number");
    assert_eq!(parameters["properties"]["t"]["type"], "array");
    assert_eq!((&output["points"], &output["route"]), (&3.into(), &"large".into()));
}
