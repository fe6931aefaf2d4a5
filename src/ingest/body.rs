//! Reads a request's body within its limits of size, time and memory. Does not look into it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::budget::{self, Budget, Patience, Reservation};
use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::config::Limits;

/// So long and so far a refused request's body is still taken in, so that the sender reads our
/// answer instead of finding the connection reset under its half-sent body.
const LINGER: Duration = Duration::from_secs(2);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Over `limits.body`.
    TooLarge,
    /// Longer than `limits.body_timeout` under way, waits for room not counted.
    TooSlow,
    /// `limits.bytes` used up, or the system's memory.
    NoRoom,
    /// Cut short, or wrongly chunked.
    Broken,
}

/// Reads the bodies of what is no delivery, out of the same budget.
#[derive(Clone, Debug)]
pub struct Bodies {
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) clock: Clock,
}

impl Bodies {
    /// The whole body, paid for as long as it is kept.
    ///
    /// # Errors
    /// It is over a limit, or broken.
    pub async fn read(&self, body: &mut Incoming) -> Result<Bytes, Unreadable> {
        let mut means = Means {
            limits: &self.limits,
            clock: &self.clock,
            room: self.budget.reservation(),
            patience: Patience::new(self.clock.clone()),
        };
        let read = means.read(body).await?;
        Ok(budget::paid(read, means.room))
    }

    /// Takes in and drops what still comes of a body that is not wanted.
    pub async fn discard(&self, body: &mut Incoming) {
        discard(body, &self.limits, &self.clock).await;
    }
}

/// What reading one request goes by, and pays with.
pub(super) struct Means<'a> {
    pub limits: &'a Limits,
    pub clock: &'a Clock,
    pub room: Reservation,
    pub patience: Patience,
}

impl Means<'_> {
    /// The whole body. One that came in a single piece is not copied.
    pub(super) async fn read(&mut self, body: &mut Incoming) -> Result<Bytes, Unreadable> {
        let most = self.limits.body;
        let announced = body.size_hint().exact();
        let size = announced.map_or(most, |it| usize::try_from(it).unwrap_or(most).min(most));
        let mut time = self.limits.body_timeout;
        let mut only = Bytes::new();
        let mut whole: Option<Buffer> = None;
        let mut filled = 0;
        while !body.is_end_stream() {
            let Some(piece) = next_piece(body, self.clock, &mut time).await? else {
                break;
            };
            let end = filled + piece.len();
            if end > size {
                return Err(Unreadable::TooLarge);
            }
            if filled == 0 {
                self.make_room(end).await?;
                only = piece;
            } else {
                self.make_room(Buffer::cost(size, end)).await?;
                let buffer = match &mut whole {
                    Some(buffer) => buffer,
                    None => whole.insert(begin(size, &std::mem::take(&mut only))?),
                };
                buffer.bytes_mut()[filled..end].copy_from_slice(&piece);
            }
            filled = end;
        }
        Ok(whole.map_or(only, |buffer| buffer.freeze(filled)))
    }

    /// A buffer of `size` bytes beside what was read.
    pub(super) async fn buffer(&mut self, size: usize) -> Result<Buffer, Unreadable> {
        self.make_room(self.room.bytes() + size).await?;
        Buffer::new(size).map_err(|_| Unreadable::NoRoom)
    }

    /// Makes this request's share of `limits.bytes` at least `bytes` in all.
    async fn make_room(&mut self, bytes: usize) -> Result<(), Unreadable> {
        let grown = self.room.grow_to(bytes, &mut self.patience).await;
        grown.map_err(|_| Unreadable::NoRoom)
    }
}

/// Takes in and drops what still comes of a body that is not wanted.
pub(super) async fn discard(body: &mut Incoming, limits: &Limits, clock: &Clock) {
    let all = async {
        let mut taken = 0;
        while taken < limits.body && !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => taken += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => break,
            }
        }
    };
    // Whether all of it came in time makes no difference to the answer.
    clock.timeout(LINGER, all).await.unwrap_or_default();
}

/// A buffer for a body of `size` bytes that begins with `first`.
fn begin(size: usize, first: &[u8]) -> Result<Buffer, Unreadable> {
    let mut buffer = Buffer::new(size).map_err(|_| Unreadable::NoRoom)?;
    buffer.bytes_mut()[..first.len()].copy_from_slice(first);
    Ok(buffer)
}

/// The next piece of the body, counting the time it took off `time`.
async fn next_piece(
    body: &mut Incoming,
    clock: &Clock,
    time: &mut Duration,
) -> Result<Option<Bytes>, Unreadable> {
    loop {
        let started = clock.elapsed();
        let frame = clock
            .timeout(*time, body.frame())
            .await
            .map_err(|_| Unreadable::TooSlow)?;
        *time = time.saturating_sub(clock.elapsed().saturating_sub(started));
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Unreadable::Broken),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}
