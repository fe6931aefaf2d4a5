//! What is known of repositories: of so many at most, in memory and among the notes. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::known::{Known, Privacy};
use crate::queue::{Note, Notes};

/// What names of notes begin with.
pub(super) const EACH: &str = "hub-repository/";

/// Repositories remembered at once; of others nothing is known.
const REMEMBERED: usize = 10_000;

/// So many notes go at once: a commit has room for them.
const TOGETHER: usize = 100;

/// Source and name, in lower case.
pub(super) type Key = (Arc<str>, String);

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: HashMap<Key, Known>,
    /// Those that were let go of, and may still have a note.
    gone: BTreeSet<Key>,
}

impl Book {
    /// As it was stored.
    pub(super) fn read(notes: &Notes) -> Book {
        let mut book = Book::default();
        for (name, value) in notes {
            let Some(key) = key(name) else {
                continue;
            };
            let privacy = Privacy::read(value);
            let known = Known {
                newest: privacy,
                noted: Some(privacy),
                ..Known::default()
            };
            if book.known.len() < REMEMBERED {
                book.known.insert(key, known);
            } else {
                book.gone.insert(key);
            }
        }
        book
    }

    /// Nothing is known, and nothing is left to be removed.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.gone.is_empty()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Known> {
        self.known.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Known> {
        self.known.get_mut(key)
    }

    /// What is known of one, which takes the place of another if there are too many. History may
    /// tell of that again, and if not, it is unknown.
    pub(super) fn entry(&mut self, key: &Key) -> &mut Known {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(key) {
            let idle = self.known.iter().filter(|(_, known)| known.arriving == 0);
            let oldest = idle.min_by_key(|(_, known)| known.event);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.forget(&oldest);
            }
        }
        self.known.entry(key.clone()).or_default()
    }

    /// Lets go of one; says whether its note may still be there.
    pub(super) fn forget(&mut self, key: &Key) -> bool {
        if self.known.remove(key).is_some() {
            self.gone.insert(key.clone());
        }
        self.gone.contains(key)
    }

    /// What is to be written now because of this one, if anything is: what is so, and notes of
    /// others that go. [`Book::is_written`] is to be told.
    pub(super) fn write(&mut self, key: &Key) -> Vec<Note> {
        let own = match self.known.get_mut(key) {
            Some(known) if known.noted == Some(known.privacy()) => return Vec::new(),
            Some(known) => {
                // Until it is written nobody knows what is.
                known.noted = None;
                Some(vec![known.privacy().code()])
            }
            None if self.gone.contains(key) => None,
            None => return Vec::new(),
        };
        let others = self.gone.iter().filter(|other| *other != key);
        let others = others.take(TOGETHER - 1).map(|other| note(other, None));
        std::iter::once(note(key, own)).chain(others).collect()
    }

    /// Notes that go, so that no more are left than are remembered; none when that is so.
    pub(super) fn tidy(&self) -> Vec<Note> {
        let gone = self.gone.iter().take(TOGETHER);
        gone.map(|key| note(key, None)).collect()
    }

    /// These notes were written.
    pub(super) fn is_written(&mut self, notes: &[Note]) {
        for Note { name, value } in notes {
            let Some(key) = key(name) else {
                continue;
            };
            match (value, self.known.get_mut(&key)) {
                (Some(value), Some(known)) => known.noted = Some(Privacy::read(value)),
                // It was let go of meanwhile.
                (Some(_), None) => continue,
                (None, _) => {}
            }
            self.gone.remove(&key);
        }
    }
}

/// The note of one: that something is so, or that nothing is noted.
fn note((source, repository): &Key, value: Option<Vec<u8>>) -> Note {
    Note {
        name: format!("{EACH}{source}/{repository}"),
        value,
    }
}

