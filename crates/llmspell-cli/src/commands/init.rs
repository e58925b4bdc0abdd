//! `llmspell init`: writes a template into a folder.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use llmspell::internal::suggest;

use crate::exit::{CommandError, Exit};
use crate::options::args::InitArgs;
use crate::templates::{self, Template};
use crate::ui::terminal;

/// Writes a flow, its records and the schema into a folder, or lists the templates.
pub(super) fn init(args: &InitArgs) -> Result<Exit, CommandError> {
    let text = if args.list {
        let lines = templates::ALL.iter().map(|template| format!("{:12}{}", template.name, template.description));
        lines.collect::<Vec<_>>().join("\n")
    } else {
        write(find(&args.template)?, &args.folder)?
    };
    terminal::data(&text)?;
    Ok(Exit::Ok)
}

fn find(name: &str) -> Result<Template, CommandError> {
    templates::ALL.into_iter().find(|template| template.name == name).ok_or_else(|| {
        let names = templates::ALL.iter().map(|template| template.name);
        let hint = suggest::hint(name, names, "the templates are");
        CommandError::invalid(format!("error: unknown template `{name}`\n\nhint: {hint}"))
    })
}

/// Writes the files. Returns their names and the next command.
fn write(template: Template, folder: &Path) -> Result<String, CommandError> {
    let (flow, records) = (folder.join("flow.yaml"), folder.join("records.jsonl"));
    // Editors read it to complete and check the flow.
    let schema = folder.join("flow.schema.json");
    // Checked before anything is written, so that no folder is left with some of the files.
    if let Some(existing) = [&flow, &records, &schema].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(CommandError::invalid(format!(
            "error: {} exists already\n\nhint: name another folder: llmspell init FOLDER",
            existing.display()
        )));
    }
    let failed = |path: &Path, error: io::Error| {
        CommandError::invalid(format!("error: cannot write {}: {error}\n\nhint: check the path", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let schema_text = templates::schema_text();
    for (path, text) in [(&flow, template.flow), (&records, template.records), (&schema, &schema_text)] {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, error))?;
    }
    let (flow, records, schema, grants) = (flow.display(), records.display(), schema.display(), template.grants);
    Ok(format!("{flow}\n{records}\n{schema}\n\nnext: llmspell run {flow} --input {records}{grants}"))
}
