//! A page that is served on loopback, for browsers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Failure;

/// What stands on the page and nowhere else.
pub(super) const TEXT: &str = "The weir lets the water through";

/// Serves the page until this program ends; where.
///
/// # Errors
/// Fails where it cannot listen.
pub(super) fn serve() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One after the other is enough for a browser that is driven by a test.
            let _ = answer(stream);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let limit = Some(Duration::from_secs(2));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let page = format!("<!doctype html><title>A weir</title><h1>{TEXT}</h1>");
    let length = page.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
    )
}
