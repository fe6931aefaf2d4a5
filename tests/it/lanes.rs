//! When things are sent, when they are not, and what becomes of them: with a clock that only the
//! test moves, against stand-ins that count every violation.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::delivery::{Reason, State};
use gogs_relay::destination::{Kind, Order, Pace, SecretUrl, Window};
use gogs_relay::standin::{Ending, FakeDiscord, FakeGogs, FakeSlack, Received, Script, StandIn};

use crate::world::{Plan, SECRET, World, body, discord, gogs, s, slack, within};

async fn fake_gogs(clock: &Clock) -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, clock.clone()).await.unwrap()
}

async fn fake_slack(clock: &Clock) -> StandIn {
    let service = FakeSlack::default();
    StandIn::start(service, clock.clone()).await.unwrap()
}

async fn fake_discord(clock: &Clock) -> StandIn {
    let service = FakeDiscord::default();
    StandIn::start(service, clock.clone()).await.unwrap()
}

fn times(received: &[Received]) -> Vec<f64> {
    received.iter().map(|it| it.at.as_secs_f64()).collect()
}

fn bodies(received: &[Received]) -> Vec<String> {
    let text = |it: &Received| String::from_utf8(it.body.to_vec()).unwrap();
    received.iter().map(text).collect()
}

fn assert_clean(standin: &StandIn) {
    assert_eq!(standin.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn retries_come_at_exactly_the_times_of_the_policy() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script(vec![Script::status(500); 12]);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        let event = world.push(0..1, &["ci"]).await[0];
        let waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600];
        for (tries, wait) in waits.into_iter().enumerate() {
            standin.wait_for(tries + 1).await;
            world.step_to_next_try("ci", s(f64::from(wait))).await;
        }
        let delivery = world.settled(event, "ci", State::Delivered).await;
        assert_eq!(
            times(&standin.received()),
            [
                0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0, 255.0, 511.0, 1023.0, 1623.0, 2223.0
            ]
        );
        let folded: Vec<_> = delivery.attempts.iter().map(|it| it.count).collect();
        assert_eq!(folded, [12, 1], "equal failures are one entry");
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn jitter_lengthens_a_wait_by_its_share() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script(vec![Script::status(500); 3]);
        let plan = Plan {
            jitter: || 1.0,
            ..Plan::default()
        };
        let world = World::start_as(&time, vec![gogs("ci", &standin)], plan);
        world.push(0..1, &["ci"]).await;
        for wait in [1.2, 2.4, 4.8] {
            world.step_to_next_try("ci", s(wait)).await;
        }
        assert_eq!(times(&standin.wait_for(4).await), [0.0, 1.2, 3.6, 8.4]);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up_after_the_timeout() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script([
            Script::status(200).ending(Ending::Never),
            Script::status(200).after(s(20.0)),
            Script::status(200).after(s(14.0)),
        ]);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        let event = world.push(0..1, &["ci"]).await[0];
        for (count, wait) in [(1, 1.0), (2, 2.0)] {
            standin.wait_for(count).await;
            let deadline = time.0.elapsed() + s(15.0);
            world.hand.someone_sleeps_until(deadline).await;
            world.hand.advance_to(deadline);
            world.step_to_next_try("ci", s(wait)).await;
        }
        standin.wait_for(3).await;
        let answer = time.0.elapsed() + s(14.0);
        world.hand.someone_sleeps_until(answer).await;
        world.hand.advance_to(answer);
        let delivery = world.settled(event, "ci", State::Delivered).await;
        assert_eq!(times(&standin.received()), [0.0, 16.0, 33.0]);
        assert_eq!(delivery.attempts[0].reason, Reason::Timeout);
        assert_eq!(delivery.attempts[0].duration_ms, 15_000);
        assert_eq!(delivery.attempts[1].duration_ms, 14_000);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn retry_after_holds_for_every_destination_with_the_url() {
    for (value, wait) in [
        ("7", 7.0),
        ("1.5", 1.5),
        ("0", 1.0),
        ("Sat, 21 Nov 2026 08:01:00 GMT", 60.0),
    ] {
        within(check_retry_after(value, s(wait))).await;
    }
}

async fn check_retry_after(value: &str, wait: Duration) {
    let time = World::clock();
    let (shared, other) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
    shared.script([Script::status(429).header("retry-after", value)]);
    let destinations = vec![
        gogs("limited", &shared),
        gogs("sibling", &shared),
        gogs("other", &other),
    ];
    let world = World::start(&time, destinations);
    world.push(0..1, &["limited"]).await;
    shared.wait_for(1).await;
    let next = world.clock.now().plus(wait);
    world
        .lane_is("limited", |lane| lane.next_try == Some(next))
        .await;
    // What is appended now must rest as well. A third destination's delivery goes out after that
    // was decided.
    world.push(1..2, &["sibling"]).await;
    world.push(2..3, &["other"]).await;
    other.wait_for(1).await;
    assert_eq!(shared.received().len(), 1, "{value}");
    world.hand.someone_sleeps_until(wait).await;
    world.hand.advance_to(wait);
    world.idle("limited").await;
    world.idle("sibling").await;
    let at = wait.as_secs_f64();
    assert_eq!(times(&shared.received()), [0.0, at, at], "{value}");
    assert_clean(&shared);
    world.finish().await;
}

/// Lets so many more requests through at each of these times, and not one before.
async fn expect_rounds(world: &World, standin: &StandIn, rounds: &[(f64, usize)]) {
    let all: usize = rounds.iter().map(|(_, more)| more).sum();
    let mut count = 0;
    for (at, more) in rounds {
        if *at > 0.0 {
            world.hand.someone_sleeps_until(s(*at)).await;
            assert_eq!(standin.received().len(), count, "before {at} s");
            world.hand.advance_to(s(*at));
        }
        count += more;
        standin.wait_for(count).await;
        world.waiting(all - count).await;
    }
    let want = rounds.iter().flat_map(|(at, more)| vec![*at; *more]);
    assert_eq!(times(&standin.received()), want.collect::<Vec<f64>>());
}

#[tokio::test]
async fn slack_gets_a_message_a_second_after_a_short_burst() {
    within(async {
        let time = World::clock();
        let standin = fake_slack(&time.0).await;
        let world = World::start(&time, vec![slack("team", &standin)]);
        world.push(0..23, &["team"]).await;
        let rounds = [(0.0, 5), (5.0, 5), (10.0, 5), (15.0, 5), (20.0, 3)];
        expect_rounds(&world, &standin, &rounds).await;
        world.idle("team").await;
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn two_spellings_of_a_discord_hook_share_its_windows() {
    within(async {
        let time = World::clock();
        let standin = fake_discord(&time.0).await;
        let mut second = discord("second", &standin);
        if let Kind::Discord(to) = &mut second.kind {
            let url = standin.url().replace("/api/", "/api/v9/");
            to.url = SecretUrl::parse(&url).unwrap();
        }
        let world = World::start(&time, vec![discord("first", &standin), second]);
        world
            .queue
            .hold("first", "until all is there".into())
            .await
            .unwrap();
        world
            .queue
            .hold("second", "until all is there".into())
            .await
            .unwrap();
        world.push(0..25, &["first", "second"]).await;
        world.queue.resume("first").await.unwrap();
        world.queue.resume("second").await.unwrap();
        // Five in two seconds, and the thirty-first waits for the minute to be over.
        let rounds: Vec<(f64, usize)> = [0, 2, 4, 6, 8, 10, 60, 62, 64, 66]
            .map(|at| (f64::from(at), 5))
            .into();
        expect_rounds(&world, &standin, &rounds).await;
        world.idle("first").await;
        world.idle("second").await;
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_block_of_the_whole_address_rests_every_discord_hook_and_nothing_else() {
    let global = serde_json::json!({ "message": "slow down", "retry_after": 900, "global": true });
    let cloudflare = Script::status(429).body("error code: 1015");
    for answer in [Script::json(429, &global), cloudflare] {
        let answer = answer.header("retry-after", "900");
        within(check_block_of_the_address(answer, s(900.0))).await;
    }
}

async fn check_block_of_the_address(answer: Script, wait: Duration) {
    let time = World::clock();
    let (blocked, sibling) = (fake_discord(&time.0).await, fake_discord(&time.0).await);
    let other = fake_gogs(&time.0).await;
    blocked.script([answer]);
    let destinations = vec![
        discord("blocked", &blocked),
        discord("sibling", &sibling),
        gogs("other", &other),
    ];
    let world = World::start(&time, destinations);
    world.push(0..1, &["blocked"]).await;
    blocked.wait_for(1).await;
    let next = world.clock.now().plus(wait);
    world
        .lane_is("blocked", |lane| lane.next_try == Some(next))
        .await;
    // The sibling has another URL, yet rests too; the third destination's delivery goes out after
    // that was decided.
    world.push(1..2, &["sibling"]).await;
    world.push(2..3, &["other"]).await;
    other.wait_for(1).await;
    assert_eq!(sibling.received().len(), 0);
    world.hand.someone_sleeps_until(wait).await;
    world.hand.advance_to(wait);
    world.idle("blocked").await;
    world.idle("sibling").await;
    let at = wait.as_secs_f64();
    assert_eq!(times(&blocked.received()), [0.0, at]);
    assert_eq!(times(&sibling.received()), [at]);
    assert_clean(&blocked);
    assert_clean(&sibling);
    world.finish().await;
}

#[tokio::test]
async fn the_lowest_rate_of_those_that_share_a_url_rules() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let mut slow = gogs("slow", &standin);
        slow.pace = Some(Pace::Windows(vec![Window {
            count: 2,
            per: s(10.0),
        }]));
        let world = World::start(&time, vec![gogs("fast", &standin), slow]);
        world.push(0..6, &["fast"]).await;
        let rounds = [(0.0, 2), (10.0, 2), (20.0, 2)];
        expect_rounds(&world, &standin, &rounds).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_waits_for_its_pace_takes_no_place_from_others() {
    within(async {
        let time = World::clock();
        let (paced, free) = (fake_slack(&time.0).await, fake_gogs(&time.0).await);
        let destinations = vec![slack("paced", &paced), gogs("free", &free)];
        let plan = Plan {
            sends: 1,
            ..Plan::default()
        };
        let world = World::start_as(&time, destinations, plan);
        world.push(0..50, &["paced", "free"]).await;
        world.idle("free").await;
        paced.wait_for(5).await;
        assert_eq!(world.clock.elapsed(), Duration::ZERO);
        assert_eq!(free.received().len(), 50);
        assert_clean(&paced);
        world.finish().await;
    })
    .await;
}

fn only_pushes(request: &Received) -> Option<Script> {
    (request.header("x-gogs-event") != "push").then(|| Script::status(403))
}

#[tokio::test]
async fn a_head_that_never_passes_while_the_next_does_is_buried_as_poison() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(only_pushes);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        let poison = world.append("issues", "{}", &["ci"]).await;
        let pushes = world.push(1..4, &["ci"]).await;
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
            world.step_to_next_try("ci", s(f64::from(wait))).await;
        }
        world.idle("ci").await;
        let delivery = world.settled(poison, "ci", State::Dead).await;
        assert_eq!(delivery.reason, Some(Reason::Poison));
        for event in pushes {
            world.settled(event, "ci", State::Delivered).await;
        }
        let received = standin.received();
        assert_eq!(received.len(), 13, "ten tries of the head, three pushes");
        assert_eq!(bodies(&received[10..]), [body(1), body(2), body(3)]);
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wall_makes_the_lane_wait_and_nothing_dies_or_changes_its_place() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(503)));
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        world.push(0..3, &["ci"]).await;
        // Ten tries of the head, one past it, ten of the head, one past it.
        let mut wait = 1.0_f64;
        for _ in 0..20 {
            world.step_to_next_try("ci", s(wait)).await;
            wait = (wait * 2.0).min(600.0);
        }
        standin.wait_for(23).await;
        standin.rule(|_| None);
        world.step_to_next_try("ci", s(600.0)).await;
        world.idle("ci").await;
        assert_eq!(world.lane("ci").dead, 0);
        let tried: Vec<u32> = bodies(&standin.received())
            .iter()
            .map(|text| (0..3).find(|number| *text == body(*number)).unwrap())
            .collect();
        let mut want = vec![0; 10];
        want.push(1);
        want.extend([0; 10]);
        want.push(1);
        want.extend([0, 0, 1, 2]);
        assert_eq!(tried, want);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn time_outs_never_lead_past_the_head() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(200).ending(Ending::Closes)));
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        world.push(0..2, &["ci"]).await;
        let mut wait = 1.0_f64;
        for _ in 0..12 {
            world.step_to_next_try("ci", s(wait)).await;
            wait = (wait * 2.0).min(600.0);
        }
        let received = standin.wait_for(13).await;
        assert!(bodies(&received).iter().all(|text| *text == body(0)));
        world.finish().await;
    })
    .await;
}

