//! The configuration: `llmspell.toml` of the project, and that of the user.

use std::ops::Range;
use std::path::{Path, PathBuf};

use llmspell_flow::Source;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::Failure;
use crate::options::settings::{Origin, Setting};

/// What it is called in the folder of a project, and above.
const NAME: &str = "llmspell.toml";

/// No configuration is larger than this.
const LARGEST: u64 = 1 << 20;

/// What files set, the nearest first. With `named`, only that file is read.
pub(crate) fn read(named: Option<&Path>) -> Result<Vec<Setting>, Failure> {
    if let Some(path) = named {
        return settings(path, &Origin::Project(path.display().to_string()));
    }
    let mut all = Vec::new();
    if let Some(path) = project() {
        let found = settings(&path, &Origin::Project(path.display().to_string()))?;
        if let Some(allow) = found.iter().find(|setting| setting.name == "allow") {
            let message = "`allow` cannot stand in the file of a project".to_owned();
            let hint = format!(
                "whoever wrote the project must not grant himself anything: use --allow, LLMSPELL_ALLOW, or {}",
                user().map_or("your own configuration".to_owned(), |path| path.display().to_string())
            );
            return Err(Failure::invalid(allow.diagnose(message).with_hint(hint)));
        }
        all.extend(found);
    }
    if let Some(path) = user().filter(|path| path.is_file()) {
        all.extend(settings(&path, &Origin::User(path.display().to_string()))?);
    }
    Ok(all)
}

/// The nearest file of a project, from here upward.
fn project() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().map(|folder| folder.join(NAME)).find(|path| path.is_file())?;
    // Told as it is found: a short name says more here than a long one.
    Some(found.strip_prefix(&here).map_or(found.clone(), Path::to_owned))
}

/// The file of the user, whether it is there or not.
pub(crate) fn user() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(std::env::home_dir()?.join(".config")))?;
    Some(folder.join("llmspell").join("config.toml"))
}

fn settings(path: &Path, from: &Origin) -> Result<Vec<Setting>, Failure> {
    let failed = |why: String, hint: &str| {
        Failure::invalid(format!("error: cannot read the configuration {}: {why}\n\nhint: {hint}", path.display()))
    };
    let about = path.metadata().map_err(|error| failed(error.to_string(), "check the path of --config"))?;
    if about.len() > LARGEST {
        return Err(failed("it is larger than 1 MiB".to_owned(), "`llmspell help config` shows what belongs in it"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string(), "check what it is"))?;
    let source = Source::new(path.display().to_string(), text.as_str());
    let table = DeTable::parse(&text).map_err(|error| {
        let problem = source.diagnose(error.span(), error.message().trim_end());
        Failure::invalid(problem.with_hint("write it as TOML: keep_going = true"))
    })?;
    let mut all = Vec::new();
    flatten("", table.get_ref(), &mut |key, value, at| {
        let values = values(value).map_err(|why| {
            let message = format!("`{key}` must be a text, a number, true or false, or a list of texts, not {why}");
            Failure::invalid(
                source.diagnose(Some(at.clone()), message).with_hint("`llmspell help config` has examples"),
            )
        })?;
        let values = if key == "state" { beside(path, values) } else { values };
        all.push(Setting::of_config(key, values, from.clone(), &source, at));
        Ok(())
    })?;
    Ok(all)
}

/// A folder that a file names is beside that file, wherever one stands.
fn beside(file: &Path, values: Vec<String>) -> Vec<String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    values.into_iter().map(|value| folder.join(value).display().to_string()).collect()
}

/// Hears of a value, with its name and where that stands.
type Found<'a> = dyn FnMut(&str, &DeValue<'_>, Range<usize>) -> Result<(), Failure> + 'a;

/// Goes through all values; tables within tables only have longer names: `journal.keep` is `journal_keep`.
fn flatten(prefix: &str, table: &DeTable<'_>, found: &mut Found<'_>) -> Result<(), Failure> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => flatten(&format!("{name}_"), table, found)?,
            value => found(&name, value, key.span())?,
        }
    }
    Ok(())
}

/// A value as the command line would have it.
fn values(value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    Ok(vec![match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Array(list) => {
            let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(other.type_str()),
            };
            return list.iter().map(one).collect();
        }
        other => return Err(other.type_str()),
    }])
}
