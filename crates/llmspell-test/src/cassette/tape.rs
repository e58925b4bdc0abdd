//! The file of a cassette: a header line, then one line for each request.

use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::model::{ModelError, ModelErrorClass, ModelEvent};
use llmspell::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::difference;
use super::index::Index;

/// The version of the format. Readers accept this version and earlier ones.
const VERSION: u32 = 1;

const RECORD: &str = "record it with Cassette::record, or LLMSPELL_CASSETTE=record";

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    cassette: u32,
    model: String,
}

/// A request and its recorded reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Interaction {
    /// A short hash for readers of the file. The comparison uses the request itself.
    pub(super) key: String,
    pub(super) request: Value,
    /// Events with their times in milliseconds since the start.
    pub(super) events: Vec<(f64, ModelEvent)>,
    #[serde(rename = "ended_after_ms")]
    pub(super) ended_after: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<RecordedError>,
    /// Whether the consumer dropped the stream before its end.
    #[serde(default, rename = "dropped", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_dropped: bool,
}

/// An error, with all properties that callers base decisions on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecordedError {
    kind: ErrorKind,
    message: String,
    transient: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<f64>,
    /// Set for a [`ModelError`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<ModelErrorClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl RecordedError {
    pub(super) fn of(error: &Error) -> Self {
        let cause = error.downcast_ref::<ModelError>();
        RecordedError {
            kind: error.kind(),
            message: cause.map_or_else(|| error.message().to_owned(), |cause| cause.message.clone()),
            transient: error.is_transient(),
            hint: error.hint().map(str::to_owned),
            retry_after_ms: error.retry_after().map(|wait| wait.as_secs_f64() * 1e3),
            class: cause.map(|cause| cause.class),
            status: cause.and_then(|cause| cause.status),
            request_id: cause.and_then(|cause| cause.request_id.clone()),
        }
    }

    pub(super) fn restored(&self) -> Error {
        let wait = self.retry_after_ms.and_then(|millis| Duration::try_from_secs_f64(millis / 1e3).ok());
        let mut error = match self.class {
            Some(class) => {
                let mut cause = ModelError::new(class, self.message.clone());
                cause.status = self.status;
                cause.retry_after = wait;
                cause.request_id.clone_from(&self.request_id);
                cause.into_error()
            }
            None => Error::new(self.kind, self.message.clone()),
        };
        if let Some(wait) = wait {
            error = error.with_retry_after(wait);
        }
        if let Some(hint) = &self.hint {
            error = error.with_hint(hint.clone());
        }
        if self.transient { error.transient() } else { error.permanent() }
    }
}

/// A cassette during recording.
#[derive(Debug)]
pub(super) struct Writer(Mutex<File>);

impl Writer {
    pub(super) fn create(path: &Path, model: &str) -> Result<Self> {
        let folder = path.parent().map_or(Ok(()), create_dir_all);
        let writer = folder.and_then(|()| File::create(path)).map_err(|error| {
            Error::invalid(format!("cannot write the cassette {}: {error}", path.display()))
                .with_hint("choose a file in a writable folder")
        })?;
        let writer = Writer(Mutex::new(writer));
        writer.line(&Header { cassette: VERSION, model: model.to_owned() })?;
        Ok(writer)
    }

    /// Writes an interaction as a whole, so that concurrent recordings do not mix.
    pub(super) fn write(&self, interaction: &Interaction) -> Result<()> {
        self.line(interaction)
    }

    fn line(&self, content: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(content)?;
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        Ok(())
    }
}

/// A cassette during replay.
#[derive(Debug)]
pub(super) struct Tape {
    /// Without their requests, which are in the index.
    interactions: Vec<Arc<Interaction>>,
    index: Index,
    is_played: Mutex<Vec<bool>>,
}

impl Tape {
    /// Reads a file, and returns the name of the recorded model and the tape.
    pub(super) fn read(path: &Path) -> Result<(String, Self)> {
        let shown = path.display();
        let cannot = |error: std::io::Error| {
            Error::invalid(format!("cannot read the cassette {shown}: {error}")).with_source(error).with_hint(RECORD)
        };
        let mut bytes = std::fs::read(path).map_err(cannot)?;
        // An incomplete last line is from an interrupted recording. It may end within a UTF-8 character.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let whole = String::from_utf8(bytes)
            .map_err(|error| cannot(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        let mut lines = whole.lines().enumerate();
        let header: Option<Header> = lines.next().and_then(|(_, line)| serde_json::from_str(line).ok());
        let Some(header) = header else {
            let error = Error::invalid(format!("{shown} is not a cassette: its first line is not a cassette header"));
            return Err(error.with_hint(RECORD));
        };
        if header.cassette > VERSION {
            let message =
                format!("the cassette {shown} has version {}; {VERSION} is the latest known", header.cassette);
            return Err(Error::invalid(message).with_hint("update llmspell-test, or record the cassette again"));
        }
        let (mut interactions, mut index) = (Vec::new(), Index::default());
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let mut interaction: Interaction = serde_json::from_str(line).map_err(|error| {
                Error::invalid(format!("{shown}:{}: invalid recording: {error}", at + 1)).with_source(error)
            })?;
            index.add(interaction.request.take(), interactions.len());
            interactions.push(Arc::new(interaction));
        }
        let is_played = Mutex::new(vec![false; interactions.len()]);
        Ok((header.model, Tape { interactions, index, is_played }))
    }

    fn is_played(&self) -> MutexGuard<'_, Vec<bool>> {
        self.is_played.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn left(&self) -> usize {
        self.is_played().iter().filter(|is_played| !**is_played).count()
    }

    /// Returns the index of the unchanged requests.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Takes the next recording of this request. Both the request and `index` must be in the same form, changed or not.
    pub(super) fn find(&self, request_json: &Value, index: &Index, path: &Path) -> Result<Arc<Interaction>> {
        let positions = index.positions(request_json);
        {
            let mut is_played = self.is_played();
            if let Some(position) = positions.iter().find(|position| !is_played[**position]) {
                is_played[*position] = true;
                return Ok(self.interactions[*position].clone());
            }
        }
        let times = positions.len();
        let shown = path.display();
        let message = if times > 0 {
            let noun = if times == 1 { "once" } else { "times" };
            let times = if times == 1 { String::new() } else { format!("{times} ") };
            format!("{shown}: this request was recorded {times}{noun}, and was sent once more")
        } else {
            match difference::nearest(request_json, index.requests()) {
                Some((at, differences)) => format!(
                    "{shown}: this request was not recorded; the nearest, in line {}, has {differences}",
                    at + 2
                ),
                None => format!("{shown}: the cassette is empty"),
            }
        };
        Err(Error::invalid(message)
            .with_hint("record it again with LLMSPELL_CASSETTE=record, or with Cassette::record"))
    }
}

/// Returns a short hash of a request: FNV-1a (Fowler, Noll and Vo) of its JSON with sorted keys. It is the same on every
/// machine and in every version of Rust, which `std::hash` does not guarantee.
pub(super) fn key(request: &Value) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in difference::canonical(request).bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
