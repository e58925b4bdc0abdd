//! The one thread that writes a journal.
//!
//! It commits whatever waits, all at once: alone, a result is on the disk in the time that the disk takes; under load,
//! the results that come in meanwhile share the next commit. No timer is involved.

use std::pin::Pin;
use std::sync::Arc;

use llmspell::{Context, Error, Result};
use llmspell_flow::internal::StepKey;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::command::ControlCommand;
use super::fault::fault;
use super::folder::Lock;
use super::rows::RowWriter;
use super::schema;
use super::write_command::{RecordId, RecordResult, SessionEnd, WriteCommand};

/// So many jobs wait for the thread at most; beyond them, the run waits.
const WAITING: usize = 1024;

/// What is larger waits for its commit in any case, so that the queue stays small.
const LARGE: usize = 1 << 16;

struct QueuedWrite {
    job: WriteCommand,
    /// Who waits for the commit.
    done: Option<oneshot::Sender<()>>,
}

/// Where everybody puts what is to be written. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JournalWriter(Arc<WriterShared>);

struct WriterShared {
    notes: mpsc::Sender<QueuedWrite>,
    failure: watch::Receiver<Option<Error>>,
}

/// The thread that holds the file.
pub(crate) type WriterThread = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Makes the thread that writes to `db`; it starts when the future is polled first, and ends after the last pen.
pub(super) fn start_writer(db: Connection, rows: RowWriter, lock: Lock) -> (JournalWriter, WriterThread) {
    let (notes, receiver) = mpsc::channel(WAITING);
    let (failed, failure) = watch::channel(None);
    let thread = async move {
        let work = move |_| {
            run((db, lock), rows, receiver, &failed);
            Ok(())
        };
        Context::new().blocking(work).await
    };
    (JournalWriter(Arc::new(WriterShared { notes, failure })), Box::pin(thread))
}

impl JournalWriter {
    /// Writes a result; returns when it is on the disk.
    pub(crate) async fn write_result(
        &self,
        record: &Arc<RecordId>,
        step: StepKey,
        item: String,
        output: String,
        meta: Option<String>,
    ) -> Result<()> {
        self.send_and_wait(WriteCommand::Result { record: record.clone(), step, item, output, meta }).await
    }

    /// Writes what came of a record; returns when it is on the disk if `durable`, or else when it is in line.
    pub(crate) async fn write_record(
        &self,
        record: &Arc<RecordId>,
        finished: RecordResult,
        durable: bool,
    ) -> Result<()> {
        let is_large = finished.output.as_ref().is_some_and(|output| output.len() > LARGE);
        let job = WriteCommand::Record { record: record.clone(), finished };
        if durable || is_large { self.send_and_wait(job).await } else { self.send(job, None).await }
    }

    /// Forgets what was kept of a record, before anything else is written of it.
    pub(crate) async fn forget(&self, record: u64) -> Result<()> {
        self.send(WriteCommand::Forget(record), None).await
    }

    /// What the run has been asked to do and has not answered yet.
    pub(crate) async fn commands(&self) -> Result<Vec<ControlCommand>> {
        let (sender, only_polls) = oneshot::channel();
        self.send(WriteCommand::Commands(sender), None).await?;
        only_polls.await.map_err(|_| self.closed_error())
    }

    pub(crate) async fn answer(&self, command: i64, answer: String) -> Result<()> {
        self.send(WriteCommand::Answer(command, answer), None).await
    }

    /// Notes that the run takes no more records for good.
    pub(crate) async fn mark_stopping(&self) -> Result<()> {
        self.send(WriteCommand::Stopping, None).await
    }

    /// Notes how the session ended, and answers what it was asked and has not answered. Nothing is written after it.
    pub(crate) async fn close(&self, closing: SessionEnd) -> Result<()> {
        self.send_and_wait(WriteCommand::Close(closing)).await
    }

    /// Why nothing can be written any more.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.0.failure.borrow().clone()
    }

    /// Returns once the journal cannot be written any more; never, if it ends well.
    pub(crate) async fn failed(&self) -> Error {
        let mut failure = self.0.failure.clone();
        if failure.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.closed_error()
    }

    async fn send_and_wait(&self, job: WriteCommand) -> Result<()> {
        let (done, written) = oneshot::channel();
        self.send(job, Some(done)).await?;
        written.await.map_err(|_| self.closed_error())
    }

    async fn send(&self, job: WriteCommand, done: Option<oneshot::Sender<()>>) -> Result<()> {
        self.0.notes.send(QueuedWrite { job, done }).await.map_err(|_| self.closed_error())
    }

    fn closed_error(&self) -> Error {
        self.failure().unwrap_or_else(|| Error::failed("the journal is closed"))
    }
}

/// Writes until it is closed, there is nobody left to write for, or it fails: those who wait then, and all who come
/// after them, get the error. Whoever has closed it finds the file closed.
fn run(
    file: (Connection, Lock),
    mut rows: RowWriter,
    mut notes: mpsc::Receiver<QueuedWrite>,
    failed: &watch::Sender<Option<Error>>,
) {
    let mut batch = Vec::with_capacity(WAITING);
    while notes.blocking_recv_many(&mut batch, WAITING) > 0 {
        let committed = commit(&file.0, &mut rows, &mut batch);
        if let Err(error) = committed {
            drop(file);
            failed.send_replace(Some(fault("writing", rows.path(), error)));
            // What has not been committed is dropped, and with it the channels of those who wait.
            return;
        }
        let is_closed = batch.iter().any(|note| matches!(note.job, WriteCommand::Close(_)));
        let waiting = batch.drain(..).filter_map(|note| note.done);
        if is_closed {
            schema::close(file.0);
            drop(file.1);
            waiting.for_each(notify);
            return;
        }
        waiting.for_each(notify);
    }
}

/// Nobody may be there any more.
fn notify(waiting: oneshot::Sender<()>) {
    let _ = waiting.send(());
}

fn commit(db: &Connection, rows: &mut RowWriter, batch: &mut [QueuedWrite]) -> rusqlite::Result<()> {
    let only_polls = batch.iter().all(|note| matches!(note.job, WriteCommand::Commands(_)));
    if only_polls {
        // Looking does not need a transaction, nor the disk.
        return batch.iter_mut().try_for_each(|note| rows.write(db, &mut note.job));
    }
    db.execute_batch("BEGIN IMMEDIATE")?;
    let written = batch.iter_mut().try_for_each(|note| rows.write(db, &mut note.job));
    let ended = written.and_then(|()| db.execute_batch("COMMIT"));
    if ended.is_err() {
        let _ = db.execute_batch("ROLLBACK");
        rows.forget_steps();
    }
    ended
}
