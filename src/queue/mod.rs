//! The queue: a log of events, a lane into it for each destination, and records for what left
//! its lane. What the rest of the program sees is in this file; nothing of it knows of pages,
//! cursors or sled.
//!
//! All but [`Queue::settle`] are durable when they return.

mod append;
mod aside;
mod asked;
mod attempts;
mod behind;
mod build;
mod bulk;
mod cache;
mod chunk;
mod codes;
mod compact;
mod configure;
mod disk;
mod duplicates;
mod engine;
mod files;
mod find;
#[cfg(test)]
mod fixtures;
mod follow;
mod gaps;
mod head;
mod inspect;
mod key;
mod lane;
mod lane_store;
mod lane_value;
mod large;
mod lease;
mod leave;
mod listing;
mod load;
mod lock;
mod merge;
mod missing;
mod model;
mod notes;
mod open;
mod operate;
mod page;
mod path;
mod pending;
mod pick;
mod plain;
mod read;
mod record;
mod recover;
mod renew;
mod resume;
mod retention;
mod room;
mod salvage;
mod search;
mod settle;
mod settle_aside;
mod status;
mod store;
mod summary;
mod token;
mod trail;
mod view;
mod walk;
mod witness;
mod wounds;
mod writer;

use std::sync::Arc;

use crate::clock::Clock;
use crate::delivery::{Attempt, DeliveryId, Reason, Trace};
use crate::event::{Event, EventId};
use crate::queue::engine::Engine;

pub use crate::queue::asked::{Again, Delivery, Filter, Found, Range, Redelivered, Rest, Resume};
pub use crate::queue::attempts::{Attempted, Attempts};
pub use crate::queue::follow::Stretch;
pub use crate::queue::missing::Missing;
pub use crate::queue::model::{
    Appended, Changes, Configured, Held, Keep, LaneSpec, LaneStatus, LaneTally, LastAttempt, Lease,
    Next, Note, Notes, Options, Orphan, Planned, PlannedDelivery, QueueError, Redelivery, Repeats,
    Settlement, Stats,
};
pub use crate::queue::room::Room;

pub use crate::queue::salvage::{Salvaged, SalvagedLane, Step, Tally, salvage};

/// The engine behind the interface. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    handle: Arc<Handle>,
}

/// What is left when the last [`Queue`] is dropped unclosed: the writer writes what is due, and
/// ends.
#[derive(Debug)]
struct Handle(Arc<Engine>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.begin_to_close();
    }
}

impl Queue {
    /// Opens or makes the queue in `options.data`; returns when the first append is possible.
    ///
    /// # Errors
    /// In words: another process has it, or what is wrong with the disk or the data.
    pub fn open(options: Options, lanes: &[LaneSpec], clock: Clock) -> anyhow::Result<Queue> {
        Queue::open_by_notes(options, |_| Ok(lanes.to_vec()), clock)
    }

    /// The same where the notes of other parts tell which lanes there are: `lanes` is given all of
    /// them, by name.
    ///
    /// # Errors
    /// As [`open`](Queue::open), and those of `lanes`.
    pub fn open_by_notes(
        options: Options,
        lanes: impl FnOnce(&Notes) -> anyhow::Result<Vec<LaneSpec>>,
        clock: Clock,
    ) -> anyhow::Result<Queue> {
        let engine = open::open(options, lanes, clock)?;
        let handle = Arc::new(Handle(engine));
        Ok(Queue { handle })
    }

    /// Goes by new settings, without a pause. Lanes that are missing, and new names of lanes that
    /// were taken over, are durable before `adopt` is called, which is to make the rest of the
    /// program go by the new settings; the lanes do from then on. A lane's former name stays good
    /// until [`forget_former_names`](Queue::forget_former_names).
    ///
    /// While the disk does not take writes it waits, because a change cannot be half made.
    ///
    /// # Errors
    /// The queue closes.
    pub async fn configure(
        &self,
        changes: Changes<'_>,
        adopt: impl FnOnce(),
    ) -> Result<Configured, QueueError> {
        self.engine().configure(changes, adopt).await
    }

