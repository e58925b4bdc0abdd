//! The runtimes under which the guarantees hold.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::probe::ms;

/// The longest time of a test on a busy machine. A test that takes longer hangs.
const TEST_TIMEOUT: std::time::Duration = ms(100_000);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flavour {
    /// One thread for everything.
    CurrentThread,
    /// Two workers; the test is a task on one of them, like a handler of a server.
    MultiThread,
}

impl Flavour {
    /// Runs a test to its end, and fails if it hangs, even if it never yields to a timer.
    pub fn run(self, test: impl Future<Output = ()> + Send + 'static) {
        let (ended, end) = sync_channel(1);
        #[expect(clippy::disallowed_methods, reason = "a thread that waits for the test would hang with it")]
        let thread = thread::spawn(move || {
            let mut builder = match self {
                Flavour::CurrentThread => Builder::new_current_thread(),
                Flavour::MultiThread => Builder::new_multi_thread(),
            };
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let result = runtime.block_on(async move {
                match self {
                    Flavour::CurrentThread => {
                        test.await;
                        Ok(())
                    }
                    Flavour::MultiThread => {
                        let mut task = JoinSet::new();
                        task.spawn(test);
                        task.join_next().await.unwrap()
                    }
                }
            });
            runtime.shutdown_timeout(ms(1000));
            // The receiver is gone if the test took too long.
            let _ = ended.send(());
            result.map_err(|error| resume_unwind(error.into_panic())).unwrap();
        });
        assert!(end.recv_timeout(TEST_TIMEOUT) != Err(RecvTimeoutError::Timeout), "the test hangs under {self:?}");
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    }
}

/// Defines two tests for each function: one for each [`Flavour`].
macro_rules! on_both_runtimes {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            use crate::runtime::Flavour;

            #[test]
            fn current_thread() {
                Flavour::CurrentThread.run(super::$test());
            }

            #[test]
            fn multi_thread() {
                Flavour::MultiThread.run(super::$test());
            }
        })+
    };
}
