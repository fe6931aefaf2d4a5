//! Which repositories are for everybody: what the newest event of each says of it. It is told
//! before an event is stored that says it is private, and only after one is that says it is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::known::{Known, Privacy};
use super::limits::Limits;
use crate::clock::Clock;
use crate::config::Hub;
use crate::event::{Event, EventId, Facts};
use crate::hook::Repository;
use crate::ingest::decode;
use crate::queue::{Appended, Note, Notes, Queue, QueueError};
use crate::trail;

/// What names of notes begin with.
const EACH: &str = "hub-repository/";

/// Repositories remembered at once; of others nothing is known.
const REMEMBERED: usize = 10_000;

/// Source and name, in lower case.
type Key = (Arc<str>, String);

/// What is known of them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Repositories(Arc<State>);

#[derive(Debug)]
struct State {
    queue: Queue,
    clock: Clock,
    limits: Arc<Limits>,
    known: Mutex<HashMap<Key, Known>>,
    /// One note is written after the other, so that the last says what is so.
    writing: tokio::sync::Mutex<()>,
}

impl Repositories {
    /// Those that were stored.
    pub(super) fn new(queue: Queue, clock: Clock, limits: Arc<Limits>) -> Result<Self, QueueError> {
        let notes = queue.read_notes(EACH)?;
        Ok(Repositories(Arc::new(State {
            known: Mutex::new(read(&notes)),
            queue,
            clock,
            limits,
            writing: tokio::sync::Mutex::default(),
        })))
    }

    /// What is known of one without looking for it.
    pub(super) fn known_privacy(&self, repository: &Repository) -> Option<Privacy> {
        self.known().get(&repository.key()).map(Known::privacy)
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
        let mut known = self.known();
        make_room(&mut known);
        let known = known.entry(key).or_insert_with(|| Known {
            newest: Privacy::of(&facts),
            event: id,
            ..Known::default()
        });
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
            let known = self.known();
            known.get(&key)?.latest.get(name).copied()
        };
        if let Some(id) = latest {
            return self.0.queue.event(id?).await.ok()?;
        }
        let wanted = Some(name).filter(|name| *name != "*");
        let found = self.search(repository, wanted).await;
        let found = found.filter(|(_, event)| decode::facts(event).private == Some(false));
        let id = found.as_ref().map(|(id, _)| *id);
        let mut known = self.known();
        let known = known
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
        if hub.is_none() && self.known().is_empty() {
            return Ok(None);
        }
        let key = (event.source.clone(), name.to_lowercase());
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
                let mut known = self.known();
                make_room(&mut known);
                let known = known.entry(arriving.key.clone()).or_default();
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
        let privacy = {
            let known = self.known();
            let Some(known) = known.get(key) else {
                return Ok(());
            };
            let privacy = known.privacy();
            if known.noted == Some(privacy) {
                return Ok(());
            }
            privacy
        };
        let note = Note {
            name: name(key),
            value: Some(vec![privacy.code()]),
        };
        self.0.queue.write_notes(vec![note]).await?;
        if let Some(known) = self.known().get_mut(key) {
            known.noted = Some(privacy);
        }
        Ok(())
    }

    async fn forget(&self, key: &Key) -> Result<(), QueueError> {
        let _turn = {
            if self.known().is_empty() {
                return Ok(());
            }
            self.0.writing.lock().await
        };
        if self.known().remove(key).is_none() {
            return Ok(());
        }
        let note = Note {
            name: name(key),
            value: None,
        };
        self.0.queue.write_notes(vec![note]).await
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            let mut known = self.repositories.known();
            make_room(&mut known);
            let known = known.entry(self.key.clone()).or_default();
            if std::mem::take(&mut self.is_counted) {
                known.arriving = known.arriving.saturating_sub(1);
            }
            match appended {
                Appended::New(id) => known.take(*id, self.says, &self.name),
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
            && let Some(known) = self.repositories.known().get_mut(&self.key)
        {
            known.arriving = known.arriving.saturating_sub(1);
            known.newest = self.says;
        }
    }
}

/// Lets go of one, if there are too many. History may tell of it again, and if not, it is unknown.
fn make_room(known: &mut HashMap<Key, Known>) {
    if known.len() < REMEMBERED {
        return;
    }
    let idle = known.iter().filter(|(_, known)| known.arriving == 0);
    if let Some((oldest, _)) = idle.min_by_key(|(_, known)| known.event) {
        let oldest = oldest.clone();
        known.remove(&oldest);
    }
}

fn name((source, repository): &Key) -> String {
    format!("{EACH}{source}/{repository}")
}

fn read(notes: &Notes) -> HashMap<Key, Known> {
    let known = notes.iter().filter_map(|(name, value)| {
        let (source, repository) = name.strip_prefix(EACH)?.split_once('/')?;
        let privacy = Privacy::read(value);
        let known = Known {
            newest: privacy,
            noted: Some(privacy),
            ..Known::default()
        };
        Some(((source.into(), repository.to_owned()), known))
    });
    known.collect()
}
