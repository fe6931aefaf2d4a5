//! What the tree held, pieced together from the messages in its file: for each key its newest
//! value that can be read, and whether it was removed since.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::queue::chunk;
use crate::queue::key::Key;
use crate::queue::salvage::segment::{self, Kind, Message, Reader, SEGMENT, Segment};

/// Where a value lies in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    file: u16,
    at: u64,
    length: u32,
}

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    place: Place,
    /// Something readable and newer says that it is gone. Only chunks are kept then.
    pub(super) is_removed: bool,
    /// It was found by its own head in bytes that nothing else explains.
    pub(super) is_stray: bool,
}

/// All that can be read of a database.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
    keys: BTreeMap<Key, Found>,
    /// Places in the file that cannot be read.
    pub(super) holes: u64,
}

impl Tree {
    /// Reads the database in `folder`, and tells how far it is, in bytes read and to be read.
    pub(super) fn read(folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<Tree> {
        let db = folder.join("db");
        let file = File::open(&db).with_context(|| format!("open {}", db.display()))?;
        let order = order(&file).with_context(|| format!("read {}", db.display()))?;
        let mut tree = Tree {
            files: vec![file],
            keys: BTreeMap::new(),
            holes: 0,
        };
        let mut prefixes = HashMap::new();
        let mut bytes = vec![0; SEGMENT];
        let total = order.len() as u64;
        for (done, (_, base)) in (1..).zip(order) {
            let length = read_up_to(&tree.files[0], &mut bytes, base)
                .with_context(|| format!("read {}", db.display()))?;
            tree.take_in(&bytes[..length], base, &mut prefixes);
            progress(done * SEGMENT as u64, total * SEGMENT as u64);
        }
        tree.read_blobs(folder)?;
        Ok(tree)
    }

    /// Keys and what is known of them, in order.
    pub(super) fn range(&self, range: Range<Key>) -> impl Iterator<Item = (&Key, &Found)> {
        self.keys.range(range)
    }

    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let found = self.keys.get(key);
        found.map(|found| self.value(found)).transpose()
    }

    pub(super) fn value(&self, found: &Found) -> io::Result<Vec<u8>> {
        let place = found.place;
        let mut value = vec![0; place.length as usize];
        self.files[usize::from(place.file)].read_exact_at(&mut value, place.at)?;
        Ok(value)
    }

    fn take_in(&mut self, bytes: &[u8], base: u64, prefixes: &mut HashMap<u64, Vec<u8>>) {
        let segment = Segment::read(bytes);
        let mut holes = segment.holes.iter().peekable();
        for message in &segment.messages {
            while let Some(hole) = holes.next_if(|hole| hole.start < message.at) {
                self.holes += 1;
                self.take_strays(&bytes[hole.clone()], 0, base + hole.start as u64);
            }
            let body = &bytes[message.body.clone()];
            let base = base + message.body.start as u64;
            // What a message with a good checksum holds is well formed, or not ours.
            match message.kind {
                Kind::Node => drop(self.take_node(message, body, base, prefixes)),
                Kind::Link => drop(self.take_link(message, body, base, prefixes)),
                Kind::Other | Kind::Cap => {}
            }
        }
        for hole in holes {
            let rest = &bytes[hole.clone()];
            self.holes += u64::from(rest.iter().any(|byte| *byte != 0));
            self.take_strays(rest, 0, base + hole.start as u64);
        }
    }

    /// All of a node: what lies in its range and is not in it was removed.
    fn take_node(
        &mut self,
        message: &Message,
        body: &[u8],
        base: u64,
        prefixes: &mut HashMap<u64, Vec<u8>>,
    ) -> Option<()> {
        let mut reader = Reader(body);
        let (_next, _child, _merging) = (reader.number()?, reader.number()?, reader.byte()?);
        let prefix = usize::from(reader.byte()?);
        let (low, high) = (reader.text()?, reader.text()?);
        let prefix = low.get(..prefix)?;
        prefixes.insert(message.node, prefix.to_vec());
        if reader.byte()? != 0 {
            return Some(());
        }
        let count = usize::try_from(reader.number()?).ok()?;
        let keys: Option<Vec<&[u8]>> = (0..count.min(body.len())).map(|_| reader.text()).collect();
        self.clear(low, high);
        for key in keys? {
            let value = reader.text()?;
            let at = base + (body.len() - reader.0.len() - value.len()) as u64;
            self.set([prefix, key].concat(), at, value.len());
        }
        Some(())
    }

