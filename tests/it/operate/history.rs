//! Looking deliveries up, and what becomes of them in time.

use gogs_relay::clock::Timestamp;
use gogs_relay::delivery::{Reason, State};
use gogs_relay::event::EventId;
use gogs_relay::queue::{Delivery, Filter, Settlement};

use super::desk::{Desk, HOUR, NOON, strict};

fn id(it: &Delivery) -> String {
    format!("{}:{}", it.event, it.destination.as_deref().unwrap_or(""))
}

#[tokio::test]
async fn a_delivery_is_found_by_all_that_is_known_of_it() {
    let mut desk = Desk::new(&[strict("chat"), strict("ci")]);
    for n in 1..=30 {
        let to: &[&str] = if n % 2 == 0 { &["chat", "ci"] } else { &["ci"] };
        desk.append(to).await;
        desk.hand.advance(HOUR);
    }
    for _ in 0..10 {
        desk.attempt("ci", Settlement::Delivered).await;
    }
    desk.attempt("ci", Settlement::Dead(Reason::ContentRefused))
        .await;
    let events =
        async |filter: Filter| -> Vec<String> { desk.find(filter).await.iter().map(id).collect() };
    let by = Filter::default;
    let chat = Filter {
        destination: Some("chat".into()),
        state: Some(State::Waiting),
        ..by()
    };
    assert_eq!(events(chat.clone()).await.len(), 15);
    let late = Filter {
        since: Some(Timestamp(NOON.0 + 25 * 3_600_000)),
        ..chat
    };
    assert_eq!(events(late).await, ["30:chat", "28:chat", "26:chat"]);
    let dead = Filter {
        state: Some(State::Dead),
        ..by()
    };
    assert_eq!(events(dead).await, ["11:ci"]);
    let issues = Filter {
        event: Some("issues".into()),
        repo: Some("orbit/rover".into()),
        ..by()
    };
    assert_eq!(events(issues).await, ["30:ci", "30:chat", "15:ci"]);
    let text = Filter {
        text: Some("BY USER-9".into()),
        ..by()
    };
    assert_eq!(events(text).await, ["9:ci"]);
    let nobody = Filter {
        destination: Some("nobody".into()),
        ..by()
    };
    assert_eq!(events(nobody).await, [""; 0]);
}

#[tokio::test]
async fn a_list_with_a_limit_goes_on_where_it_stopped_whatever_it_passes_over() {
    let mut desk = Desk::new(&[strict("chat"), strict("ci")]);
    desk.append_many(900, &["ci"]).await;
    desk.append(&["chat"]).await;
    desk.append_many(900, &["ci"]).await;
    desk.append(&["chat"]).await;
    for _ in 0..700 {
        desk.attempt("ci", Settlement::Delivered).await;
    }
    let filter = Filter {
        destination: Some("chat".into()),
        ..Filter::default()
    };
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let found = desk.queue.find(filter.clone(), cursor, 1).await.unwrap();
        seen.extend(found.deliveries.iter().map(|it| it.event));
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [EventId(1802), EventId(901)]);
    assert_eq!(desk.find_state(State::Delivered, "ci").await.len(), 700);
    assert_eq!(desk.find_state(State::Waiting, "ci").await.len(), 1100);
}

#[tokio::test]
async fn dead_letters_are_kept_longer_than_history_and_go_oldest_first() {
    let mut desk = Desk::with(&[strict("chat")], |options| {
        options.history.at_most = 10;
        options.dead.at_most = 20;
    });
    for n in 0..60 {
        desk.append(&["chat"]).await;
        let end = match n % 2 {
            0 => Settlement::Dead(Reason::ContentRefused),
            _ => Settlement::Delivered,
        };
        desk.attempt("chat", end).await;
    }
    while desk.queue.stats().dead > 20 || desk.queue.stats().records > 10 {
        tokio::task::yield_now().await;
    }
    let dead = desk.find_state(State::Dead, "chat").await;
    let expected: Vec<u64> = (21..=60).rev().filter(|n| n % 2 == 1).collect();
    assert_eq!(dead, expected);
    let delivered = desk.find_state(State::Delivered, "chat").await;
    let expected: Vec<u64> = (41..=60).rev().filter(|n| n % 2 == 0).collect();
    assert_eq!(delivered, expected);
    assert!(
        desk.again(dead[19], "chat").await.unwrap(),
        "its event is still there"
    );
    assert_eq!(desk.deliver_all("chat").await, [21]);
}
