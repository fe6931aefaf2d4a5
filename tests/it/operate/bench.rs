//! Figures: how long acknowledging and looking up take while much goes on. Sizes are small enough
//! for every run; `OPERATE=100000` makes them as large as one likes.

use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::delivery::State;
use gogs_relay::queue::{Again, Filter, Rest, Resume};

use super::desk::{DAY, Desk, HOUR, strict};

fn size() -> u64 {
    let asked = std::env::var("OPERATE").ok();
    asked.and_then(|size| size.parse().ok()).unwrap_or(10_000)
}

fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug build"
    } else {
        "release build"
    }
}

/// Appends one after the other until `done`; the longest that any took.
async fn longest_append(desk: &mut Desk, done: impl AsyncFn(&Desk) -> bool) -> Duration {
    let watch = Clock::system();
    let mut longest = Duration::ZERO;
    loop {
        for _ in 0..10 {
            let begun = watch.elapsed();
            desk.append(&["other"]).await;
            longest = longest.max(watch.elapsed() - begun);
        }
        if done(desk).await {
            return longest;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledging_goes_on_while_a_long_lane_is_resumed_and_redelivered() {
    let count = size();
    let mut desk = Desk::new(&[strict("chat"), strict("other")]);
    desk.append_many(count, &["chat"]).await;
    desk.hand.advance(HOUR);
    let watch = Clock::system();

    let begun = watch.elapsed();
    let now = Resume {
        newer_than: Some(desk.clock.now()),
        rest: Some(Rest::Dead),
    };
    assert_eq!(desk.queue.resume_with("chat", now).await.unwrap(), count);
    let decided = watch.elapsed() - begun;
    let pause = longest_append(&mut desk, async |desk| desk.queue.stats().dead == count);
    let pause = pause.await;
    let written = watch.elapsed() - begun;
    assert_eq!(desk.state(count, "chat").await, Some(State::Dead));
    figure!(
        "{count} deliveries left behind in {decided:?}, their records written {written:?} later; \
         the longest acknowledgement meanwhile took {pause:?} ({})",
        build()
    );

    let queue = desk.queue.clone();
    let begun = watch.elapsed();
    let dead = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    let again = tokio::spawn(async move { queue.redeliver_all(dead, Again::default()).await });
    let pause = longest_append(&mut desk, async |desk| desk.queue.stats().dead == 0).await;
    assert_eq!(again.await.unwrap().unwrap().requeued, count);
    let took = watch.elapsed() - begun;
    figure!(
        "{count} dead letters sent again in {took:?}; the longest acknowledgement meanwhile \
         took {pause:?} ({})",
        build()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_answers_at_once_whatever_is_asked() {
    let count = size();
    let mut desk = Desk::in_real_time(&[strict("chat"), strict("other")]);
    desk.append_many(count, &["chat"]).await;
    assert_eq!(desk.deliver_all("chat").await.len() as u64, count);
    let watch = Clock::system();
    let text = |text: &str| Filter {
        text: Some(text.into()),
        ..Filter::default()
    };
    let dead = Filter {
        state: Some(State::Dead),
        ..Filter::default()
    };
    let filters = [
        ("no filter", Filter::default()),
        ("a state that nothing has", dead),
        ("a text that nothing has", text("no such words")),
        ("a text that the oldest has", text("user-1")),
    ];
    for (by, filter) in filters {
        let (mut took, mut answers) = (Vec::new(), 0);
        let mut cursor = None;
        loop {
            let begun = watch.elapsed();
            let found = desk.queue.find(filter.clone(), cursor, 50).await.unwrap();
            took.push(watch.elapsed() - begun);
            answers += found.deliveries.len();
            cursor = found.next;
            if cursor.is_none() || by == "no filter" {
                break;
            }
        }
        figure!(
            "{count} kept, by {by}: {answers} found in {} answers, the first after {:?}, the \
             slowest took {:?} ({})",
            took.len(),
            took[0],
            took.iter().max().unwrap(),
            build()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_by_age_without_anybody_waiting() {
    let count = size();
    let mut desk = Desk::new(&[strict("chat"), strict("other")]);
    desk.append_many(count, &["chat"]).await;
    assert_eq!(desk.deliver_all("chat").await.len() as u64, count);
    let watch = Clock::system();
    let begun = watch.elapsed();
    let usual = longest_append(&mut desk, async |_| watch.elapsed() - begun > HOUR / 1800).await;
    desk.hand.advance(DAY * 8);
    let begun = watch.elapsed();
    let pause = longest_append(&mut desk, async |desk| desk.queue.stats().records == 0).await;
    let took = watch.elapsed() - begun;
    figure!(
        "{count} settled deliveries went by age in {took:?}; the longest acknowledgement \
         meanwhile took {pause:?}, before it {usual:?} ({})",
        build()
    );
}
