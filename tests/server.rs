//! Servers that misbehave in ways that real ones seldom do; each lives as long as the test process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Serves each connection with `answer` on a thread of its own.
pub fn serve(answer: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Accepts and never says anything.
pub fn black_hole() -> SocketAddr {
    serve(|stream| {
        thread::sleep(Duration::from_secs(120));
        drop(stream);
    })
}

/// Reads a request's head and answers with fixed bytes.
pub fn fixed(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes = bytes.into();
    serve(move |mut stream| {
        head(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

/// Answers with a body and the headers that it needs.
pub fn page(status: &str, headers: &str, body: &str) -> SocketAddr {
    fixed(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

/// The request's head as it came. Its body is read too, because who closes with something unread resets the connection.
pub fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut one = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut one).is_ok_and(|it| it == 1) {
        bytes.push(one[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        value.trim().parse::<usize>().ok().filter(|_| is_length)
    });
    let _ = stream.read_exact(&mut vec![0; length.unwrap_or(0)]);
    head
}

/// A port on which nothing listens.
pub fn closed() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// A port that is free now for a server of another program. It is below those that the system gives away by itself,
/// and each test gets others, so that nobody else takes it before the server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(61);
    loop {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (next % 12_000) as u16;
        let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if is_free {
            return port;
        }
    }
}

/// Answers datagrams with what `answer` makes of them.
pub fn datagrams(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    answer_at(UdpSocket::bind("127.0.0.1:0").expect("a free port"), answer)
}

/// The same at an address where something else listens for connections.
pub fn datagrams_at(at: SocketAddr, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
    answer_at(UdpSocket::bind(at).expect("a port that is free"), answer);
}

fn answer_at(
    socket: UdpSocket,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let address = socket.local_addr().expect("bound");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            if let Some(bytes) = answer(&buffer[..count]) {
                let _ = socket.send_to(&bytes, from);
            }
        }
    });
    address
}

/// Answers each datagram after some time, however many come meanwhile.
pub fn slow_datagrams(
    time: Duration,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let (socket, bytes) = (socket.try_clone(), answer(&buffer[..count]));
            thread::spawn(move || {
                thread::sleep(time);
                if let (Ok(socket), Some(bytes)) = (socket, bytes) {
                    let _ = socket.send_to(&bytes, from);
                }
            });
        }
    });
    address
}
