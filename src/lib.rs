//! A webhook relay for Gogs: takes each delivery durably, and brings it to Slack, Discord and other tools.
//!
//! # The journey
//!
//! 1. [`ingest`] receives a delivery, verifies its signature and decodes what routing needs.
//! 2. [`plan`] decides which destinations it goes to, ...
//! 3. [`queue`] puts the event and its plan on stable storage; only then Gogs gets its 202.
//! 4. [`queue`] hands each destination's lane its oldest event, ...
//! 5. [`plan`] renders it from the user's template and fits it to the service's limits, ...
//! 6. [`send`] delivers it at the pace the service allows and reads the answer as a verdict, ...
//! 7. [`queue`] settles: on to the next, try later, hold the lane, or set the delivery aside.
//! 8. [`trail`] finds and explains every delivery afterwards.
//!
//! [`event`], [`delivery`], [`destination`], [`hook`] and [`clock`] are the nouns. [`hooks`] and [`hub`] keep the
//! receivers that others add over [`api`]. [`admin`],
//! [`cli`] and [`config`] stand to the side; [`settings`] is what everything goes by, and [`reload`] replaces
//! it; [`fleet`] looks after the hooks in Gogs itself; [`standin`] plays the services for tests and `demo`; [`app`] puts everything together.
//!
//! # Invariants
//!
//! - Nothing in `plan/` does IO once its templates are loaded: route, render and fit are pure
//!   functions of event, configuration and templates.
//! - A 2xx means that the event and its plan are on stable storage.
//! - Each stage takes only what the stage before can make:
//!   `Unverified → Verified → Event → Planned → Queued`.
//! - Frozen at receipt: the event and which destinations it goes to. Taken at each attempt: the
//!   destination's settings and its template.
//! - Only `clock.rs` reads the time; only `send/transport.rs` dials; only `queue/store.rs` names
//!   sled, only `send/retry.rs` names backoff; text for people is written by `cli/` or to a writer
//!   handed in.
//! - Memory is bounded by configuration, never by backlog, body size, connections or destinations'
//!   troubles.

// Whoever awaits a future moves it, and a delivery goes through many. Tests may have large ones.
#![warn(clippy::large_futures)]

mod buffer;
pub mod clock;
pub mod delivery;
pub mod destination;
pub mod event;
pub mod hook;

pub mod reload;
pub mod settings;

pub mod hooks;
pub mod hub;
pub mod ingest;
pub mod plan;
pub mod queue;
pub mod send;
pub mod trail;

pub mod admin;
pub mod api;
pub mod cli;
pub mod config;
pub mod fleet;
pub mod standin;

pub mod app;
