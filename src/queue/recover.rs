//! After a fault of the disk: the queue comes back inside the process.

use std::collections::BTreeSet;

use tracing::{error, info, warn};

use crate::delivery::State;
use crate::queue::QueueError;
use crate::queue::build::Built;
use crate::queue::head::Head;
use crate::queue::key::{self, Key};
use crate::queue::open::is_damage;
use crate::queue::record::Record;
use crate::queue::store::Fault;
use crate::queue::writer::{IDLE, Writer};

/// After so many openings that failed at damage and found nothing new of it, another will not help.
const VAIN: u32 = 3;

impl Writer {
    /// Whether the writer can go on after a fault: what only failed to be read is there as it was,
    /// and opening the database again would find the same. After a write nothing is trusted that
    /// the database or the kernel holds in memory. False when the queue closes before it works.
    pub(super) fn get_past(&mut self, fault: &Fault) -> bool {
        if fault.is_damage() && !self.engine.store.is_half_written() {
            error!(error = %fault, "a part of the queue cannot be read");
            return true;
        }
        self.recover(fault)
    }

    /// Ends when a commit has synced again; false when the queue closes before that.
    fn recover(&mut self, fault: &Fault) -> bool {
        error!(error = %fault, "the queue's database failed; opening it again");
        self.engine.shared().faulty = true;
        self.engine.cache().clear();
        self.engine.store.close();
        self.engine.disk.give_reserve_up();
        let mut last = String::new();
        let (mut vain, mut known) = (0, 0);
        loop {
            self.refuse_waiting();
            if vain < VAIN {
                match self.try_again(fault) {
                    Ok(()) => break,
                    Err(error) => {
                        let wounds = self.engine.store.wounds().len();
                        let finds_more = std::mem::replace(&mut known, wounds) < wounds;
                        vain += u32::from(is_damage(&error) && !finds_more);
                        self.tell_of(&error, &mut last, vain >= VAIN);
                    }
                }
            }
            let shared = self.engine.shared();
            if shared.closing {
                drop(shared);
                self.refuse_waiting();
                return false;
            }
            // A time-out is what we wait for.
            drop(self.engine.work.wait_timeout(shared, IDLE));
        }
        self.engine.shared().faulty = false;
        info!("the queue's database works again");
        true
    }

    /// Says why it cannot be opened, each reason once.
    fn tell_of(&self, error: &anyhow::Error, last: &mut String, is_lost: bool) {
        let words = format!("{error:#}");
        if *last != words {
            warn!(error = words, "the queue's database cannot be opened yet");
            *last = words;
        }
        if is_lost {
            self.engine.store.close();
            error!(
                "the queue is too damaged to go on: nothing is accepted and nothing delivered. \
                 Stop the relay and run `gogs-relay salvage`"
            );
        }
    }

    fn try_again(&mut self, fault: &Fault) -> anyhow::Result<()> {
        self.engine.store.reopen()?;
        if fault.is_damage() {
            self.examine_what_waits()?;
        }
        self.engine.repair_tail()?;
        let known = self.engine.shared().log.next;
        for head in self.engine.heads_from(known)? {
            self.take_in_again(&head);
        }
        let alive = self.engine.alive_mark();
        self.engine.shared().pending.push(vec![alive]);
        Ok(self.commit(None)?)
    }

    /// Finds where the database is damaged among the places that are to be written.
    fn examine_what_waits(&self) -> Result<(), Fault> {
        let keys: BTreeSet<Key> = self.engine.shared().pending.keys().cloned().collect();
        for key in keys {
            self.engine.store.examine(&key)?;
        }
        self.engine
            .store
            .examine_ends(self.engine.shared().log.next)
    }

    /// A part of the database that cannot be read cannot be written either. What was to be
    /// written there is given up, so that it stops nothing else.
    pub(super) fn give_up_what_is_damaged(&self) {
        let store = &self.engine.store;
        if !store.is_wounded() {
            return;
        }
        let mut shared = self.engine.shared();
        let given_up = shared.pending.give_up(|key| !store.is_wounded_at(key));
        for (key, value) in given_up {
            let record = value.and_then(|value| Record::decode(&value).ok());
            let is_dead = record.is_some_and(|record| record.state == State::Dead);
            if let Some((event, lane)) = key::of_record(&key)
                && is_dead
            {
                error!(
                    event.id = event, destination.name = %shared.lane(lane).destination,
                    "a dead letter of event {event} cannot be written: the queue is damaged there"
                );
            }
        }
    }

    /// Whether these can be written. What cannot take new events does not get better.
    pub(super) fn takes(&self, built: &Built) -> bool {
        let store = &self.engine.store;
        let takes =
            !store.is_wounded() || built.writes().all(|(key, _)| !store.is_wounded_at(&key));
        if !takes && !std::mem::replace(&mut self.engine.shared().faulty, true) {
            error!(
                "the queue is damaged where new events are written: none are accepted any more. \
                 Stop the relay and run `gogs-relay salvage`"
            );
        }
        takes
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

    /// Who has waited long enough hears that it was in vain; the others may still be lucky.
    fn refuse_waiting(&mut self) {
        let now = self.engine.clock.elapsed();
        let mut shared = self.engine.shared();
        let (wait, gone) = std::mem::take(&mut shared.appends)
            .into_iter()
            .partition(|request| request.until > now && !shared.closing);
        shared.appends = wait;
        drop(shared);
        for request in Vec::from(gone) {
            // Nobody there to hear it is no fault.
            request.reply.send(Err(QueueError::Unavailable)).ok();
        }
    }
}
