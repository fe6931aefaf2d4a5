//! What should happen to an event: where it goes, and what each destination is told. Pure.

mod filter;
mod pattern;
mod route;

mod check;
mod context;
mod escape;
mod fit;
mod helpers;
mod library;
mod losses;
mod payload;
mod samples;
mod shelf;
mod surrogates;
mod templates;
mod text;
mod trace_lines;
mod vet;

pub use pattern::{Pattern, PatternError};
pub use route::{Explained, Router};
pub use samples::{Sample, samples};
pub use surrogates::mend_surrogates;
pub use templates::{Message, Rendered, Step, Templates};
