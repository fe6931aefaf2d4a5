//! Which repositories are for everybody: what the newest event of each says of it. It is told
//! before an event is stored that says it is private, and only after one is that says it is not.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::book::{self, Book, Key};
use super::known::{Known, Privacy};
use super::limits::Limits;
use crate::clock::Clock;
use crate::config::Hub;
use crate::event::{Event, EventId, Facts};
use crate::hook::Repository;
use crate::ingest::decode;
use crate::queue::{Appended, Note, Queue, QueueError};
use crate::trail;

/// So many events at the end of the log may have been under way when the relay ended.
const UNDER_WAY: u64 = 256;

/// What is known of them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Repositories(Arc<State>);

#[derive(Debug)]
struct State {
    queue: Queue,
    clock: Clock,
    limits: Arc<Limits>,
    book: Mutex<Book>,
    /// One note is written after the other, so that the last says what is so.
    writing: tokio::sync::Mutex<()>,
}

impl Repositories {
    /// Those that were stored.
    pub(super) fn new(queue: Queue, clock: Clock, limits: Arc<Limits>) -> Result<Self, QueueError> {
        let notes = queue.read_notes(book::EACH)?;
        Ok(Repositories(Arc::new(State {
            book: Mutex::new(Book::read(&notes)),
            queue,
            clock,
            limits,
            writing: tokio::sync::Mutex::default(),
        })))
    }

    /// At a start, before anything arrives: removes notes of more repositories than are remembered.
    pub(super) async fn tidy_up(&self) {
        let _turn = self.0.writing.lock().await;
        loop {
            let gone = self.book().tidy();
            if gone.is_empty() {
                return;
            }
            if let Err(error) = self.write(gone).await {
                return warn!(%error, "notes on repositories stay for now");
            }
        }
    }

    /// At a start, before anything arrives: what was being stored when the relay ended tells of these
    /// what nobody had noted yet.
    pub(super) async fn catch_up(&self, repositories: impl Iterator<Item = &Repository>) {
        let mut unsure = HashSet::new();
        for repository in repositories {
            if self.privacy(repository).await == Privacy::Unknown {
                unsure.insert(repository.key());
            }
        }
        let end = self.0.queue.next_event();
        let mut at = EventId(end.0.saturating_sub(UNDER_WAY));
        while !unsure.is_empty() && at < end {
            let stretch = match self.0.queue.stretch(at).await {
                Ok(stretch) if stretch.next > at => stretch,
                Ok(_) | Err(_) => return,
            };
            for (id, event) in &stretch.events {
                let facts = decode::facts(event);
                let key = facts.repo.as_ref().map(|name| key(event, name));
                if let Some(key) = key.filter(|key| unsure.contains(key)) {
                    let mut book = self.book();
                    let known = book.entry(&key);
                    known.take(*id, Privacy::of(&facts), &event.name);
                }
            }
            at = stretch.next;
        }
    }

    /// What is known of one without looking for it.
    pub(super) fn known_privacy(&self, repository: &Repository) -> Option<Privacy> {
        self.book().get(&repository.key()).map(Known::privacy)
    }

    /// What is known of one.
    pub(super) async fn privacy(&self, repository: &Repository) -> Privacy {
        if let Some(known) = self.known_privacy(repository) {
            return known;
        }
        let key = repository.key();
        // It has had no event since it is for everybody: history may tell.
        let Some((id, event)) = self.search(repository, None).await else {
            return Privacy::Unknown;
        };
        let facts = decode::facts(&event);
        let mut book = self.book();
        // An event may have come meanwhile.
        let is_new = book.get(&key).is_none();
        let known = book.entry(&key);
        if is_new {
            (known.newest, known.event) = (Privacy::of(&facts), id);
        }
        known.privacy()
    }

