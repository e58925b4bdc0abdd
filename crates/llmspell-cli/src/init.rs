//! `llmspell init` and `llmspell demo`: flows to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use llmspell::{Context, Registry, suggest};
use llmspell_flow::{Flow, Source};
use llmspell_run::{Ending, Input, Output, Run};

use crate::args::InitArgs;
use crate::exit::{Exit, Failure};
use crate::{allow, help, report, show};

/// A flow that is built in, and records for it.
struct Template {
    name: &'static str,
    about: &'static str,
    flow: &'static str,
    records: &'static str,
    /// What it has to be allowed.
    needs: &'static str,
}

const FIRST: Template = Template {
    name: "first",
    about: "three steps over questions, without key or network",
    flow: include_str!("init/first.yaml"),
    records: include_str!("init/first.jsonl"),
    needs: "",
};

const TEMPLATES: [Template; 3] = [
    FIRST,
    Template {
        name: "agent",
        about: "a model that is asked about each record, simulated until you name another",
        flow: include_str!("init/agent.yaml"),
        records: include_str!("init/agent.jsonl"),
        needs: "",
    },
    Template {
        name: "pages",
        about: "the titles of web pages",
        flow: include_str!("init/pages.yaml"),
        records: include_str!("init/pages.jsonl"),
        needs: " --allow net=example.com --allow net=www.rust-lang.org",
    },
];

/// Writes a flow and its records into a folder, or lists the flows.
pub(crate) fn init(args: &InitArgs) -> Result<Exit, Failure> {
    if args.list {
        let lines = TEMPLATES.iter().map(|template| format!("{:12}{}", template.name, template.about));
        show::data(&lines.collect::<Vec<_>>().join("\n")).map_err(Failure::output)?;
        return Ok(Exit::Ok);
    }
    let Some(template) = TEMPLATES.iter().find(|template| template.name == args.template) else {
        let names = TEMPLATES.iter().map(|template| template.name);
        let hint = suggest::hint(&args.template, names, "there are");
        return Err(Failure::invalid(format!("error: there is no template `{}`\n\nhint: {hint}", args.template)));
    };
    let (flow, records) = (args.folder.join("flow.yaml"), args.folder.join("records.jsonl"));
    // For editors, which learn from it what a flow can say.
    let schema = args.folder.join("flow.schema.json");
    // Looked at first, so that nothing is left half done.
    if let Some(there) = [&flow, &records, &schema].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Failure::invalid(format!(
            "error: {} is already there\n\nhint: name another folder: llmspell init FOLDER",
            there.display()
        )));
    }
    let failed = |path: &Path, error: io::Error| {
        Failure::invalid(format!("error: cannot write {}: {error}\n\nhint: check the path", path.display()))
    };
    std::fs::create_dir_all(&args.folder).map_err(|error| failed(&args.folder, error))?;
    let editors = help::schema_text();
    for (path, text) in [(&flow, template.flow), (&records, template.records), (&schema, &editors)] {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, error))?;
    }
    let needs = template.needs;
    let (flow, records, schema) = (flow.display(), records.display(), schema.display());
    let text = format!("{flow}\n{records}\n{schema}\n\nnext: llmspell run {flow} --input {records}{needs}");
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// Runs a flow that is built in over records that are, too.
pub(crate) fn demo(registry: &Registry) -> Result<Exit, Failure> {
    let template = FIRST;
    let toolbox = allow::nothing(registry)?;
    let flow = Flow::parse(&Source::new("flow.yaml", template.flow), &toolbox).map_err(Failure::invalid)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::invalid(format!("error: {error}\n\nhint: try again")))?;
    let cx = Context::recording();
    let input = Input::from_reader("the records of the demo", template.records.as_bytes());
    let summary = runtime.block_on(Run::new(flow, input, Output::stdout()).start(&cx));
    if matches!(summary.ending, Ending::NobodyReads) {
        return Ok(Exit::Ok);
    }
    show::note(&report::summary(&report::Told { name: "demo", run: None, resume: None }, &summary));
    show::note(&format!("\n{}", report::whole(&summary.account, show::terminal_width())));
    show::note("\nnext: llmspell init my-flow");
    Ok(if summary.failed == 0 { Exit::Ok } else { Exit::RecordsFailed })
}
