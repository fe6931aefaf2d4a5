//! How much memory the real binary takes: what strangers send costs no more than `limits.bytes`.

use std::thread;

use crate::binary::{Binary, unsigned_push};

const MIB: usize = 1 << 20;
const CLIENTS: usize = 100;

#[test]
fn a_hundred_unsigned_bodies_of_ten_mib_at_once_stay_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n\
                sources: { gogs: { secret: memory-test } }\ndestinations: { screen: { console: {} } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let relay = Binary::start(folder.path());
    let (idle, hooks) = (relay.peak_memory(), relay.hooks);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(move || unsigned_push(hooks, 10 * MIB)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let refused = statuses.iter().filter(|&&status| status == 401).count();
    let late = statuses.iter().filter(|&&status| status == 503).count();
    let peak = relay.peak_memory();
    figure!(
        "idle {idle} bytes; {CLIENTS} unsigned bodies of 10 MiB: peak {peak} bytes, {refused} refused, {late} found no room"
    );
    assert_eq!(refused + late, CLIENTS, "{statuses:?}");
    assert!(refused > 0);
    assert!(peak <= (64 * MIB + 40_000_000) as u64, "{peak} bytes");
}
