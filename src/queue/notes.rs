//! Small named values that other parts keep in the queue's database, because it is the one thing
//! here that survives a power cut.

use crate::queue::chunk::MAX_VALUE;
use crate::queue::engine::Engine;
use crate::queue::key;
use crate::queue::{Note, QueueError};

impl Engine {
    /// Writes them at once or not at all, however long the disk takes.
    pub(super) async fn write_notes(&self, notes: Vec<Note>) -> Result<(), QueueError> {
        for Note { name, value } in &notes {
            let length = value.as_ref().map_or(0, Vec::len);
            if length > MAX_VALUE {
                let words = format!("{name} takes {length} bytes; {MAX_VALUE} can be stored");
                return Err(QueueError::Refused(words));
            }
        }
        let writes = notes.into_iter();
        let writes = writes.map(|note| (key::note(&note.name), note.value));
        let stamp = self.push(&mut self.shared(), writes.collect());
        self.durable_at_last(stamp).await
    }

    /// Those whose names begin with `prefix`, in the order of their names.
    pub(super) fn read_notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, QueueError> {
        let found = self.scan(&self.shared(), key::all(&key::note(prefix)), usize::MAX);
        let found = found.map_err(|_| QueueError::Unavailable)?;
        let notes = found.into_iter().filter_map(|(key, value)| {
            let name = key::name_of_note(&key)?.to_owned();
            Some((name, value.to_vec()))
        });
        Ok(notes.collect())
    }
}
