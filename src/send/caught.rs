//! Turns a panic into a value, so that a bug costs one message and not its lane.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::delivery::Reason;
use crate::send::verdict::{Judgement, Verdict};

/// The future's output, or nothing if it panicked.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// The verdict on a panic.
pub(crate) fn panicked(doing: &str) -> Judgement {
    let verdict = Verdict::Bury {
        reason: Reason::Panic,
    };
    Judgement::new(verdict, format!("{doing} panicked: a bug of gogs-relay"))
}
