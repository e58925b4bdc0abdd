//! The writers of a run: the output, and optionally another one for failed records.

use super::writer::{WriteEnd, Writer};
use super::{OnError, Output, OutputStats};

pub(crate) struct Writers {
    output: Writer,
    errors: Option<Writer>,
    pub(crate) on_error: OnError,
}

impl Writers {
    pub(crate) fn new(output: Output, errors: Option<Output>, on_error: OnError) -> Self {
        Writers { output: Writer::new(output), errors: errors.map(Writer::new), on_error }
    }

    /// Sends a line to its writer. An error means that the writer has ended, and how.
    pub(crate) async fn write(&mut self, line: Vec<u8>, has_failed: bool) -> Result<(), WriteEnd> {
        match &mut self.errors {
            _ if has_failed && self.on_error == OnError::Drop => Ok(()),
            Some(errors) if has_failed => errors.write(line).await,
            _ => self.output.write(line).await,
        }
    }

    /// Waits until one writer has ended, which it does by itself only if it cannot write.
    pub(crate) async fn ended(&mut self) -> WriteEnd {
        let errors = async {
            match &mut self.errors {
                Some(errors) => errors.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = self.output.ended() => ended,
            ended = errors => ended,
        }
    }

    /// Ends both writers. The failed records are first: when the output appears, they are there.
    pub(crate) async fn finish(self, complete: bool) -> (WriteEnd, Option<OutputStats>) {
        let errors = match self.errors {
            None => None,
            Some(errors) => match errors.finish(complete).await {
                WriteEnd::Written(written) => Some(written),
                // An output without its errors is not complete.
                ended => {
                    self.output.finish(false).await;
                    return (ended, None);
                }
            },
        };
        (self.output.finish(complete).await, errors)
    }

    /// Ends the other writer after one has ended by itself.
    pub(crate) async fn after(self, ended: WriteEnd) -> (WriteEnd, Option<OutputStats>) {
        // The writer that has ended must not be polled again.
        if !self.output.has_ended() {
            self.output.finish(false).await;
        }
        let errors = match self.errors.filter(|errors| !errors.has_ended()) {
            Some(errors) => match errors.finish(false).await {
                WriteEnd::Written(written) => Some(written),
                _ => None,
            },
            None => None,
        };
        (ended, errors)
    }
}
