//! The load: signed 3 KB pushes, each with its own id, hashes and text, over keep-alive connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The secret of the benched source.
pub(crate) const SECRET: &str = "bench-secret";

/// Whole requests, ready to be written to a socket.
pub(crate) fn requests(count: usize, path: &str) -> VecDeque<Vec<u8>> {
    let template = include_str!("push.json");
    (0..count)
        .map(|number| request(&push(template, number), path))
        .collect()
}

/// A push of its own: other hashes, other text.
pub(crate) fn push(template: &str, number: usize) -> String {
    let hash = uuid::Uuid::new_v4().simple().to_string();
    template
        .replace("{hash}", &hash[..30])
        .replace("{number}", &number.to_string())
}

fn request(body: &str, path: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key length will do");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let id = uuid::Uuid::new_v4();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GogsServer\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\nX-Github-Delivery: {id}\r\nX-Github-Event: push\r\n\
         X-Gogs-Delivery: {id}\r\nX-Gogs-Event: push\r\nX-Gogs-Signature: {signature}\r\n\
         Accept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends all requests over so many connections; the answers that were 202, and how long it took.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    requests: VecDeque<Vec<u8>>,
) -> (usize, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let requests = Arc::new(Mutex::new(requests));
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address)
                .await
                .expect("the server listens");
            stream.set_nodelay(true).expect("a TCP socket");
            streams.push(stream);
        }
        let started = Instant::now();
        let senders: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(drain(stream, requests.clone())))
            .collect();
        let mut accepted = 0;
        for sender in senders {
            accepted += sender.await.expect("a sender does not panic");
        }
        (accepted, started.elapsed())
    })
}

async fn drain(mut stream: TcpStream, requests: Arc<Mutex<VecDeque<Vec<u8>>>>) -> usize {
    let mut answer = vec![0; 4096];
    let mut accepted = 0;
    loop {
        let next = requests.lock().expect("no sender panics").pop_front();
        let Some(request) = next else { return accepted };
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
        accepted += usize::from(answer.starts_with(b"HTTP/1.1 202"));
    }
}
