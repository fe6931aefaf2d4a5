//! The one thread that writes. It takes what waits, makes one commit of it, and answers everyone
//! in that commit when it is on stable storage.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::queue::append::{Built, Judged};
use crate::queue::chunk::{Kind, Of};
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Request, Shared};
use crate::queue::head::Head;
use crate::queue::key;
use crate::queue::pending::{REMOVALS, Taken, WINDOW};
use crate::queue::retention::Retention;
use crate::queue::store::{Batch, Fault};
use crate::queue::{Appended, QueueError};

/// Settlements wait so long for more of their kind.
const GATHER: Duration = Duration::from_millis(50);
/// So often the writer looks whether something has become old.
const IDLE: Duration = Duration::from_secs(1);
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
            if let Err(fault) = self.work() {
                self.recover(&fault);
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
                return true;
            }
            if shared.closing {
                return false;
            }
            let gathers = !shared.pending.is_empty();
            let patience = if gathers { GATHER } else { IDLE };
            let waited = self.engine.work.wait_timeout(shared, patience);
            let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
            shared = guard;
            if gathers || result.timed_out() {
                return true;
            }
        }
    }

    fn work(&mut self) -> Result<(), Fault> {
        let requests = {
            let mut shared = self.engine.shared();
            shared.urgent = false;
            std::mem::take(&mut shared.appends)
        };
        let built = self.build(requests);
        let built = match built {
            Some(built) => Some(self.write_large(built)?),
            None => None,
        };
        self.commit(built)?;
        self.retention.step(&self.engine, &mut self.duplicates)
    }

    /// One commit: what is pending, and the page if there is one.
    fn commit(&mut self, built: Option<Built>) -> Result<(), Fault> {
        let budget = if built.is_some() { SETTLEMENTS } else { WINDOW };
        let taken = self.engine.shared().pending.take(budget);
        let mut batch = Batch::new();
        taken.add_to(&mut batch);
        if let Some(built) = &built {
            built.add_to(&mut batch);
        }
        if batch.is_empty() {
            self.answer_reached();
            return Ok(());
        }
        if let Err(fault) = self.engine.store.commit(batch) {
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
        if built.packed.bytes.len() <= PAGE {
            return Ok(built);
        }
        let chunks: Vec<(u32, Vec<u8>)> = built.packed.split(built.of()).collect();
        for some in chunks.chunks(CHUNKS) {
            let taken = self.engine.shared().pending.take(SETTLEMENTS);
            let mut batch = Batch::new();
            taken.add_to(&mut batch);
            for (n, chunk) in some {
                batch.put(&key::page_chunk(built.head.first, *n), chunk);
            }
            if let Err(fault) = self.engine.store.commit(batch) {
                self.engine.shared().pending.give_back(taken);
                built.refuse(&QueueError::Unavailable);
                return Err(fault);
            }
            self.publish(&taken, None);
        }
        built.chunks_are_written = true;
        Ok(built)
    }

    /// A commit is on disk: everybody may know.
    fn publish(&mut self, taken: &Taken, built: Option<Built>) {
        let engine = self.engine.clone();
        {
            let mut shared = engine.shared();
            shared.commits += 1;
            shared.pending.forget(taken);
            if let Some(built) = &built {
                self.show(&mut shared, built);
            }
        }
        if let Some(stamp) = taken.stamp() {
            engine.written.send_replace(stamp);
        }
        if let Some(built) = built {
            built.answer();
        }
        self.answer_reached();
    }

    fn show(&mut self, shared: &mut Shared, built: &Built) {
        shared.take_in(&built.head);
        for (sequence, known) in built.head.range().zip(&built.head.events) {
            self.duplicates.push(sequence, known.hashes);
        }
        self.engine.cache().put(built.page.clone());
        for (_, lane) in built.head.lanes() {
            self.engine.wake(shared, lane);
        }
        self.engine.record_unrouted(shared, &built.page);
    }

    fn answer_reached(&mut self) {
        let written = *self.engine.written.borrow();
        while let Some(answer) = self.answers.pop_front_if(|answer| answer.stamp <= written) {
            // Nobody there to hear it is no fault.
            answer.reply.send(Ok(answer.appended)).ok();
        }
    }

    /// After any fault: nothing is trusted that the database or the kernel holds in memory. Ends
    /// when a commit has synced again, or when the queue closes.
    fn recover(&mut self, fault: &Fault) {
        error!(error = %fault, "the queue's database failed; opening it again");
        self.engine.shared().faulty = true;
        self.engine.cache().clear();
        self.engine.store.close();
        self.engine.disk.give_reserve_up();
        let mut last = String::new();
        loop {
            self.refuse_waiting();
            match self.try_again() {
                Ok(()) => break,
                Err(error) if format!("{error:#}") == last => {}
                Err(error) => {
                    last = format!("{error:#}");
                    warn!(error = last, "the queue's database cannot be opened yet");
                }
            }
            let shared = self.engine.shared();
            if shared.closing {
                return;
            }
            // A time-out is what we wait for.
            drop(self.engine.work.wait_timeout(shared, IDLE));
        }
        self.engine.shared().faulty = false;
        if let Err(error) = self.engine.disk.put_reserve_back() {
            warn!(%error, "no room to put the reserve back");
        }
        info!("the queue's database works again");
    }

    fn try_again(&mut self) -> anyhow::Result<()> {
        self.engine.store.reopen()?;
        self.engine.repair_tail()?;
        let known = self.engine.shared().log.next;
        for head in self.engine.heads_from(known)? {
            self.take_in_again(&head);
        }
        let alive = self.engine.alive_mark();
        self.engine.shared().pending.push(vec![alive]);
        Ok(self.commit(None)?)
    }

    /// A commit that failed may be there all the same.
    fn take_in_again(&mut self, head: &Head) {
        let mut shared = self.engine.shared();
        shared.take_in(head);
        for (sequence, known) in head.range().zip(&head.events) {
            self.duplicates.push(sequence, known.hashes);
        }
        for (_, lane) in head.lanes() {
            self.engine.wake(&mut shared, lane);
        }
    }

    fn refuse_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.engine.shared().appends);
        for request in waiting {
            // Nobody there to hear it is no fault.
            request.reply.send(Err(QueueError::Unavailable)).ok();
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

impl Built {
    pub(super) fn of(&self) -> Of {
        Of {
            kind: Kind::Page,
            sequence: self.head.first,
            lane: 0,
        }
    }
}
