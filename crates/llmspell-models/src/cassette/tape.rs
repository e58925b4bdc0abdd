//! The file: a line about the cassette, and then one for each request.

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

/// The version of the format. Readers take what they know, and nothing later.
const VERSION: u32 = 1;

const RECORD: &str = "record it with Cassette::record, or LLMSPELL_CASSETTE=record";

/// The first line.
#[derive(Serialize, Deserialize)]
struct Label {
    cassette: u32,
    model: String,
}

/// One request, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Interaction {
    /// Tells requests apart at a glance; what counts is the request itself.
    pub(super) key: String,
    pub(super) request: Value,
    /// Each with the milliseconds after which it came.
    pub(super) events: Vec<(f64, ModelEvent)>,
    #[serde(rename = "ended_after_ms")]
    pub(super) ended_after: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Recorded>,
    /// Whoever asked went away before the end.
    #[serde(default, rename = "dropped", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_dropped: bool,
}

/// An error, with everything that decisions are made on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    kind: ErrorKind,
    message: String,
    transient: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<f64>,
    /// If it was a [`ModelError`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<ModelErrorClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Recorded {
    pub(super) fn of(error: &Error) -> Self {
        let cause = error.downcast_ref::<ModelError>();
        Recorded {
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

/// A cassette while it is recorded.
#[derive(Debug)]
pub(super) struct Writer(Mutex<File>);

impl Writer {
    pub(super) fn create(path: &Path, model: &str) -> Result<Self> {
        let folder = path.parent().map_or(Ok(()), create_dir_all);
        let writer = folder.and_then(|()| File::create(path)).map_err(|error| {
            Error::invalid(format!("the cassette {} cannot be written: {error}", path.display()))
                .with_hint("name a file in a folder that you may write to")
        })?;
        let writer = Writer(Mutex::new(writer));
        writer.line(&Label { cassette: VERSION, model: model.to_owned() })?;
        Ok(writer)
    }

    /// Writes one interaction, at once, so that recordings that go on side by side do not mix.
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

/// A cassette while it is played.
#[derive(Debug)]
pub(super) struct Tape {
    /// Without their requests, which the index has.
    interactions: Vec<Arc<Interaction>>,
    index: Index,
    is_played: Mutex<Vec<bool>>,
}

impl Tape {
    /// The name of the model, and everything that was recorded.
    pub(super) fn read(path: &Path) -> Result<(String, Self)> {
        let shown = path.display();
        let cannot = |error: std::io::Error| {
            Error::invalid(format!("the cassette {shown} cannot be read: {error}")).with_source(error).with_hint(RECORD)
        };
        let mut bytes = std::fs::read(path).map_err(cannot)?;
        // A line without its end is one that was being written when somebody pulled the plug, perhaps within a letter.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let whole = String::from_utf8(bytes)
            .map_err(|error| cannot(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        let mut lines = whole.lines().enumerate();
        let label: Option<Label> = lines.next().and_then(|(_, line)| serde_json::from_str(line).ok());
        let Some(label) = label else {
            let error = Error::invalid(format!("{shown} is no cassette: its first line does not say so"));
            return Err(error.with_hint(RECORD));
        };
        if label.cassette > VERSION {
            let message = format!("the cassette {shown} has version {}; {VERSION} is the latest known", label.cassette);
            return Err(
                Error::invalid(message).with_hint("use the llmspell-models that recorded it, or record it anew")
            );
        }
        let (mut interactions, mut index) = (Vec::new(), Index::default());
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let mut interaction: Interaction = serde_json::from_str(line).map_err(|error| {
                Error::invalid(format!("{shown}:{}: this line is no recording: {error}", at + 1)).with_source(error)
            })?;
            index.add(interaction.request.take(), interactions.len());
            interactions.push(Arc::new(interaction));
        }
        let is_played = Mutex::new(vec![false; interactions.len()]);
        Ok((label.model, Tape { interactions, index, is_played }))
    }

    fn is_played(&self) -> MutexGuard<'_, Vec<bool>> {
        self.is_played.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn left(&self) -> usize {
        self.is_played().iter().filter(|is_played| !**is_played).count()
    }

    /// The requests as they were asked.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The next recording of this request, by the index that has requests as this one is.
    pub(super) fn find(&self, asked: &Value, index: &Index, path: &Path) -> Result<Arc<Interaction>> {
        let places = index.places(asked);
        {
            let mut is_played = self.is_played();
            if let Some(place) = places.iter().find(|place| !is_played[**place]) {
                is_played[*place] = true;
                return Ok(self.interactions[*place].clone());
            }
        }
        let times = places.len();
        let shown = path.display();
        let message = if times > 0 {
            let noun = if times == 1 { "once" } else { "times" };
            let times = if times == 1 { String::new() } else { format!("{times} ") };
            format!("{shown}: this request was recorded {times}{noun}, and has been asked once more")
        } else {
            match difference::nearest(asked, index.requests()) {
                Some((at, differences)) => format!(
                    "{shown}: this request was not recorded; the nearest, in line {}, has {differences}",
                    at + 2
                ),
                None => format!("{shown}: nothing was recorded"),
            }
        };
        Err(Error::invalid(message)
            .with_hint("record it again with LLMSPELL_CASSETTE=record, or with Cassette::record"))
    }
}

/// A short name for a request: the FNV-1a hash (Fowler, Noll and Vo) of its JSON with sorted keys. It is the same on
/// every machine and in every version of Rust, which `std::hash` does not promise.
pub(super) fn key(request: &Value) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in difference::canonical(request).bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
