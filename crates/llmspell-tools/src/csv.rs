//! `csv`: converts CSV text to rows and rows to CSV text.

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Csv {
    /// CSV text to read. Returns a list of rows: objects keyed by column, or lists if there is no header. Every value
    /// is a string.
    parse: Option<String>,
    /// Rows to write: a list of objects or of lists. Returns CSV text. Null is written as an empty value, lists and
    /// objects as JSON.
    format: Option<Vec<Value>>,
    /// Whether the first line names the columns. The default is true.
    #[serde(default = "yes")]
    header: bool,
    /// The names of the columns. On reading, they replace those in the text; on writing, they select the columns.
    columns: Option<Vec<String>>,
    /// The delimiter between values, such as `;` or a tab. The default is `,`.
    #[serde(default = "comma")]
    delimiter: char,
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

/// The most memory that the rows may take. Each row repeats the names of its columns, which may be long.
const LARGEST: usize = 64 << 20;

/// The approximate memory of a value apart from its text.
const VALUE: usize = 64;

/// Returns the tool.
pub(crate) fn csv() -> DynTool {
    let description = "Reads CSV text into rows, or writes rows as CSV text, quoted where that is needed.";
    let run = |csv: Csv, _: Context| async move {
        match (&csv.parse, &csv.format) {
            (Some(text), None) => csv.rows(text),
            (None, Some(rows)) => csv.text(rows).map(Value::String),
            _ => Err(Error::invalid("give either `parse` or `format`").with_hint("`parse: TEXT` or `format: ROWS`")),
        }
    };
    Tool::new("csv", description, run).erase()
}

impl Csv {
    fn delimiter(&self) -> Result<u8> {
        let delimiter = u8::try_from(self.delimiter).ok().filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte));
        delimiter.ok_or_else(|| {
            let error = Error::invalid(format!("`{}` cannot be the delimiter", self.delimiter.escape_default()));
            error.with_hint("use one ASCII character, such as , or ; or a tab")
        })
    }

    fn rows(&self, text: &str) -> Result<Value> {
        // Spreadsheets begin their files with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let wrong = |error: ::csv::Error| Error::invalid(format!("invalid CSV: {error}")).with_source(error);
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(self.header)
            .delimiter(self.delimiter()?)
            .from_reader(text.as_bytes());
        let names = match &self.columns {
            Some(names) => Some(names.clone()),
            None if self.header => Some(reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect()),
            None => None,
        };
        if let Some(names) = &names {
            distinct(names)?;
        }
        let head: usize = names.iter().flatten().map(String::len).sum();
        let (mut rows, mut taken) = (Vec::new(), 0usize);
        for row in reader.records() {
            let row = row.map_err(wrong)?;
            taken = taken.saturating_add(row.as_slice().len() + row.len() * VALUE + head);
            if taken > LARGEST {
                let error = Error::failed(format!("the rows take more than {} MiB", LARGEST >> 20)).permanent();
                return Err(error.with_hint("read less at once; as the input of a run, a CSV file may have any size"));
            }
            let values = row.iter().map(Value::from);
            rows.push(match &names {
                None => values.collect(),
                Some(names) if names.len() == row.len() => {
                    Value::Object(names.iter().cloned().zip(values).collect::<Map<_, _>>())
                }
                Some(names) => {
                    let line = row.position().map_or(0, ::csv::Position::line);
                    let message = format!("line {line} has {} values for {} columns", row.len(), names.len());
                    return Err(Error::invalid(message));
                }
            });
        }
        Ok(Value::Array(rows))
    }

    fn text(&self, rows: &[Value]) -> Result<String> {
        let mut writer = ::csv::WriterBuilder::new().delimiter(self.delimiter()?).from_writer(Vec::new());
        let failed = |error: ::csv::Error| Error::failed(error.to_string()).with_source(error);
        let names = match &self.columns {
            Some(names) => names.clone(),
            None => columns(rows),
        };
        distinct(&names)?;
        let are_tables = rows.iter().any(Value::is_object);
        if self.header && (are_tables || self.columns.is_some()) {
            writer.write_record(&names).map_err(failed)?;
        }
        for (place, row) in rows.iter().enumerate() {
            let wrong = |what: &str| {
                let error = Error::invalid(format!("row {place} (from 0) {what}"));
                error.with_hint("make all rows objects, or all rows lists of one length")
            };
            match row {
                Value::Object(fields) => {
                    let values = names.iter().map(|name| fields.get(name).map_or_else(String::new, cell));
                    writer.write_record(values).map_err(failed)?;
                }
                Value::Array(_) if are_tables => return Err(wrong("is a list among objects")),
                Value::Array(values) => {
                    writer.write_record(values.iter().map(cell)).map_err(|_| wrong("has another length"))?;
                }
                _ => return Err(wrong("is neither an object nor a list")),
            }
        }
        let bytes = writer.into_inner().map_err(|error| Error::failed(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| Error::failed(error.to_string()).with_source(error))
    }
}

