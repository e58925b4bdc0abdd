//! Stream: a step over many inputs, at most N at a time; the source waits for the consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::{Context, Step};
use llmspell_test::FakeTool;

use crate::section::Section;

const LIMIT: usize = 3;

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("stream", "at most N at a time, at the pace of the consumer");
    slow_consumer(&mut section).await?;
    early_end(&mut section).await?;
    Ok(section)
}

/// A consumer that is slower than the stream holds the source back.
async fn slow_consumer(section: &mut Section) -> llmspell::Result<()> {
    let fetch = FakeTool::<usize>::new("fetch").delay(Duration::from_millis(100));
    let consumer = FakeTool::<usize>::new("consume").delay(Duration::from_millis(60));

    // A source that counts what is taken from it.
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = pulled.clone();
    let source = (0..8).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });

    let cx = Context::recording();
    let mut pages = fetch.stream(source, &cx).limit(LIMIT);
    let (mut delivered, mut furthest) = (0, 0);
    while let Some(page) = pages.next().await {
        furthest = furthest.max(pulled.load(Ordering::Relaxed) - delivered);
        consumer.run(page.result?, &Context::new()).await?;
        furthest = furthest.max(pulled.load(Ordering::Relaxed) - delivered);
        delivered += 1;
    }
    section.add(format!("8 pages, limit {LIMIT}, slow consumer"), &cx, "pages go on while the consumer is busy");
    section.claim(delivered == 8, format!("every page has one outcome: {delivered} of 8"));
    section.claim(furthest <= LIMIT, format!("the source was never pulled more than {furthest} ahead (limit {LIMIT})"));
    Ok(())
}

/// Enough is enough: what is in flight stops.
async fn early_end(section: &mut Section) -> llmspell::Result<()> {
    let fetch =
        FakeTool::<u64>::new("fetch").delay(Duration::from_millis(50)).jitter(Duration::from_millis(100)).seed(3);

    let cx = Context::recording();
    let mut pages = fetch.stream(1.., &cx).limit(LIMIT).take(4); // the source has no end
    let mut taken = 0;
    while pages.next().await.is_some() {
        taken += 1;
    }
    let left = cx.report().in_progress;

    section.add("take(4) of an endless source", &cx, "the rest is stopped");
    section.claim(taken == 4 && left == 0, format!("{taken} pages taken, {left} calls left running"));
    Ok(())
}