fn impatient(standin: &StandIn) -> gogs_relay::destination::Destination {
    let mut destination = gogs("ci", standin);
    destination.retry.max = s(600.0);
    destination.retry.first = s(600.0);
    destination.retry.give_up_after = s(1500.0);
    destination
}

#[tokio::test]
async fn a_delivery_is_given_up_by_the_time_its_lane_has_failed() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![impatient(&standin)]);
        let old = world.push(0..1, &["ci"]).await[0];
        world.step_to_next_try("ci", s(600.0)).await;
        standin.wait_for(2).await;
        let young = world.push(1..2, &["ci"]).await[0];
        world.step_to_next_try("ci", s(600.0)).await;
        world.step_to_next_try("ci", s(600.0)).await;
        // At 1800 s the first one dies; the second, of 600 s, is then tried and fails.
        let dead = world.settled(old, "ci", State::Dead).await;
        assert_eq!(dead.reason, Some(Reason::GaveUp));
        world.step_to_next_try("ci", s(600.0)).await;
        // At 2400 s it is 1800 s old, and dies in its turn.
        let dead = world.settled(young, "ci", State::Dead).await;
        assert_eq!(dead.reason, Some(Reason::GaveUp));
        assert_eq!(
            times(&standin.received()),
            [0.0, 600.0, 1200.0, 1800.0, 1800.0, 2400.0]
        );
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn holds_and_downtime_do_not_age_a_delivery_and_nothing_dies_untried() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![impatient(&standin)]);
        let event = world.push(0..1, &["ci"]).await[0];
        let next = world.clock.now().plus(s(600.0));
        world
            .lane_is("ci", |lane| lane.next_try == Some(next))
            .await;
        world.queue.hold("ci", "a pause".into()).await.unwrap();
        world.hand.advance(s(7200.0));
        world.queue.resume("ci").await.unwrap();
        standin.wait_for(2).await;
        let next = world.clock.now().plus(s(600.0));
        world
            .lane_is("ci", |lane| lane.next_try == Some(next))
            .await;
        let destinations = vec![impatient(&standin)];
        let world = world.restart(s(86_400.0), destinations).await;
        standin.wait_for(3).await;
        world.lane_is("ci", |lane| lane.next_try.is_some()).await;
        world.settled(event, "ci", State::Waiting).await;
        standin.rule(|_| None);
        world.step_to_next_try("ci", s(600.0)).await;
        world.settled(event, "ci", State::Delivered).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_gone_endpoint_holds_the_lane_until_a_person_resumes_it() {
    within(async {
        let time = World::clock();
        let standin = fake_slack(&time.0).await;
        standin.script([Script::status(404).body("no_service")]);
        let world = World::start(&time, vec![slack("team", &standin)]);
        world.push(0..2, &["team"]).await;
        world.held("team", Reason::EndpointGone).await;
        let held = world.lane("team").held.unwrap();
        assert!(!held.manual);
        assert!(held.words.contains("no_service"), "{}", held.words);
        world.queue.resume("team").await.unwrap();
        world.idle("team").await;
        assert_eq!(standin.received().len(), 3);
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_redirect_holds_the_lane_until_a_probe_passes() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let moved = Script::status(302).header("location", "http://127.0.0.1:1/");
        standin.script([moved, Script::status(500)]);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        world.push(0..3, &["ci"]).await;
        world.held("ci", Reason::Redirect).await;
        for count in [2, 3] {
            let probe = world.clock.elapsed() + s(3600.0);
            world.hand.someone_sleeps_until(probe).await;
            let held = world.lane("ci").held.unwrap();
            assert_eq!(held.reason, Reason::Redirect);
            world.hand.advance_to(probe);
            standin.wait_for(count).await;
        }
        world.idle("ci").await;
        assert!(world.lane("ci").held.is_none(), "the second probe passed");
        assert_eq!(
            times(&standin.received()),
            [0.0, 3600.0, 7200.0, 7200.0, 7200.0]
        );
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wait_longer_than_an_hour_is_a_hold_that_is_probed_when_it_is_over() {
    within(async {
        let time = World::clock();
        let standin = fake_slack(&time.0).await;
        standin.script([Script::status(429).header("retry-after", "7200")]);
        let world = World::start(&time, vec![slack("team", &standin)]);
        world.push(0..1, &["team"]).await;
        world.held("team", Reason::LongWait).await;
        // For an hour the URL rests anyway; then the lane waits for its probe.
        for due in [3600.0, 7200.0] {
            world.hand.someone_sleeps_until(s(due)).await;
            world.hand.advance_to(s(due));
        }
        world.idle("team").await;
        assert_eq!(times(&standin.received()), [0.0, 7200.0]);
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn changed_settings_end_an_automatic_hold_but_no_manual_one() {
    within(async {
        let time = World::clock();
        let (gone, fine) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        gone.script(vec![Script::status(410); 2]);
        let world = World::start(&time, vec![gogs("ci", &gone), gogs("stopped", &fine)]);
        world.queue.hold("stopped", "by hand".into()).await.unwrap();
        world.push(0..1, &["ci", "stopped"]).await;
        world.held("ci", Reason::EndpointGone).await;

        let same = vec![gogs("ci", &gone), gogs("stopped", &fine)];
        let world = world.restart(s(1.0), same).await;
        world.held("ci", Reason::EndpointGone).await;

        let mut stopped = gogs("stopped", &fine);
        stopped.timeout = s(20.0);
        let corrected = vec![gogs("ci", &fine), stopped];
        let world = world.restart(s(1.0), corrected).await;
        world.idle("ci").await;
        assert_eq!(fine.received().len(), 1);
        assert!(world.lane("stopped").held.unwrap().manual);
        assert_eq!(gone.received().len(), 1, "a held lane sends nothing");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn corrected_settings_are_taken_at_the_next_attempt() {
    within(async {
        let time = World::clock();
        let (wrong, right) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        wrong.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![gogs("ci", &wrong)]);
        world.push(0..1, &["ci"]).await;
        let next = world.clock.now().plus(s(1.0));
        world
            .lane_is("ci", |lane| lane.next_try == Some(next))
            .await;
        world.correct(vec![gogs("ci", &right)]).await;
        right.wait_for(1).await;
        world.idle("ci").await;
        assert_eq!(wrong.received().len(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_loose_lane_goes_on_past_what_fails_and_tries_it_again_on_its_own() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|request| (request.body == body(1)).then(|| Script::status(500)));
        let mut loose = gogs("ci", &standin);
        loose.order = Order::Loose { concurrency: 4 };
        let world = World::start(&time, vec![loose]);
        let events = world.push(0..20, &["ci"]).await;
        for (number, event) in events.iter().enumerate() {
            if number != 1 {
                world.settled(*event, "ci", State::Delivered).await;
            }
        }
        standin.wait_for(20).await;
        world.hand.someone_sleeps_until(s(1.0)).await;
        standin.rule(|_| None);
        world.hand.advance_to(s(1.0));
        world.settled(events[1], "ci", State::Delivered).await;
        assert_eq!(standin.received().len(), 21);
        assert_eq!(standin.received()[20].at, s(1.0));
        assert_clean(&standin);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn one_destination_that_never_answers_slows_no_other() {
    within(async {
        let time = World::clock();
        let (stuck, fine) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        stuck.rule(|_| Some(Script::status(200).ending(Ending::Never)));
        let destinations = vec![gogs("stuck", &stuck), gogs("fine", &fine)];
        let plan = Plan {
            sends: 2,
            ..Plan::default()
        };
        let world = World::start_as(&time, destinations, plan);
        world.push(0..200, &["stuck", "fine"]).await;
        world.idle("fine").await;
        let received = fine.received();
        let want: Vec<String> = (0..200).map(body).collect();
        assert_eq!(bodies(&received), want, "in order, without time passing");
        assert!(received.iter().all(|it| it.at == Duration::ZERO));
        assert_eq!(world.lane("stuck").waiting, 200);
        world.hand.advance(s(15.0));
        world.lane_is("stuck", |lane| lane.next_try.is_some()).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_logged_when_its_reason_changes_and_names_nothing_secret() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Log(writer.clone()))
        .finish();
    // For all threads, because what is of interest is remembered for all of them; the lane's name
    // tells this test's lines from those of others.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let mut answers = vec![Script::status(500).body(body(0)); 3];
        answers.push(Script::status(200).ending(Ending::Closes));
        standin.script(answers);
        let world = World::start(&time, vec![gogs("logged", &standin)]);
        world.push(0..1, &["logged"]).await;
        for wait in [1.0, 2.0, 4.0, 8.0] {
            world.step_to_next_try("logged", s(wait)).await;
        }
        world.idle("logged").await;
        world.finish().await;
    })
    .await;
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let of_lane = |line: &&str| line.contains("logged failed ");
    let failures: Vec<&str> = text.lines().filter(of_lane).collect();
    assert_eq!(failures.len(), 2, "{text}");
    assert!(failures[0].contains("1:logged failed (the receiver answered 500); next try in 1 s"));
    assert_eq!(text.matches("logged takes deliveries again").count(), 1);
    for secret in ["/hook", SECRET, "refs/heads"] {
        assert!(!text.contains(secret), "{text}");
    }
}

struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn at_shutdown_what_is_under_way_may_end_and_nothing_new_begins() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script([Script::status(200).after(s(5.0))]);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        let events = world.push(0..2, &["ci"]).await;
        standin.wait_for(1).await;
        world.begin_stop();
        world.hand.someone_sleeps_until(s(5.0)).await;
        world.hand.someone_sleeps_until(s(10.0)).await;
        world.hand.advance_to(s(5.0));
        world.stop_lanes().await;
        assert_eq!(standin.received().len(), 1);
        let first = world.settled(events[0], "ci", State::Delivered).await;
        assert_eq!(first.attempts.len(), 1);
        let world = world.restart(s(1.0), vec![gogs("ci", &standin)]).await;
        world.settled(events[1], "ci", State::Delivered).await;
        assert_eq!(bodies(&standin.received()), [body(0), body(1)]);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn after_the_grace_what_is_under_way_is_dropped_and_comes_again() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.script([Script::status(200).ending(Ending::Never)]);
        let world = World::start(&time, vec![gogs("ci", &standin)]);
        let event = world.push(0..1, &["ci"]).await[0];
        standin.wait_for(1).await;
        world.begin_stop();
        world.hand.someone_sleeps_until(s(10.0)).await;
        world.hand.advance_to(s(10.0));
        let world = world.restart(s(1.0), vec![gogs("ci", &standin)]).await;
        let delivery = world.settled(event, "ci", State::Delivered).await;
        assert_eq!(delivery.attempts.len(), 1, "the dropped one left no trace");
        assert_eq!(standin.received().len(), 2);
        world.finish().await;
    })
    .await;
}