/// Which one a note is about.
fn key(name: &str) -> Option<Key> {
    let (source, repository) = name.strip_prefix(EACH)?.split_once('/')?;
    Some((source.into(), repository.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;

    fn key(number: usize) -> Key {
        ("gogs".into(), format!("orbit/public-{number}"))
    }

    /// What is stored of all that was written.
    fn stored(disk: &mut Vec<String>, book: &mut Book, notes: Vec<Note>) {
        for Note { name, value } in &notes {
            disk.retain(|other| other != name);
            if value.is_some() {
                disk.push(name.clone());
            }
        }
        book.is_written(&notes);
    }

    #[test]
    fn however_many_repositories_there_are_as_many_notes_stay_as_are_remembered() {
        let (mut book, mut disk) = (Book::default(), Vec::new());
        // Looking for one note among so many takes its time.
        for number in 0..REMEMBERED {
            let known = book.entry(&key(number));
            known.take(EventId(number as u64 + 1), Privacy::Public, "push");
            let notes = book.write(&key(number));
            disk.push(notes[0].name.clone());
            book.is_written(&notes);
        }
        for number in REMEMBERED..REMEMBERED + 20 {
            let known = book.entry(&key(number));
            known.take(EventId(number as u64 + 1), Privacy::Private, "push");
            let notes = book.write(&key(number));
            stored(&mut disk, &mut book, notes);
            assert_eq!((book.known.len(), disk.len()), (REMEMBERED, REMEMBERED));
        }
        assert!(book.get(&key(19)).is_none() && book.get(&key(20)).is_some());
        // One that is there already takes no other's place.
        book.entry(&key(20));
        assert!(book.get(&key(21)).is_some() && book.write(&key(20)).is_empty());
    }

    #[test]
    fn of_more_notes_than_are_remembered_the_rest_goes() {
        let notes = (0..REMEMBERED + 250).map(|number| {
            let (source, name) = key(number);
            (format!("{EACH}{source}/{name}"), vec![1])
        });
        let notes: Vec<(String, Vec<u8>)> = notes.collect();
        let mut book = Book::read(&notes);
        let mut disk = notes.into_iter().map(|(name, _)| name).collect();
        let mut writes = 0;
        while !book.gone.is_empty() {
            let gone = book.tidy();
            stored(&mut disk, &mut book, gone);
            writes += 1;
        }
        assert_eq!((disk.len(), writes), (REMEMBERED, 3));
    }

    #[test]
    fn one_that_comes_back_before_its_note_is_gone_keeps_it() {
        let (mut book, mut disk) = (Book::default(), Vec::new());
        book.entry(&key(1))
            .take(EventId(1), Privacy::Public, "push");
        let notes = book.write(&key(1));
        stored(&mut disk, &mut book, notes);
        assert!(book.write(&key(1)).is_empty());
        // It is let go of while its note is on its way.
        book.entry(&key(1))
            .take(EventId(2), Privacy::Private, "push");
        let under_way = book.write(&key(1));
        assert!(book.forget(&key(1)));
        stored(&mut disk, &mut book, under_way);
        assert!(!book.is_empty());
        book.entry(&key(1))
            .take(EventId(3), Privacy::Public, "push");
        let notes = book.write(&key(1));
        assert_eq!(notes.len(), 1);
        stored(&mut disk, &mut book, notes);
        assert!(book.gone.is_empty() && disk.len() == 1);
        assert!(book.forget(&key(1)));
        let notes = book.write(&key(1));
        stored(&mut disk, &mut book, notes);
        assert!(book.is_empty() && disk.is_empty());
        assert!(!book.forget(&key(1)));
    }

    #[test]
    fn what_could_not_be_written_is_written_the_next_time() {
        let mut book = Book::default();
        book.entry(&key(1))
            .take(EventId(1), Privacy::Public, "push");
        let first = book.write(&key(1));
        book.is_written(&first);
        // Whether this one reached the disk nobody was told.
        book.entry(&key(1)).arriving = 1;
        assert_eq!(book.write(&key(1)).len(), 1);
        book.entry(&key(1)).arriving = 0;
        assert_eq!(book.write(&key(1))[0].value, Some(vec![1]));
    }
}
