//! The thread that writes a journal.
//!
//! Group commit: the thread commits all commands that wait, in one transaction. A single result is on disk as fast as
//! the disk allows; under load, the results that arrive meanwhile share the next commit. There is no timer.

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

/// The maximum of commands that wait for the thread; beyond it, the run waits.
const WAITING: usize = 1024;

/// A larger output always waits for its commit, so that the queue stays small.
const LARGE: usize = 1 << 16;

struct QueuedWrite {
    job: WriteCommand,
    /// The channel of the caller that waits for the commit.
    done: Option<oneshot::Sender<()>>,
}

/// The handle that sends commands to the thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JournalWriter(Arc<WriterShared>);

struct WriterShared {
    notes: mpsc::Sender<QueuedWrite>,
    failure: watch::Receiver<Option<Error>>,
}

/// The thread that holds the file.
pub(crate) type WriterThread = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Creates the thread that writes to `db`. It starts when the future is first polled, and ends after the last handle.
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
    /// Writes a result; returns when it is on disk.
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

    /// Writes the outcome of a record; returns when it is on disk if `durable`, otherwise when it is queued.
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

    /// Removes the rows of a record, before anything else is written about it.
    pub(crate) async fn forget(&self, record: u64) -> Result<()> {
        self.send(WriteCommand::Forget(record), None).await
    }

    /// Returns the commands that the run has not answered yet.
    pub(crate) async fn commands(&self) -> Result<Vec<ControlCommand>> {
        let (sender, reply) = oneshot::channel();
        self.send(WriteCommand::Commands(sender), None).await?;
        reply.await.map_err(|_| self.closed_error())
    }

    pub(crate) async fn answer(&self, command: i64, answer: String) -> Result<()> {
        self.send(WriteCommand::Answer(command, answer), None).await
    }

    /// Writes that the run reads no more records for good.
    pub(crate) async fn mark_stopping(&self) -> Result<()> {
        self.send(WriteCommand::Stopping, None).await
    }

    /// Writes how the session ended, and rejects pending commands. Nothing is written after it.
    pub(crate) async fn close(&self, closing: SessionEnd) -> Result<()> {
        self.send_and_wait(WriteCommand::Close(closing)).await
    }

    /// Returns the error because of which the journal cannot be written.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.0.failure.borrow().clone()
    }

    /// Waits until the journal cannot be written any more; never completes if it ends well.
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

/// Writes until the journal is closed, the last handle is dropped, or a write fails. After a failure, all waiting and
/// later callers get the error. When `close` returns, the file is closed.
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
            // Dropping the uncommitted commands drops the channels of their callers.
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

/// The caller may be gone.
fn notify(waiting: oneshot::Sender<()>) {
    let _ = waiting.send(());
}

fn commit(db: &Connection, rows: &mut RowWriter, batch: &mut [QueuedWrite]) -> rusqlite::Result<()> {
    let only_polls = batch.iter().all(|note| matches!(note.job, WriteCommand::Commands(_)));
    if only_polls {
        // Polling needs neither a transaction nor the disk.
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
