//! The one thread that writes. It takes what waits, makes one commit of it, and answers everyone
//! in that commit when it is on stable storage.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::queue::append::Judged;
use crate::queue::build::Built;
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Request, Shared};
use crate::queue::key::Key;
use crate::queue::pending::{REMOVALS, Taken, WINDOW};
use crate::queue::retention::Retention;
use crate::queue::room::Room;
use crate::queue::store::{Batch, Fault};
use crate::queue::{Appended, QueueError};

/// Settlements wait so long for more of their kind.
const GATHER: Duration = Duration::from_millis(50);
/// So often the writer looks whether something has become old.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// Under load a commit begins at the earliest so long after the last one began.
const BEAT: Duration = Duration::from_millis(1);
/// So many events that waited for one commit are load. One sender after another is not.
const LOAD: usize = 8;
/// Of a window, what lanes and records may take while events wait, in bytes.
const SETTLEMENTS: usize = 60_000;
/// Of a window, what a page may take, in bytes, packed.
pub(super) const PAGE: usize = WINDOW - SETTLEMENTS - 10_000;
/// So many chunks of a larger page go between two syncs.
const CHUNKS: usize = REMOVALS;

/// The writer's own state; nobody else needs it.
pub(super) struct Writer {
    pub(super) engine: Arc<Engine>,
    pub(super) duplicates: Duplicates,
    pub(super) retention: Retention,
    /// Answers that wait for what is pending to be on disk.
    pub(super) answers: VecDeque<Answer>,
    pub(super) beat: Beat,
}

/// The last commit that was begun.
#[derive(Default)]
pub(super) struct Beat {
    /// On [`Clock::elapsed`](crate::clock::Clock::elapsed).
    began: Duration,
    /// So many events waited for it.
    events: usize,
}

/// What is said once a stamp is reached.
pub(super) struct Answer {
    pub(super) stamp: u64,
    pub(super) reply: oneshot::Sender<Result<Appended, QueueError>>,
    pub(super) appended: Appended,
}

impl Writer {
    pub(super) fn run(mut self) {
        while self.wait_for_work() {
            if let Err(fault) = self.work()
                && !self.get_past(&fault)
            {
                break;
            }
        }
        self.engine.store.close_for_good();
        self.engine.closed.send_replace(true);
    }

    /// Waits until there is something to write; false when all is written and the queue closes.
    fn wait_for_work(&self) -> bool {
        let mut shared = self.engine.shared();
        loop {
            let is_due = !shared.appends.is_empty()
                || shared.urgent
                || shared.pending.bytes() >= WINDOW
                || (shared.closing && !shared.pending.is_empty());
            if is_due {
                self.let_more_come(shared);
                return true;
            }
            if shared.closing {
                return false;
            }
            let gathers = !shared.pending.is_empty();
            let patience = if gathers { GATHER } else { IDLE };
            shared.writer_rests = true;
            let waited = self.engine.work.wait_timeout(shared, patience);
            let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
            shared = guard;
            shared.writer_rests = false;
            if gathers || result.timed_out() {
                return true;
            }
        }
    }

