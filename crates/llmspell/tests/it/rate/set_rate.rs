//! Rates that change while calls wait.

use super::*;

/// Starts ten calls at ten per second, and changes the rate after 250 ms, when three have started.
async fn start_times_with(change: impl AsyncFnOnce(&Rate)) -> Vec<Duration> {
    let rate = Rate::builder().per_second(10).burst(ZERO).build();
    let clock = Clock::start();
    let ticking = clock.clone();
    let step = step(move |_: u32, _| {
        ticking.tick();
        async { Ok(()) }
    })
    .rate(rate.clone());
    let changing = async {
        sleep(ms(250)).await;
        change(&rate).await;
    };
    let calls = step.stream(0..10, &Context::new()).limit(10).collect();
    let (outcomes, ()) = tokio::join!(calls, changing);
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "{outcomes:?}");
    clock.times()
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_start_earlier_at_a_higher_rate() {
    let times = start_times_with(async |rate| assert!(rate.set_rate(1000, Duration::from_secs(1)))).await;
    assert_eq!(times[..3], [0, 100, 200].map(ms));
    assert!(times[3] >= ms(250) && times[9] <= ms(260), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_start_later_at_a_lower_rate() {
    let times = start_times_with(async |rate| assert!(rate.clone().set_rate(1, Duration::from_secs(1)))).await;
    assert_eq!(times[..3], [0, 100, 200].map(ms));
    // Half of the fourth request had flowed in.
    let expected: Vec<Duration> = (0..7).map(|second| ms(750 + 1000 * second)).collect();
    assert_eq!(times[3..], expected);
}

#[tokio::test(start_paused = true)]
async fn the_rate_can_change_any_number_of_times() {
    let times = start_times_with(async |rate| {
        rate.set_rate(1, Duration::from_secs(3600));
        sleep(ms(60_000)).await;
        rate.set_rate(2, Duration::from_secs(1));
    })
    .await;
    // Half had flowed in at first, and a sixtieth in the minute.
    assert_eq!(times[3], ms(60_250 + 242));
    assert_eq!(times[9], ms(60_250 + 3242));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_no_longer_meet_its_deadline_fails_when_it_polls() {
    let rate = Rate::builder().per_second(1).burst(ZERO).build();
    let step = step(|_: u32, _| async { Ok(()) }).rate(rate.clone()).deadline(Duration::from_secs(5));
    let began = Instant::now();
    let slowing = async {
        sleep(ms(500)).await;
        rate.set_rate(1, Duration::from_secs(3600));
    };
    let cx = Context::new();
    let (first, second, ()) = tokio::join!(step.run(0, &cx), step.run(1, &cx), slowing);
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(began.elapsed() <= ms(1000), "at the time at which it would have been admitted");
}

#[tokio::test(start_paused = true)]
async fn a_pause_continues_after_a_change_of_the_rate() {
    let rate = Rate::per_second(10);
    let refusing = step(|refuse: bool, _| async move {
        if refuse { Err(Error::overloaded("429").with_retry_after(Duration::from_secs(10))) } else { Ok(()) }
    })
    .rate(rate.clone());
    let (cx, began) = (Context::new(), Instant::now());
    assert!(refusing.run(true, &cx).await.is_err());
    rate.set_rate(1000, Duration::from_secs(1));
    assert_eq!(rate.paused(), Some(Duration::from_secs(10)));
    refusing.run(false, &cx).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}
