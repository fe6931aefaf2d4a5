//! From Gogs' request to the 202: receive, verify, decode, route, append. This file is the map.
//!
//! [`receive`](receive::receive) owns the sockets and asks [`Ingest`] for an answer to each
//! request. `Ingest` reads the body within the `budget`, takes the payload out of a form,
//! [`verify`]s the signature, [`decode`]s what routing needs, and has the event appended. Each
//! step takes only what the step before can make: `Unverified → Verified → Event → Planned`.

mod answer;
mod body;
mod body_secret;
mod budget;
mod gates;
mod header_timer;
mod hooks;
mod members;

pub mod decode;
pub mod form;
pub mod payload;
pub mod receive;
pub mod verify;

pub use body::{Bodies, Unreadable};
pub use decode::facts;
pub use gates::Gates;
pub use hooks::{Ingest, Log};