    /// Under load commits keep a beat, so that more events share one: what a commit costs beside
    /// its events decides how many events there can be.
    fn let_more_come(&self, shared: MutexGuard<'_, Shared>) {
        let since = self.engine.clock.elapsed().saturating_sub(self.beat.began);
        let is_load = self.beat.events >= LOAD && shared.pending.bytes() < WINDOW;
        if is_load && since < BEAT && !shared.closing {
            // A time-out is what we wait for.
            drop(self.engine.work.wait_timeout(shared, BEAT - since));
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        if self.engine.is_overfull() {
            self.commit(None)?;
        }
        let requests = {
            let mut shared = self.engine.shared();
            shared.urgent = false;
            std::mem::take(&mut shared.appends)
        };
        self.beat = Beat {
            began: self.engine.clock.elapsed(),
            events: requests.len(),
        };
        let built = match self.build(requests) {
            Some(built) if !self.takes(&built) => {
                built.refuse(&QueueError::Unavailable);
                None
            }
            Some(built) => Some(self.write_large(built)?),
            None => None,
        };
        self.commit(built)?;
        if self.engine.shared().closing {
            return Ok(());
        }
        self.retention.step(&self.engine, &mut self.duplicates)
    }

    /// One commit: what is pending, and the page if there is one.
    pub(super) fn commit(&mut self, built: Option<Built>) -> Result<(), Fault> {
        self.give_up_what_is_damaged();
        let budget = if built.is_some() { SETTLEMENTS } else { WINDOW };
        let taken = self.engine.shared().pending.take(budget);
        if built.is_none() && taken.stamp().is_none() {
            self.answer_reached();
            return Ok(());
        }
        let page = built.iter().flat_map(Built::writes);
        if let Err(fault) = self.write(&taken, page) {
            self.engine.shared().pending.give_back(taken);
            if let Some(built) = built {
                built.refuse(&QueueError::Unavailable);
            }
            return Err(fault);
        }
        self.publish(&taken, built);
        Ok(())
    }

    /// The chunks of a page that is too large for one commit go first, in batches; the page is
    /// not there before its head is.
    fn write_large(&mut self, mut built: Built) -> Result<Built, Fault> {
        if built.packed.len() <= PAGE {
            return Ok(built);
        }
        let mut chunks = built.chunks().peekable();
        while chunks.peek().is_some() {
            let taken = self.engine.shared().pending.take(SETTLEMENTS);
            let mut keys = Vec::with_capacity(CHUNKS);
            let some = chunks.by_ref().take(CHUNKS);
            let some = some.inspect(|(key, _)| keys.push(key.clone()));
            if let Err(fault) = self.write(&taken, some) {
                self.engine.shared().pending.give_back(taken);
                drop(chunks);
                built.refuse(&QueueError::Unavailable);
                return Err(fault);
            }
            self.publish(&taken, None);
            self.engine.store.let_go(&keys);
        }
        drop(chunks);
        built.chunks_are_written = true;
        Ok(built)
    }

    /// What is taken must come back whole or not at all, and whatever is written with it. Of a page
    /// alone the beginning may come back: without its head it is not there.
    fn write(
        &self,
        taken: &Taken,
        page: impl Iterator<Item = (Key, Vec<u8>)>,
    ) -> Result<(), Fault> {
        if taken.stamp().is_none() {
            return self.engine.store.commit_in_order(page);
        }
        let mut batch = Batch::new();
        taken.add_to(&mut batch);
        for (key, value) in page {
            batch.put(&key, &value);
        }
        self.engine.store.commit(batch)
    }

    /// A commit is on disk: everybody may know.
    fn publish(&mut self, taken: &Taken, built: Option<Built>) {
        let engine = self.engine.clone();
        if let Some(built) = &built {
            let first = engine.shared().log.first;
            engine.store.bear_witness(first, built.head.range().end);
            // Of a large event nothing stays: its memory is that of the request which brought it.
            engine.cache().put(built.page.clone(), Room::none());
        }
        {
            let mut shared = engine.shared();
            shared.commits += 1;
            shared.pending.forget(taken);
            if let Some(built) = &built {
                show(&engine, &mut shared, built);
            }
        }
        if let Some(stamp) = taken.stamp() {
            engine.written.send_replace(stamp);
        }
        if let Some(built) = built {
            // Nobody but the next commit asks for repeats, so whoever waits need not wait for this.
            let head = built.answer();
            for (sequence, known) in head.range().zip(&head.events) {
                self.duplicates.push(sequence, known.hashes);
            }
        }
        self.answer_reached();
    }

    fn answer_reached(&mut self) {
        let written = *self.engine.written.borrow();
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.stamp <= written) {
            // Nobody there to hear it is no fault.
            answer.reply.send(Ok(answer.appended)).ok();
        }
    }

    /// Judges what waits, and makes a page of what is new.
    fn build(&mut self, requests: VecDeque<Request>) -> Option<Built> {
        let mut new = Vec::new();
        let mut later = VecDeque::new();
        for request in requests {
            match self.judge(&request, &new) {
                Judged::New => new.push(request),
                Judged::Later => later.push_back(request),
                Judged::Answer(answer) => match answer {
                    Ok((stamp, appended)) => self.answers.push_back(Answer {
                        stamp,
                        reply: request.reply,
                        appended,
                    }),
                    // Nobody there to hear it is no fault.
                    Err(error) => drop(request.reply.send(Err(error))),
                },
            }
        }
        let first = self.engine.shared().log.next;
        let (built, rest) = Built::new(first, new);
        later.extend(rest);
        if !later.is_empty() {
            let mut shared = self.engine.shared();
            for request in later.into_iter().rev() {
                shared.appends.push_front(request);
            }
        }
        built
    }
}