    /// The newest event of this name, if it and the newest of all say that the repository is
    /// public.
    pub(super) async fn latest(&self, repository: &Repository, name: &str) -> Option<Event> {
        if self.privacy(repository).await != Privacy::Public {
            return None;
        }
        let key = repository.key();
        let latest = {
            let book = self.book();
            book.get(&key)?.latest.get(name).copied()
        };
        if let Some(id) = latest {
            return self.0.queue.event(id?).await.ok()?;
        }
        let wanted = Some(name).filter(|name| *name != "*");
        let found = self.search(repository, wanted).await;
        let found = found.filter(|(_, event)| decode::facts(event).private == Some(false));
        let id = found.as_ref().map(|(id, _)| *id);
        let mut book = self.book();
        let known = book
            .get_mut(&key)
            .filter(|known| known.privacy() == Privacy::Public)?;
        known.latest.entry(name.to_owned()).or_insert(id);
        found.map(|(_, event)| event)
    }

    async fn search(
        &self,
        repository: &Repository,
        name: Option<&str>,
    ) -> Option<(EventId, Event)> {
        if !self.0.limits.search(self.0.clock.elapsed()) {
            return None;
        }
        trail::newest(&self.0.queue, repository, name).await
    }

    /// To be told before an event is stored.
    ///
    /// # Errors
    /// What the event says cannot be stored, so neither should the event be.
    pub(super) async fn arriving(
        &self,
        hub: Option<&Hub>,
        event: &Event,
        facts: &Facts,
    ) -> Result<Option<Arriving>, QueueError> {
        let Some(name) = &facts.repo else {
            return Ok(None);
        };
        if hub.is_none() && self.book().is_empty() {
            return Ok(None);
        }
        let key = key(event, name);
        if !hub.is_some_and(|hub| hub.source == event.source && hub.opens(name)) {
            // What was known is known no more.
            return self.forget(&key).await.map(|()| None);
        }
        let says = Privacy::of(facts);
        let arriving = Arriving {
            repositories: self.clone(),
            key,
            says,
            name: event.name.clone(),
            is_counted: says != Privacy::Public,
        };
        if arriving.is_counted {
            {
                let mut book = self.book();
                let known = book.entry(&arriving.key);
                known.arriving += 1;
                known.latest.clear();
            }
            self.note(&arriving.key).await?;
        }
        Ok(Some(arriving))
    }

    /// Writes what is so, if it is not what is stored.
    async fn note(&self, key: &Key) -> Result<(), QueueError> {
        let _turn = self.0.writing.lock().await;
        let notes = self.book().write(key);
        match notes.is_empty() {
            true => Ok(()),
            false => self.write(notes).await,
        }
    }

    /// For whoever has the turn.
    async fn write(&self, notes: Vec<Note>) -> Result<(), QueueError> {
        self.0.queue.write_notes(notes.clone()).await?;
        self.book().is_written(&notes);
        Ok(())
    }

    async fn forget(&self, key: &Key) -> Result<(), QueueError> {
        let is_noted = self.book().forget(key);
        match is_noted {
            true => self.note(key).await,
            false => Ok(()),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The repository of this name that an event is about.
fn key(event: &Event, name: &str) -> Key {
    (event.source.clone(), name.to_lowercase())
}

/// An event that is being stored.
#[derive(Debug)]
pub struct Arriving {
    repositories: Repositories,
    key: Key,
    says: Privacy,
    name: Arc<str>,
    /// Until it is stored nobody takes the repository for public.
    is_counted: bool,
}

impl Arriving {
    /// To be told when it is stored. Says whether it shows the repository to be private.
    pub(super) async fn stored(mut self, appended: &Appended) -> bool {
        let is_new = {
            let mut book = self.repositories.book();
            if std::mem::take(&mut self.is_counted)
                && let Some(known) = book.get_mut(&self.key)
            {
                known.arriving = known.arriving.saturating_sub(1);
            }
            match appended {
                Appended::New(id) => book.entry(&self.key).take(*id, self.says, &self.name),
                Appended::Repeats { .. } => false,
            }
        };
        if let Err(error) = self.repositories.note(&self.key).await {
            warn!(%error, "whether {} is public is not stored", self.key.1);
        }
        is_new && self.says == Privacy::Private
    }
}

impl Drop for Arriving {
    /// Nobody knows whether it was stored, so it counts as if it were.
    fn drop(&mut self) {
        if self.is_counted
            && let Some(known) = self.repositories.book().get_mut(&self.key)
        {
            known.arriving = known.arriving.saturating_sub(1);
            known.newest = self.says;
        }
    }
}
