//! After a fault of the disk: the queue comes back inside the process.

use tracing::{error, info, warn};

use crate::queue::QueueError;
use crate::queue::head::Head;
use crate::queue::key;
use crate::queue::store::Fault;
use crate::queue::writer::{IDLE, Writer};

impl Writer {
    /// After any fault: nothing is trusted that the database or the kernel holds in memory. Ends
    /// when a commit has synced again; false when the queue closes before that.
    pub(super) fn recover(&mut self, fault: &Fault) -> bool {
        error!(error = %fault, "the queue's database failed; opening it again");
        self.engine.shared().faulty = true;
        self.engine.cache().clear();
        self.engine.store.close();
        self.engine.disk.give_reserve_up();
        let mut last = String::new();
        loop {
            self.refuse_waiting();
            match self.try_again(fault) {
                Ok(()) => break,
                Err(error) if format!("{error:#}") == last => {}
                Err(error) => {
                    last = format!("{error:#}");
                    warn!(error = last, "the queue's database cannot be opened yet");
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

    fn try_again(&mut self, fault: &Fault) -> anyhow::Result<()> {
        self.engine.store.reopen()?;
        if matches!(fault, Fault::Damaged(_) | Fault::Panicked) {
            self.give_up_what_is_damaged();
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

    /// A part of the database that cannot be read cannot be written either. What was to be
    /// written there is given up, so that it stops nothing else.
    fn give_up_what_is_damaged(&self) {
        let store = &self.engine.store;
        let can_be_written =
            |key: &[u8]| !matches!(store.get(key), Err(Fault::Damaged(_) | Fault::Panicked));
        let given_up = self.engine.shared().pending.give_up(can_be_written);
        for key in given_up {
            match key::of_record(&key) {
                Some((event, _)) => error!(
                    event.id = event,
                    "what became of a delivery of event {event} cannot be written: the queue is \
                     damaged there; stop the relay and run `gogs-relay salvage`"
                ),
                None => error!(
                    "something cannot be written: the queue is damaged; stop the relay and run \
                     `gogs-relay salvage`"
                ),
            }
        }
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
