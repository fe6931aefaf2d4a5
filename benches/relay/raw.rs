//! The yardstick: the relay's own way from the socket to the answer, with an append-and-sync raw
//! file in place of the queue. What is lost against it is what the queue costs.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use gogs_relay::clock::Clock;
use gogs_relay::config;
use gogs_relay::event::EventId;
use gogs_relay::ingest::receive::receive;
use gogs_relay::ingest::{Ingest, Log};
use gogs_relay::plan::Templates;
use gogs_relay::queue::{Appended, Planned, QueueError, Repeats};
use gogs_relay::settings::Settings;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::relayed::refusing;

/// An event's body, and who waits for it to be synced.
type Waiting = (Bytes, oneshot::Sender<EventId>);

/// A file that bodies are appended to.
struct RawFile(mpsc::UnboundedSender<Waiting>);

/// Serves for ever in `folder`, as a relay with two destinations does; says where through
/// `started`.
pub(crate) async fn serve(folder: &Path, started: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let file = File::create(folder.join("raw"))?;
    let (log, waiting) = mpsc::unbounded_channel();
    std::thread::spawn(move || write(file, waiting));
    let (_replace, settings) = watch::channel(Arc::new(settings(folder)));
    let limits = settings.borrow().config.limits;
    let ingest = Ingest::new(limits, settings, RawFile(log), Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    started(listener.local_addr()?);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    // On the runtime's threads, as in the relay.
    tasks.spawn(receive(listener, Arc::new(ingest), tasks.clone(), stop));
    std::future::pending().await
}

fn settings(folder: &Path) -> Settings {
    let path = folder.join("relay.yaml");
    std::fs::write(&path, refusing(2)).expect("the folder is writable");
    let loaded = config::load(&path, &Default::default(), &|_| vec!["default".to_owned()]);
    let config = loaded.expect("a sound configuration").config;
    let (templates, _) = Templates::load(Path::new("no-such-folder"));
    Settings::new(config, Arc::new(templates)).expect("no patterns")
}

impl Log for RawFile {
    async fn append(&self, planned: Planned, _: Repeats) -> Result<Appended, QueueError> {
        let (done, synced) = oneshot::channel();
        let waiting = (planned.event.body, done);
        self.0.send(waiting).map_err(|_| QueueError::Closed)?;
        let id = synced.await.map_err(|_| QueueError::Closed)?;
        Ok(Appended::New(id))
    }
}

/// Takes what waits, appends it, syncs once, answers everyone.
fn write(mut file: File, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let (mut taken, mut bytes, mut next) = (Vec::new(), Vec::new(), 1);
    while waiting.blocking_recv_many(&mut taken, 1024) > 0 {
        bytes.clear();
        for (body, _) in &taken {
            bytes.extend_from_slice(body);
        }
        file.write_all(&bytes)
            .and_then(|()| file.sync_data())
            .expect("the disk has room");
        for (_, done) in taken.drain(..) {
            // Whoever went away needs no answer.
            let _gone = done.send(EventId(next));
            next += 1;
        }
    }
}
