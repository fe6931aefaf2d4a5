//! What should happen to an event: where it goes, and what each destination is told. Pure.

mod filter;
mod pattern;
mod route;

mod check;
mod commits;
mod context;
mod depth;
mod escape;
mod fit;
mod helpers;
mod inline;
mod ladder;
mod library;
mod losses;
mod neutral;
mod payload;
mod render;
mod samples;
mod shelf;
mod surrogates;
mod templates;
mod text;
mod trace_lines;
mod values;
mod vet;

pub use ladder::{Message, Rendered, Step};
pub use pattern::{Pattern, PatternError, Patterns};
pub use route::{Explained, Router};
pub use samples::{Sample, samples};
pub use surrogates::mend_surrogates;
pub use templates::Templates;
