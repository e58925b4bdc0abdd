//! Tests that wait for something, and fail if it never comes.

use std::time::Duration;

use crate::probe::ms;

/// What the work comes to, which it must within an hour of its clock: on a paused one, nobody who waits for ever
/// holds up the tests.
pub async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work).await.expect("somebody waits for ever")
}

/// Waits until something holds that other threads bring about.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !holds().await {
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), comes).await.expect("it never came about");
}
