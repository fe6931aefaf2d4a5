//! relay.yaml: every mistake at once, each with its place; one fixture a mistake.

use std::path::Path;

use gogs_relay::config::{self, Environment, Loaded, Problem};

fn load(path: &str) -> Result<Loaded, Vec<Problem>> {
    config::load(Path::new(path), &Environment::new(), &|_| {
        vec!["default".to_owned(), "classic".to_owned()]
    })
}

#[test]
fn probe() {
    for path in ["relay.yaml", "tests/fixtures/config/many-at-once.yaml"] {
        let problems = match load(path) {
            Ok(loaded) => {
                println!("{:#?}", loaded.config);
                loaded.warnings
            }
            Err(problems) => problems,
        };
        config::draw(&mut std::io::stdout(), &problems, false).unwrap();
    }
}
