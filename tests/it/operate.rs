//! What people do to lanes and deliveries: hold, resume for all or a part, discard, send again,
//! look up. Through the real queue with a stepped clock, the real lanes, and the real binary.

mod bench;
mod commands;
mod desk;
mod history;
mod model;
mod redelivery;
mod resume;
mod summary;