    /// As [`configure`](Queue::configure) for a single lane, which is new or runs in another way
    /// from now on; the others stay as they are.
    ///
    /// # Errors
    /// The queue closes.
    pub async fn run_lane(&self, lane: &LaneSpec, adopt: impl FnOnce()) -> Result<(), QueueError> {
        self.engine().run_lane(lane, adopt).await
    }

    /// As [`configure`](Queue::configure) where a single lane loses its destination.
    ///
    /// # Errors
    /// The queue closes.
    pub async fn orphan_lane(&self, name: &str, adopt: impl FnOnce()) -> Result<(), QueueError> {
        self.engine().orphan_lane(name, adopt).await
    }

    /// To be called when nobody plans by settings from before the last
    /// [`configure`](Queue::configure): lanes without a destination may go when nothing is left
    /// of them.
    pub fn forget_former_names(&self) {
        self.engine().forget_former_names();
    }

    /// Writes or removes small values of other parts, all of them or none. While the disk does not
    /// take writes it waits.
    ///
    /// # Errors
    /// A value of more than 4000 bytes is refused; the queue closes.
    pub async fn write_notes(&self, notes: Vec<Note>) -> Result<(), QueueError> {
        self.engine().write_notes(notes).await
    }

    /// The notes whose names begin with `prefix`, and their values, in the order of their names.
    /// Reads the disk.
    pub fn read_notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, QueueError> {
        self.engine().read_notes(prefix)
    }

    /// Stores an event with its plan, or finds the one it repeats. Waits up to 8 s for room on
    /// the disk.
    pub async fn append(&self, planned: Planned, repeats: Repeats) -> Result<Appended, QueueError> {
        self.engine().append(planned, repeats).await
    }

    /// The names of lanes that may have something to do since the last call; waits until there
    /// is one. For a single caller.
    pub async fn woken(&self) -> Vec<Arc<str>> {
        self.engine().woken().await
    }

    /// The lane's next delivery, however large: redeliveries before the next event of the log.
    pub async fn next(&self, destination: &str) -> Result<Next, QueueError> {
        self.next_within(destination, &Room::any()).await
    }

    /// The same where a large event must fit into `room`.
    pub async fn next_within(&self, destination: &str, room: &Room) -> Result<Next, QueueError> {
        self.engine().next(destination, room).await
    }

    /// The delivery behind a head that is being retried, to see whether the head is poison: a
    /// lease, or nothing, or room is needed for it.
    pub async fn next_past_head(&self, destination: &str, room: &Room) -> Result<Next, QueueError> {
        self.engine().next_past_head(destination, room).await
    }

    /// Ends a lease. Written with the next commit, at the latest after 50 ms. Whoever settles asks
    /// for the next: [`woken`](Queue::woken) names a strict lane only when something else happens.
    pub fn settle(&self, lease: Lease, settlement: Settlement, trace: Option<Trace>) {
        self.engine().settle(lease, settlement, trace);
    }

    /// Buries the head of the lane, whoever leased it last: the poison rule found it.
    pub fn bury_head(&self, destination: &str, event: EventId, reason: Reason) {
        self.engine().bury_head(destination, event, reason);
    }

    /// Stops a lane by hand.
    pub async fn hold(&self, destination: &str, words: String) -> Result<(), QueueError> {
        self.engine().hold(destination, words).await
    }

    /// Ends any hold, and lets everything go on.
    pub async fn resume(&self, destination: &str) -> Result<(), QueueError> {
        self.resume_with(destination, Resume::default()).await?;
        Ok(())
    }

    /// Ends any hold, for all or a part of what waits; says how many deliveries stay behind. They
    /// are one decision, whatever their number; their records follow by and by.
    pub async fn resume_with(&self, destination: &str, how: Resume) -> Result<u64, QueueError> {
        self.engine().resume(destination, how).await
    }