/// Returns the names in the rows, in order of appearance.
fn columns(rows: &[Value]) -> Vec<String> {
    let mut known = std::collections::HashSet::new();
    let names = rows.iter().filter_map(Value::as_object).flat_map(Map::keys);
    names.filter(|name| known.insert(name.as_str())).cloned().collect()
}

fn distinct(names: &[String]) -> Result<()> {
    let mut known = std::collections::HashSet::new();
    let Some(twice) = names.iter().find(|name| !known.insert(name.as_str())) else { return Ok(()) };
    let error = Error::invalid(format!("two columns are called `{twice}`"));
    Err(error.with_hint("name the `columns`, or read lists with `header: false`"))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};

    use super::*;
    use serde_json::json;

    async fn call(arguments: Value) -> Result<Value> {
        csv().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn text_becomes_rows() {
        let text = "\u{feff}name,note\r\nAda,\"a \"\"b\"\"\nc\"\r\nBob,007\n";
        let rows = json!([{ "name": "Ada", "note": "a \"b\"\nc" }, { "name": "Bob", "note": "007" }]);
        assert_eq!(call(json!({ "parse": text })).await.unwrap(), rows);
        let lists = json!([["a", "b"], ["1", ""]]);
        assert_eq!(call(json!({ "parse": "a;b\n1;\n", "delimiter": ";", "header": false })).await.unwrap(), lists);
        let named = json!({ "parse": "a,b\n1,2\n", "columns": ["x", "y"] });
        assert_eq!(call(named).await.unwrap(), json!([{ "x": "1", "y": "2" }]));
        assert_eq!(call(json!({ "parse": "" })).await.unwrap(), json!([]));
    }

    #[tokio::test]
    async fn rows_become_text() {
        let rows = json!([{ "a": "x,y", "b": null }, { "b": [1], "c": true }]);
        assert_eq!(call(json!({ "format": rows })).await.unwrap(), "a,b,c\n\"x,y\",,\n,[1],true\n");
        assert_eq!(
            call(json!({ "format": rows, "columns": ["c", "a"], "header": false })).await.unwrap(),
            ",\"x,y\"\ntrue,\n"
        );
        assert_eq!(call(json!({ "format": [[1, "a\"b"], [2, ""]] })).await.unwrap(), "1,\"a\"\"b\"\n2,\n");
        let text = call(json!({ "format": rows })).await.unwrap();
        let again = call(json!({ "parse": text })).await.unwrap();
        assert_eq!(again[0], json!({ "a": "x,y", "b": "", "c": "" }));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused() {
        for wrong in [
            json!({}),
            json!({ "parse": "", "format": [] }),
            json!({ "parse": "a,b\n1\n" }),
            json!({ "parse": "a,a\n1,2\n" }),
            json!({ "parse": "a,b\n1,2\n", "columns": ["x"] }),
            json!({ "parse": "a", "delimiter": "ä" }),
            json!({ "parse": "a", "delimiter": "\"" }),
            json!({ "format": [1] }),
            json!({ "format": [[1], [1, 2]] }),
            json!({ "format": [{ "a": 1 }, [1]] }),
        ] {
            assert_eq!(call(wrong.clone()).await.unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
        }
        let text = format!("{}\n{}", "x".repeat(1 << 20), "1\n".repeat(300));
        assert!(call(json!({ "parse": text })).await.unwrap_err().message().contains("MiB"));
    }
}
