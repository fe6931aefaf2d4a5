//! Draining: a backlog goes to two strict destinations of Gogs' format, everything is recorded.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::CONNECTIONS;
use crate::load;
use crate::relayed::Relay;
use crate::sink::Sink;

/// What draining a backlog came to.
#[derive(Clone, Copy)]
pub(crate) struct Drained {
    /// Deliveries a second, of both destinations together.
    pub(crate) rate: f64,
    /// The relay's processor time a delivery, in microseconds.
    pub(crate) processor: f64,
}

/// Fills a backlog of so many signed 3 KB pushes while both destinations refuse connections, and
/// drains it to a sink by a relay that is started anew.
pub(crate) fn measure(events: usize) -> Drained {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), events);
    let sink = Sink::start(2 * events);
    let relay = Relay::start(folder.path(), &yaml(&to_both(sink.address)));
    let took = sink.all();
    relay.drained(&["first", "second"]);
    let processor = relay.processor_time();
    let deliveries = 2.0 * events as f64;
    Drained {
        rate: deliveries / took.as_secs_f64(),
        processor: processor.as_secs_f64() * 1e6 / deliveries,
    }
}

fn fill(folder: &std::path::Path, events: usize) {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let relay = Relay::start(folder, &yaml(&to_both(nobody)));
    let pushes = load::requests(events, "/hooks/gogs");
    let (accepted, _) = load::run(relay.hooks, CONNECTIONS, pushes);
    assert_eq!(accepted, events, "some were not accepted");
}

/// Two destinations at the same receiver.
pub(crate) fn to_both(receiver: SocketAddr) -> [(&'static str, String); 2] {
    ["first", "second"].map(|name| (name, format!("http://{receiver}/{name}")))
}

/// A relay.yaml with strict destinations of Gogs' format, which try again soon.
pub(crate) fn yaml(destinations: &[(&str, String)]) -> String {
    let mut yaml = "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n\
                    sources: { gogs: { secret: bench-secret } }\ndestinations:\n"
        .to_owned();
    for (name, url) in destinations {
        // Writing to a string cannot fail.
        let _ok = writeln!(
            yaml,
            "  {name}: {{ gogs: {{ url: '{url}', secret: receiver }}, retry: {{ first: 1s, max: 1s }} }}"
        );
    }
    yaml
}
