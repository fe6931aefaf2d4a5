//! Deliveries as people see them.

use crate::delivery::State;
use crate::event::EventId;
use crate::queue::aside::{Aside, Fate};
use crate::queue::engine::Shared;
use crate::queue::key::LaneId;
use crate::queue::lane::{Lane, Now};
use crate::queue::page::Entry;
use crate::queue::record::{About, Record};
use crate::queue::{Delivery, Filter};

impl Filter {
    pub(super) fn takes(&self, delivery: &Delivery) -> bool {
        let same =
            |want: &Option<String>, have: &str| want.as_deref().is_none_or(|want| want == have);
        let repo = self.repo.as_deref().is_none_or(|want| {
            let have = delivery.repo.as_deref();
            have.is_some_and(|have| have.eq_ignore_ascii_case(want))
        });
        let text = self.text.as_deref().is_none_or(|text| {
            let summary = delivery.summary.to_lowercase();
            summary.contains(&text.to_lowercase())
        });
        let destination = self.destination.as_ref();
        self.state.is_none_or(|state| state == delivery.state)
            && destination.is_none_or(|want| delivery.destination.as_ref() == Some(want))
            && same(&self.source, &delivery.source)
            && same(&self.event, &delivery.name)
            && repo
            && self.since.is_none_or(|since| delivery.received >= since)
            && text
    }
}

impl Shared {
    /// A delivery that waits in the log, or `None` when it was settled and its record is gone.
    pub(super) fn of_log(
        &mut self,
        event: u64,
        id: LaneId,
        entry: &Entry,
        now: Now,
    ) -> Option<Delivery> {
        let planned = entry.planned(id)?;
        let lane = self.lane(id);
        let out = lane.out.get(&event);
        let record = Record {
            trail: out.map(|out| out.trail.clone()).unwrap_or_default(),
            ..Record::waiting(About::new(entry), planned.route.clone(), 1)
        };
        if !lane.waits_in_log(event) {
            return lane.settled_with_its_range(event, record);
        }
        let is_sending = out.is_some_and(|out| out.leased.is_some());
        let next_try = out.filter(|out| out.leased.is_none() && out.trail.tries > 0);
        let next_try = next_try.map(|out| now.wall_at(out.not_before));
        let (state, why) = lane.waiting_state(is_sending, lane.aside_of(event));
        Some(Delivery {
            state,
            why,
            next_try: next_try.filter(|_| state == State::Waiting),
            ..delivery(event, lane, record)
        })
    }

    /// A delivery that has a record.
    pub(super) fn of_record(
        &mut self,
        event: u64,
        id: LaneId,
        record: Record,
        now: Now,
    ) -> Delivery {
        let lane = self.lane(id);
        let parked = lane.parked.get(&event);
        let is_sending = parked.is_some_and(|parked| parked.leased.is_some())
            || lane.redelivering.contains_key(&event);
        let next_try = parked.map(|parked| now.wall_at(parked.not_before));
        let stopped = parked.filter(|parked| lane.stops(event, parked));
        let aside = stopped.and_then(|_| lane.stopped_at(event));
        let (state, why) = match record.state {
            State::Waiting => lane.waiting_state(is_sending, aside),
            settled => (
                settled,
                record.reason.map(|reason| reason.in_words().into()),
            ),
        };
        Delivery {
            state,
            why,
            next_try: next_try.filter(|_| state == State::Waiting),
            ..delivery(event, lane, record)
        }
    }
}

impl Lane {
    /// A delivery whose range is settled although its own record is not written yet.
    fn settled_with_its_range(&self, event: u64, record: Record) -> Option<Delivery> {
        let aside = self.aside_of(event).filter(|aside| event >= aside.at)?;
        let (state, reason) = aside.fate.settled()?;
        Some(Delivery {
            state,
            reason: Some(reason),
            why: Some(reason.in_words().into()),
            settled: Some(aside.since),
            ..delivery(event, self, record)
        })
    }

    /// How a delivery waits, and why, if that needs words.
    fn waiting_state(&self, is_sending: bool, aside: Option<&Aside>) -> (State, Option<String>) {
        if is_sending {
            return (State::Sending, None);
        }
        if let Some(aside) = aside.filter(|aside| aside.fate != Fate::Resumed) {
            let words = format!(
                "kept back since {}, when the destination was resumed for what is newer",
                aside.since
            );
            return (State::Held, Some(words));
        }
        match &self.held {
            Some(hold) => {
                let (since, words) = (hold.held.since, &hold.held.words);
                let words = format!("the destination is held since {since}: {words}");
                (State::Held, Some(words))
            }
            None => (State::Waiting, None),
        }
    }
}

fn delivery(event: u64, lane: &Lane, record: Record) -> Delivery {
    Delivery {
        event: EventId(event),
        destination: (lane.id != 0).then(|| lane.destination.clone()),
        source: record.about.source,
        name: record.about.name,
        repo: record.about.repo,
        summary: record.about.summary,
        route: record.route,
        state: record.state,
        reason: record.reason,
        why: None,
        round: record.round,
        received: record.about.received,
        settled: record.settled,
        next_try: None,
        attempts: record.trail.attempts,
        answer: record.trail.answer,
        template: record.trail.template,
        fingerprint: record.trail.fingerprint,
        fallback: record.trail.fallback,
    }
}
