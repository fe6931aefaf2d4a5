//! Templates of a user: found, checked, and at run time never the end of a message.

use std::path::Path;

use gogs_relay::config::Problem;
use gogs_relay::destination::Kind;
use gogs_relay::event::EventId;
use gogs_relay::plan::{Message, Rendered, Step, Templates, samples};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::messages::{built_in, destination, discord, event, slack};

#[test]
fn the_built_in_templates_pass_the_check() {
    assert_eq!(built_in().check(), []);
}