    /// How many `discard` would cancel.
    pub async fn count(&self, destination: &str, range: Range) -> Result<u64, QueueError> {
        self.engine().count(destination, range).await
    }

    /// Cancels what waits in `range`, if it is `expect` deliveries; says how many.
    pub async fn discard(
        &self,
        destination: &str,
        range: Range,
        expect: Option<u64>,
    ) -> Result<u64, QueueError> {
        self.engine().discard(destination, range, expect).await
    }

    /// Starts a new round for an event, to each of these destinations where none waits; says
    /// which.
    pub async fn redeliver(
        &self,
        event: EventId,
        destinations: &[Arc<str>],
    ) -> Result<Vec<Arc<str>>, QueueError> {
        self.engine().redeliver(event, destinations).await
    }

    /// Starts a new round for all settled deliveries that the filter takes, oldest event first, or
    /// counts them. Durable step by step: what it had started when it broke off waits, and a
    /// further call goes on with the rest.
    pub async fn redeliver_all(
        &self,
        filter: Filter,
        how: Again,
    ) -> Result<Redelivered, QueueError> {
        self.engine().redeliver_all(filter, how).await
    }

    /// Looks through deliveries, newest first, for at most 20 ms and `limit` of them.
    pub async fn find(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<Found, QueueError> {
        self.engine().find(filter, cursor, limit).await
    }

    /// One delivery, whatever its state.
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, QueueError> {
        self.engine().delivery(id).await
    }

    /// Attempts to a destination, newest first: at most `limit` of those that `takes` accepts, from
    /// the one of this id on, or the first before it. All of history is looked through.
    pub async fn attempts(
        &self,
        destination: &str,
        from: Option<u64>,
        limit: usize,
        takes: fn(&Attempt) -> bool,
    ) -> Result<Attempts, QueueError> {
        self.engine()
            .attempts(destination, from, limit, takes)
            .await
    }

    /// One attempt to a destination, or the run of equal failures that it was folded into.
    pub async fn attempt(
        &self,
        destination: &str,
        id: u64,
    ) -> Result<Option<Attempted>, QueueError> {
        self.engine().attempt(destination, id).await
    }

    /// How the newest attempt to a destination ended, if there was one.
    pub fn last_attempt(&self, destination: &str) -> Option<LastAttempt> {
        self.engine().last_attempt(destination)
    }

    /// The body as sent, if it was kept.
    pub async fn sent(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, QueueError> {
        self.engine().sent(id).await
    }

    /// A stored event.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.engine().event(id).await
    }

    /// Events of the log from this one on, for who reads along it: at most as many as one read of
    /// the disk gives.
    pub async fn stretch(&self, from: EventId) -> Result<Stretch, QueueError> {
        self.engine().stretch(from).await
    }

    /// The id that the next new event gets.
    pub fn next_event(&self) -> EventId {
        EventId(self.engine().shared().log.next)
    }

    /// All lanes, by name; those without a destination while something waits or is dead in them.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        self.engine().lanes()
    }

    /// What damage has taken of the log, oldest first; it is told until `dedupe` would have
    /// forgotten it.
    pub fn missing(&self) -> Vec<Missing> {
        self.engine().shared().missing.clone()
    }

    /// What each lane did since the start, by destination; events without a route have none.
    pub fn tallies(&self) -> Vec<(Arc<str>, LaneTally)> {
        self.engine().tallies()
    }

    /// What of the database cannot be read, in words, as far as anybody tried; the rest goes on.
    pub fn damage(&self) -> Vec<String> {
        let wounds = self.engine().store.wounds();
        wounds.iter().map(ToString::to_string).collect()
    }

    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Writes what is due, and closes. Everything after it gets [`QueueError::Closed`].
    pub async fn close(&self) {
        self.engine().begin_to_close();
        let mut closed = self.engine().closed.subscribe();
        // The sender lives as long as the engine.
        closed.wait_for(|closed| *closed).await.ok();
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.handle.0
    }
}
