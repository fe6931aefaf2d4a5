//! What a reload means for lanes: with a clock that only the test moves, against stand-ins.

use gogs_relay::clock::Clock;
use gogs_relay::delivery::State;
use gogs_relay::destination::{Order, Pace, Window};
use gogs_relay::queue::{LaneStatus, Range};
use gogs_relay::standin::{FakeGogs, Script, StandIn};

use crate::world::{SECRET, World, body, gogs, s, within};

async fn fake_gogs(clock: &Clock) -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, clock.clone()).await.unwrap()
}

fn bodies(standin: &StandIn) -> Vec<String> {
    let received = standin.received().into_iter();
    let text = |it: gogs_relay::standin::Received| String::from_utf8(it.body.to_vec()).unwrap();
    received.map(text).collect()
}

fn is_held(lane: &LaneStatus) -> bool {
    lane.held.is_some()
}

fn is_failing(lane: &LaneStatus) -> bool {
    lane.failing_since.is_some() && lane.next_try.is_some()
}

#[tokio::test]
async fn a_corrected_url_ends_a_hold_of_the_relays_own_and_what_waits_goes_out_in_order() {
    within(async {
        let time = World::clock();
        let (wrong, right) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        wrong.rule(|_| Some(Script::status(410)));
        let world = World::start(&time, vec![gogs("ci", &wrong)]);
        world.push(0..3, &["ci"]).await;
        world.lane_is("ci", is_held).await;
        world.correct(vec![gogs("ci", &right)]).await;
        world.idle("ci").await;
        assert_eq!(bodies(&right), [body(0), body(1), body(2)]);
        let lane = world.lane("ci");
        assert!(lane.held.is_none() && lane.failing_since.is_none());
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_hold_by_hand_outlasts_every_change_of_settings() {
    within(async {
        let time = World::clock();
        let (before, after) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        let world = World::start(&time, vec![gogs("ci", &before)]);
        world.queue.hold("ci", "moving house".into()).await.unwrap();
        world.push(0..1, &["ci"]).await;
        world.correct(vec![gogs("ci", &after)]).await;
        let held = world.lane("ci").held.unwrap();
        assert!(held.manual && held.words == "moving house", "{held:?}");
        world.queue.resume("ci").await.unwrap();
        world.idle("ci").await;
        assert_eq!((before.received().len(), after.received().len()), (0, 1));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_change_that_the_service_does_not_see_ends_no_hold() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(410)));
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        world.push(0..1, &["ci"]).await;
        world.lane_is("ci", is_held).await;
        let mut patient = gogs("ci", &standin);
        patient.timeout = s(60.0);
        world.correct(vec![patient]).await;
        assert!(is_held(&world.lane("ci")));
        assert_eq!(standin.received().len(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_failed_under_old_settings_is_tried_at_once_and_no_longer_counts_as_failing() {
    within(async {
        for order in [Order::Strict, Order::Loose { concurrency: 2 }] {
            let time = World::clock();
            let (wrong, right) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
            wrong.rule(|_| Some(Script::status(500)));
            right.rule(|_| Some(Script::status(500)));
            let at = |standin: &StandIn| {
                let mut destination = gogs("ci", standin);
                destination.order = order;
                destination
            };
            let world = World::start(&time, vec![at(&wrong)]);
            world.push(0..1, &["ci"]).await;
            world.lane_is("ci", is_failing).await;
            world.hand.advance(s(0.5));
            world.correct(vec![at(&right)]).await;
            right.wait_for(1).await;
            assert_eq!(right.received()[0].at, s(0.5), "at once");
            let now = world.clock.now();
            let since_now = |lane: &LaneStatus| lane.failing_since == Some(now);
            world.lane_is("ci", since_now).await;
            assert_eq!(wrong.received().len(), 1);
            world.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_attempt_under_way_ends_with_the_old_settings_and_its_failure_says_nothing_of_the_new() {
    within(async {
        for status in [410, 500, 401] {
            let time = World::clock();
            let (old, new) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
            old.script([Script::status(status).after(s(5.0))]);
            let world = World::start(&time, vec![gogs("ci", &old)]);
            world.push(0..2, &["ci"]).await;
            old.wait_for(1).await;
            world.hand.someone_sleeps_until(s(5.0)).await;
            world.correct(vec![gogs("ci", &new)]).await;
            assert_eq!(new.received().len(), 0, "one at a time, in order");
            world.hand.advance(s(5.0));
            world.idle("ci").await;
            assert_eq!(bodies(&new), [body(0), body(1)], "without a backoff");
            assert_eq!(new.received()[1].at, s(5.0));
            assert_eq!(old.received().len(), 1);
            world.finish().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_attempt_under_way_that_passes_with_the_old_settings_is_delivered() {
    within(async {
        let time = World::clock();
        let (old, new) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        old.script([Script::status(200).after(s(5.0))]);
        let world = World::start(&time, vec![gogs("ci", &old)]);
        let events = world.push(0..2, &["ci"]).await;
        world.hand.someone_sleeps_until(s(5.0)).await;
        world.correct(vec![gogs("ci", &new)]).await;
        world.hand.advance(s(5.0));
        world.settled(events[1], "ci", State::Delivered).await;
        assert_eq!((bodies(&old), bodies(&new)), (vec![body(0)], vec![body(1)]));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_destination_that_is_gone_leaves_a_lane_that_keeps_what_waits_until_it_comes_back() {
    within(async {
        let time = World::clock();
        let (away, ci) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        let world = World::start(&time, vec![gogs("away", &away), gogs("ci", &ci)]);
        world.queue.hold("away", "full".into()).await.unwrap();
        world.push(0..2, &["away", "ci"]).await;
        let configured = world.correct(vec![gogs("ci", &ci)]).await;
        let orphan = &configured.orphaned[0];
        assert_eq!((&*orphan.destination, orphan.waiting), ("away", 2));
        world.queue.resume("away").await.unwrap();
        world.push(2..3, &["ci"]).await;
        ci.wait_for(3).await;
        let lane = world.lane("away");
        assert!(lane.orphaned && lane.waiting == 2, "{lane:?}");
        assert_eq!(away.received().len(), 0);

        world
            .correct(vec![gogs("away", &away), gogs("ci", &ci)])
            .await;
        world.idle("away").await;
        assert_eq!(bodies(&away), [body(0), body(1)]);
        assert!(!world.lane("away").orphaned);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_orphaned_lane_can_be_emptied_and_is_then_no_longer_listed() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![gogs("old", &standin), gogs("ci", &standin)]);
        world.queue.hold("old", "full".into()).await.unwrap();
        world.push(0..2, &["old"]).await;
        world.correct(vec![gogs("ci", &standin)]).await;
        let gone = world.queue.discard("old", Range::All, Some(2)).await;
        assert_eq!(gone.unwrap(), 2);
        let names: Vec<_> = world
            .queue
            .lanes()
            .into_iter()
            .map(|it| it.destination)
            .collect();
        assert_eq!(names, ["ci".into()]);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_renamed_destination_goes_on_where_the_old_one_was_with_what_is_under_way() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script([Script::status(500).after(s(5.0))]);
        let world = World::start(&time, vec![gogs("old", &standin)]);
        let events = world.push(0..2, &["old"]).await;
        world.hand.someone_sleeps_until(s(5.0)).await;
        let mut renamed = gogs("new", &standin);
        renamed.was = Some("old".into());
        let configured = world.correct(vec![renamed]).await;
        assert_eq!(configured.taken_over, [("old".into(), "new".into())]);
        assert_eq!(configured.orphaned, []);
        world.push(2..3, &["new"]).await;
        world.hand.advance(s(5.0));
        world.step_to_next_try("new", s(1.0)).await;
        world.idle("new").await;
        assert_eq!(bodies(&standin), [body(0), body(0), body(1), body(2)]);
        let first = world.settled(events[0], "new", State::Delivered).await;
        assert_eq!(first.attempts.len(), 2, "the one under way counts");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_was_left_behind_is_taken_over_although_the_new_name_has_its_own_by_now() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![gogs("old", &standin)]);
        world.queue.hold("old", "full".into()).await.unwrap();
        let events = world.push(0..2, &["old"]).await;
        // Renamed without a word: the new name begins a lane, the old one keeps what waits.
        world.correct(vec![gogs("new", &standin)]).await;
        world.push(2..3, &["new"]).await;
        world.idle("new").await;
        world.queue.resume("old").await.unwrap();
        assert_eq!(world.lane("old").waiting, 2);

        let mut heir = gogs("new", &standin);
        heir.was = Some("old".into());
        let configured = world.correct(vec![heir.clone()]).await;
        assert_eq!(configured.taken_over, [("old".into(), "new".into())]);
        world.settled(events[1], "old", State::Delivered).await;
        assert_eq!(bodies(&standin), [body(2), body(0), body(1)]);
        let names: Vec<_> = world
            .queue
            .lanes()
            .into_iter()
            .map(|it| it.destination)
            .collect();
        assert_eq!(names, ["new".into()], "what is empty is not listed");
        assert_eq!(world.correct(vec![heir]).await.taken_over, []);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_left_behind_is_taken_over_at_a_start_as_well() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![gogs("old", &standin)]);
        world.queue.hold("old", "full".into()).await.unwrap();
        let event = world.push(0..1, &["old"]).await[0];
        world.correct(vec![gogs("new", &standin)]).await;
        world.queue.resume("old").await.unwrap();
        let mut heir = gogs("new", &standin);
        heir.was = Some("old".into());
        let world = world.restart(s(60.0), vec![heir]).await;
        world.settled(event, "old", State::Delivered).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_plan_made_before_a_lane_was_renamed_or_lost_its_destination_still_finds_it() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![gogs("old", &standin), gogs("gone", &standin)]);
        let mut renamed = gogs("new", &standin);
        renamed.was = Some("old".into());
        world.correct(vec![renamed]).await;
        // As a request does that was being appended at that moment.
        let event = world.push(0..1, &["old", "gone"]).await[0];
        world.settled(event, "new", State::Delivered).await;
        assert_eq!(world.lane("gone").waiting, 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn time_without_a_destination_is_not_held_against_what_waits() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let here = || vec![gogs("ci", &standin), gogs("away", &standin)];
        let world = World::start(&time, here());
        let event = world.push(0..1, &["away"]).await[0];
        world.lane_is("away", is_failing).await;
        // It gives up after three days of failing: four days pass while it is gone, in part of
        // which the relay is off.
        world.correct(vec![gogs("ci", &standin)]).await;
        world.hand.advance(s(2.0 * 86_400.0));
        let world = world.restart(s(86_400.0), vec![gogs("ci", &standin)]).await;
        world.hand.advance(s(86_400.0));
        world.correct(here()).await;
        standin.wait_for(2).await;
        let delivery = world.settled(event, "away", State::Waiting).await;
        assert_eq!(delivery.attempts[0].count, 2);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_rate_counts_at_once() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let every = |seconds| {
            let mut destination = gogs("ci", &standin);
            let per = s(seconds);
            destination.pace = Some(Pace::Windows(vec![Window { count: 1, per }]));
            destination
        };
        let world = World::start(&time, vec![every(60.0)]);
        world.push(0..3, &["ci"]).await;
        standin.wait_for(1).await;
        world.hand.someone_sleeps_until(s(60.0)).await;
        world.correct(vec![every(10.0)]).await;
        world.hand.someone_sleeps_until(s(10.0)).await;
        world.hand.advance(s(10.0));
        standin.wait_for(2).await;
        world.correct(vec![gogs("ci", &standin)]).await;
        world.idle("ci").await;
        let at: Vec<f64> = standin
            .received()
            .iter()
            .map(|it| it.at.as_secs_f64())
            .collect();
        assert_eq!(at, [0.0, 10.0, 10.0]);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_becomes_loose_sends_at_once_what_it_may() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(200).after(s(5.0))));
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        world.push(0..4, &["ci"]).await;
        standin.wait_for(1).await;
        let mut loose = gogs("ci", &standin);
        loose.order = Order::Loose { concurrency: 4 };
        world.correct(vec![loose]).await;
        standin.wait_for(4).await;
        world.hand.someone_sleeps_until(s(5.0)).await;
        world.hand.advance(s(5.0));
        world.idle("ci").await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn two_thousand_reloads_leave_nothing_behind() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![gogs("ci-0", &standin)]);
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let before = tasks();
        for number in 1..=2000 {
            let mut destination = gogs(&format!("ci-{number}"), &standin);
            // Every other time the lane is taken over, else it is left behind.
            if number % 2 == 0 {
                destination.was = Some(format!("ci-{}", number - 1).into());
            }
            world.queue.forget_former_names();
            world.correct(vec![destination]).await;
        }
        world.push(0..1, &["ci-2000"]).await;
        world.idle("ci-2000").await;
        let names: Vec<_> = world
            .queue
            .lanes()
            .into_iter()
            .map(|it| it.destination)
            .collect();
        assert_eq!(names, ["ci-2000".into()]);
        let after = tasks();
        assert!(after <= before + 3, "{before} tasks before, {after} after");
        world.finish().await;
    })
    .await;
}
