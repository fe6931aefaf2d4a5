//! The integration tests: real sockets, the real binary, the real sled, recorded deliveries.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub
)]

/// Prints a figure that a test measured, past the capture of the test harness.
macro_rules! figure {
    ($($words:tt)*) => {{
        use std::io::Write;
        let words = format!($($words)*);
        std::io::stderr().write_all(format!("{words}\n").as_bytes()).unwrap();
    }};
}

mod binary;
mod corpus;
mod files;
mod relay;
mod tmpfs;
mod world;

mod api;
mod attempts;
mod bounds;
mod chaos;
mod cli;
mod config;
mod damage;
mod default_messages;
mod egress;
mod format;
mod full_disk;
mod gogs_sync;
mod hooks;
mod hostile;
mod hub;
mod ingest;
mod journey;
mod kill;
mod lanes;
mod many_lanes;
mod memory;
mod messages;
mod missed;
mod operate;
mod outage;
mod power_cut;
mod queue;
mod readme;
mod reload;
mod route;
mod templates;
mod tidy;
mod ugly_sinks;
mod verdicts;
