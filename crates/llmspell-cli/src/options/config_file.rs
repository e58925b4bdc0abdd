//! Configuration files: `llmspell.toml` of the project, and `config.toml` of the user.

use std::ops::Range;
use std::path::{Path, PathBuf};

use llmspell_flow::Source;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::CommandError;
use crate::options::settings::Setting;

/// The name of a project's configuration, in its folder or one above.
const PROJECT_FILE: &str = "llmspell.toml";

/// The largest configuration that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Returns the settings of all files, the nearest file first. With `named`, only that file is read.
pub(crate) fn read(named: Option<&Path>) -> Result<Vec<Setting>, CommandError> {
    if let Some(path) = named {
        return read_file(path);
    }
    let mut all = Vec::new();
    if let Some(path) = project_file() {
        let settings = read_file(&path)?;
        if let Some(allow) = settings.iter().find(|setting| setting.name == "allow") {
            // The author of a project must not be able to grant permissions on the machine of its user.
            let message = "`allow` is not permitted in the configuration of a project".to_owned();
            let hint = format!(
                "grant permissions with --allow, LLMSPELL_ALLOW, or {}",
                user_file().map_or("your own configuration".to_owned(), |path| path.display().to_string())
            );
            return Err(CommandError::invalid(allow.diagnose(message).with_hint(hint)));
        }
        all.extend(settings);
    }
    if let Some(path) = user_file().filter(|path| path.is_file()) {
        all.extend(read_file(&path)?);
    }
    Ok(all)
}

/// Returns the nearest configuration of a project, from the current folder upward.
fn project_file() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|path| path.is_file())?;
    // A file of the current folder is shown by its short name.
    Some(found.strip_prefix(&here).map_or(found.clone(), Path::to_owned))
}

/// Returns the path of the user's configuration, whether the file exists or not.
fn user_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(std::env::home_dir()?.join(".config")))?;
    Some(folder.join("llmspell").join("config.toml"))
}

fn read_file(path: &Path) -> Result<Vec<Setting>, CommandError> {
    let failed = |why: String, hint: &str| {
        CommandError::invalid(format!("error: cannot read the configuration {}: {why}\n\nhint: {hint}", path.display()))
    };
    let metadata = path.metadata().map_err(|error| failed(error.to_string(), "check the path of --config"))?;
    if metadata.len() > MAX_BYTES {
        return Err(failed("larger than 1 MiB".to_owned(), "see `llmspell help config` for its content"));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(error.to_string(), "check that it is a readable text file"))?;
    let source = Source::new(path.display().to_string(), text.as_str());
    let table = DeTable::parse(&text).map_err(|error| {
        let problem = source.diagnose(error.span(), error.message().trim_end());
        CommandError::invalid(problem.with_hint("write it as TOML: keep_going = true"))
    })?;
    let mut all = Vec::new();
    visit_values("", table.get_ref(), &mut |key, value, span| {
        let values = option_values(value).map_err(|found| {
            let message =
                format!("`{key}`: expected a string, a number, true, false, or a list of strings, found {found}");
            let problem = source.diagnose(Some(span.clone()), message);
            CommandError::invalid(problem.with_hint("see the examples of `llmspell help config`"))
        })?;
        let values = if key == "state" { relative_to(path, values) } else { values };
        all.push(Setting::of_config(key, values, &source, span));
        Ok(())
    })?;
    Ok(all)
}

/// Resolves folders named in a file against the folder of that file.
fn relative_to(file: &Path, values: Vec<String>) -> Vec<String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    values.into_iter().map(|value| folder.join(value).display().to_string()).collect()
}

/// Receives each value with its name and the position of its key.
type Visitor<'a> = dyn FnMut(&str, &DeValue<'_>, Range<usize>) -> Result<(), CommandError> + 'a;

/// Visits all values. A nested table only makes names longer: `journal.keep` is `journal_keep`.
fn visit_values(prefix: &str, table: &DeTable<'_>, visit: &mut Visitor<'_>) -> Result<(), CommandError> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => visit_values(&format!("{name}_"), table, visit)?,
            value => visit(&name, value, key.span())?,
        }
    }
    Ok(())
}

/// Returns a value as words of the command line, or the name of its type if an option cannot have it.
fn option_values(value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    Ok(vec![match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Array(list) => {
            let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                other => Err(other.type_str()),
            };
            return list.iter().map(text).collect();
        }
        other => return Err(other.type_str()),
    }])
}
