//! The load: signed 3 KB pushes, each with its own id, hashes and text, over keep-alive
//! connections. Two threads send, so that they are not what is measured.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The secret of the benched source.
pub(crate) const SECRET: &str = "bench-secret";
const THREADS: usize = 2;

/// Whole requests, ready to be written to a socket.
pub(crate) type Requests = VecDeque<Vec<u8>>;

pub(crate) fn requests(count: usize) -> Requests {
    let template = include_str!("push.json");
    (0..count)
        .map(|number| request(&push(template, number)))
        .collect()
}

/// A push of its own: other hashes, other text.
pub(crate) fn push(template: &str, number: usize) -> String {
    let hash = uuid::Uuid::new_v4().simple().to_string();
    template
        .replace("{hash}", &hash[..30])
        .replace("{number}", &number.to_string())
}

/// Whole: head and body.
pub(crate) fn request(body: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key length will do");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let id = uuid::Uuid::new_v4();
    format!(
        "POST /hooks/gogs HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GogsServer\r\n\
         Content-Length: {}\r\nContent-Type: application/json\r\nX-Github-Delivery: {id}\r\n\
         X-Github-Event: push\r\nX-Gogs-Delivery: {id}\r\nX-Gogs-Event: push\r\n\
         X-Gogs-Signature: {signature}\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends all requests over so many connections, each of which must be answered with 202; how long
/// it took.
pub(crate) fn run(address: SocketAddr, connections: usize, requests: Requests) -> Duration {
    let threads = THREADS.min(connections);
    let requests = Arc::new(Mutex::new(requests));
    let together = Barrier::new(threads + 1);
    let connections = connections / threads;
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| send(address, connections, &requests, &together)))
            .collect();
        together.wait();
        let started = Instant::now();
        for sender in senders {
            sender.join().expect("a sender does not panic");
        }
        started.elapsed()
    })
}

fn send(
    address: SocketAddr,
    connections: usize,
    requests: &Arc<Mutex<Requests>>,
    together: &Barrier,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address)
                .await
                .expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            streams.push(stream);
        }
        together.wait();
        let all = streams
            .into_iter()
            .map(|stream| drain(stream, requests.clone()));
        all.collect::<JoinSet<()>>().join_all().await;
    });
}

async fn drain(mut stream: TcpStream, requests: Arc<Mutex<Requests>>) {
    let mut answer = [0; 1024];
    loop {
        let next = requests.lock().expect("no sender panics").pop_front();
        let Some(request) = next else { return };
        stream.write_all(&request).await.expect("the server reads");
        let mut length = 0;
        // The answers are short and have a Content-Length; the body's end is a closing brace.
        while length == 0 || answer[length - 1] != b'}' {
            let read = stream
                .read(&mut answer[length..])
                .await
                .expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            length += read;
        }
        let is_accepted = answer.starts_with(b"HTTP/1.1 202");
        assert!(
            is_accepted,
            "{}",
            String::from_utf8_lossy(&answer[..length])
        );
    }
}