/// Lets everybody see a page that is on disk, and has lanes go on that it has something for.
fn show(engine: &Engine, shared: &mut Shared, built: &Built) {
    shared.take_in(&built.head);
    let now = engine.clock.elapsed();
    for (_, lanes) in built.head.ways() {
        for lane in lanes {
            engine.wake_if_free(shared, lane, now);
        }
    }
    engine.record_unrouted(shared, &built.page);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;

    use super::*;
    use crate::clock::Clock;
    use crate::event::{Event, EventId, Facts};
    use crate::queue::key;
    use crate::queue::{
        Keep, LaneSpec, Next, Options, Planned, PlannedDelivery, Redelivery, Repeats, Settlement,
        open,
    };

    const KEEP: Keep = Keep {
        keep: Duration::from_secs(86_400),
        at_most: 1000,
    };
    const REPEATS: Repeats = Repeats {
        redelivery: Redelivery::Failed,
        same_body: None,
    };

    fn open_in(folder: &std::path::Path) -> Arc<Engine> {
        let options = Options {
            data: folder.to_owned(),
            history: KEEP,
            dead: KEEP,
            dedupe: KEEP,
            backlog: 1000,
            free_disk: 0,
        };
        let spec = LaneSpec {
            destination: "ci".into(),
            was: None,
            width: 1,
            loose: false,
            settings: 1,
            longest_wait: Duration::from_secs(60),
        };
        open::open(options, |_| Ok(vec![spec]), Clock::system()).unwrap()
    }

    async fn close(engine: &Engine) {
        engine.begin_to_close();
        let mut closed = engine.closed.subscribe();
        closed.wait_for(|closed| *closed).await.unwrap();
    }

    fn planned(n: u32) -> Planned {
        Planned {
            event: Event {
                source: "gogs".into(),
                name: "push".into(),
                delivery_id: format!("id-{n}").into(),
                received: crate::clock::Timestamp(1_780_000_000_000),
                body: Bytes::from(format!("{{\"n\":{n}}}")),
            },
            facts: Facts::default(),
            deliveries: [PlannedDelivery {
                destination: "ci".into(),
                route: None,
            }]
            .into(),
        }
    }

    #[tokio::test]
    async fn a_failed_sync_refuses_all_in_its_commit_and_the_queue_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_in(folder.path());
        let first = engine.append(planned(1), REPEATS).await.unwrap();
        assert_eq!(first, Appended::New(EventId(1)));
        // The second fails the first attempt to come back.
        engine.store.failing_syncs.store(2, Ordering::SeqCst);
        let refused = engine.append(planned(2), REPEATS).await;
        assert!(
            matches!(refused, Err(QueueError::Unavailable)),
            "{refused:?}"
        );
        let accepted = loop {
            match engine.append(planned(3), REPEATS).await {
                Ok(accepted) => break accepted,
                Err(QueueError::Unavailable) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(engine.store.failing_syncs.load(Ordering::SeqCst), 0);
        let mut handed_out = Vec::new();
        while let Next::Lease(lease) = engine.next("ci", &Room::any()).await.unwrap() {
            handed_out.push(String::from_utf8(lease.event.body.to_vec()).unwrap());
            engine.settle(*lease, Settlement::Delivered, None);
        }
        // What was refused may have reached the disk all the same; what was accepted must have.
        assert_eq!(handed_out.first().unwrap(), "{\"n\":1}");
        assert_eq!(handed_out.last().unwrap(), "{\"n\":3}");
        let Appended::New(id) = accepted else {
            panic!("{accepted:?}");
        };
        assert_eq!(id.0, handed_out.len() as u64);
        close(&engine).await;
    }

    #[tokio::test]
    async fn where_new_events_would_go_is_damaged_and_what_waits_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_in(folder.path());
        for n in 1..=2 {
            let appended = engine.append(planned(n), REPEATS).await.unwrap();
            assert_eq!(appended, Appended::New(EventId(u64::from(n))));
        }
        let heads_to_come = key::head(3)..key::head(u64::MAX);
        engine.store.wounds.suffer(heads_to_come);
        let refused = engine.append(planned(3), REPEATS).await;
        assert!(
            matches!(refused, Err(QueueError::Unavailable)),
            "{refused:?}"
        );
        assert!(engine.shared().faulty);
        for _ in 1..=2 {
            let Next::Lease(lease) = engine.next("ci", &Room::any()).await.unwrap() else {
                panic!("it waits");
            };
            engine.settle(*lease, Settlement::Delivered, None);
        }
        close(&engine).await;
        drop(engine);
        let engine = open_in(folder.path());
        let next = engine.next("ci", &Room::any()).await.unwrap();
        assert!(matches!(next, Next::Nothing), "{next:?}");
    }
}