    fn take_link(
        &mut self,
        message: &Message,
        body: &[u8],
        base: u64,
        prefixes: &HashMap<u64, Vec<u8>>,
    ) -> Option<()> {
        let mut reader = Reader(body);
        let what = reader.byte()?;
        if what > 1 {
            return Some(());
        }
        // Without its node a change does not say what it changes; a chunk still does.
        let Some(prefix) = prefixes.get(&message.node) else {
            self.take_strays(body, 0, base);
            return Some(());
        };
        let key = [prefix, reader.text()?].concat();
        if what == 1 {
            self.remove(&key);
            return Some(());
        }
        let value = reader.text()?;
        let at = base + (body.len() - value.len()) as u64;
        self.set(key, at, value.len());
        Some(())
    }

    fn set(&mut self, key: Key, at: u64, length: usize) {
        if !is_ours(&key) {
            return;
        }
        let found = Found {
            place: Place {
                file: 0,
                at,
                length: length as u32,
            },
            is_removed: false,
            is_stray: false,
        };
        self.keys.insert(key, found);
    }

    fn remove(&mut self, key: &[u8]) {
        if !is_chunk(key) {
            self.keys.remove(key);
        } else if let Some(found) = self.keys.get_mut(key) {
            found.is_removed = true;
        }
    }

    fn clear(&mut self, low: &[u8], high: &[u8]) {
        let within = (self.keys.range(low.to_vec()..))
            .map(|(key, _)| key)
            .take_while(|key| high.is_empty() || key.as_slice() < high);
        for key in within.cloned().collect::<Vec<Key>>() {
            self.remove(&key);
        }
    }

    /// Chunks by their own heads. What lies within a whole chunk is its data, whatever it looks
    /// like.
    fn take_strays(&mut self, bytes: &[u8], file: u16, base: u64) {
        let mut at = 0;
        while let Some(next) = bytes.get(at..).and_then(chunk::find) {
            at += next;
            let Some((key, length)) = chunk::label(&bytes[at..]) else {
                at += 1;
                continue;
            };
            let place = Place {
                file,
                at: base + at as u64,
                length: length as u32,
            };
            let found = Found {
                place,
                is_removed: false,
                is_stray: true,
            };
            // What is known of it by the tree is better.
            self.keys.entry(key).or_insert(found);
            at += length;
        }
    }

    /// Values that the database kept in files of their own, if it ever did.
    fn read_blobs(&mut self, folder: &Path) -> anyhow::Result<()> {
        let Ok(entries) = fs::read_dir(folder.join("blobs")) else {
            return Ok(());
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().take(usize::from(u16::MAX)) {
            let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let number = self.files.len() as u16;
            self.files.push(file);
            self.take_strays(&bytes, number, 0);
        }
        Ok(())
    }
}

/// The segments in the order in which they were written; those that do not say come first, so
/// that anything newer wins.
fn order(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let segments = file.metadata()?.len().div_ceil(SEGMENT as u64);
    let mut order = Vec::new();
    let mut head = [0; 32];
    let mut whole = vec![0; SEGMENT];
    for base in (0..segments).map(|segment| segment * SEGMENT as u64) {
        let length = read_up_to(file, &mut head, base)?;
        let number = match segment::number(&head[..length]) {
            Some(number) => number,
            None => {
                let length = read_up_to(file, &mut whole, base)?;
                Segment::read(&whole[..length]).number.unwrap_or(0)
            }
        };
        order.push((number, base));
    }
    order.sort_unstable();
    Ok(order)
}

/// Fills the buffer from there, or as much of it as the file still has.
pub(in crate::queue) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            some => filled += some,
        }
    }
    Ok(filled)
}

fn is_chunk(key: &[u8]) -> bool {
    matches!(key.first(), Some(b'p' | b'c'))
}

/// The database keeps a little of its own in the same form.
fn is_ours(key: &[u8]) -> bool {
    match key.first() {
        Some(b'm') => key.len() < 20,
        Some(b'h') => key.len() == 9,
        Some(b'l') => key.len() == 5,
        Some(b'p' | b'd' | b'w' | b'k') => key.len() == 13,
        Some(b'c') => key.len() == 17,
        Some(b'g') => key.len() == 9,
        Some(b'n') => std::str::from_utf8(key).is_ok(),
        _ => false,
    }
}
