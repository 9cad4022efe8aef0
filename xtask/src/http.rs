//! Just enough HTTP/1.1 to be a client of the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// The longest head, and the longest line within a body.
const HEAD_MAX: u64 = 64 * 1024;
/// The longest body.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// An answer, whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The data of each event of an event stream.
    pub(crate) fn events(&self) -> impl Iterator<Item = &str> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(str::trim).filter(|data| !data.is_empty())
    }

    /// The messages in it: the events of a stream, or the one that the body is.
    pub(crate) fn messages(&self) -> Vec<&str> {
        match self.header("content-type") {
            Some(kind) if kind.starts_with("text/event-stream") => self.events().collect(),
            _ if self.body.is_empty() => Vec::new(),
            _ => vec![&self.body],
        }
    }
}

/// A connection that is kept from one request to the next.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; nothing may take longer than `limit` without any progress.
    ///
    /// # Errors
    /// Fails where nobody listens.
    pub(crate) fn open(address: SocketAddr, limit: Duration) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// Fails where there is no answer in time, or it is not HTTP; the connection is of no more use then.
    pub(crate) fn request(
        &mut self,
        head: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response, Failure> {
        self.send(head, headers, body)?;
        read(&mut self.stream)
    }

    /// Sends one request, and does not wait for its answer.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub(crate) fn send(
        &mut self,
        head: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(), Failure> {
        let mut request = format!("{head} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }
}

/// Sends one request over a connection of its own and reads the whole answer.
///
/// # Errors
/// Fails where there is no answer within `limit` between two pieces of it, or it is not HTTP.
pub(crate) fn request(
    address: SocketAddr,
    head: &str,
    headers: &[(&str, &str)],
    body: &str,
    limit: Duration,
) -> Result<Response, Failure> {
    let close: &[(&str, &str)] = &[("connection", "close")];
    Connection::open(address, limit)?.request(head, &[close, headers].concat(), body)
}

fn read(from: &mut impl BufRead) -> Result<Response, Failure> {
    let first = line(from)?;
    let status = first.split(' ').nth(1).ok_or("no status")?.parse()?;
    let mut headers = Vec::new();
    let mut size = 0;
    loop {
        let line = line(from)?;
        let Some((name, value)) = line.split_once(':') else { break };
        size += line.len() as u64;
        if size > HEAD_MAX {
            return Err("a head without an end".into());
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|it| &*it.1);
    let mut body = Vec::new();
    if header("transfer-encoding") == Some("chunked") {
        while chunk(from, &mut body)? {}
    } else if let Some(length) = header("content-length") {
        piece(from, length.parse()?, &mut body)?;
    } else if status != 204 {
        from.take(BODY_MAX).read_to_end(&mut body)?;
    }
    Ok(Response { status, headers, body: String::from_utf8(body)? })
}

/// A line without its end.
fn line(from: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    from.take(HEAD_MAX).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(text) => Ok(text.to_owned()),
        None => Err("an answer that is cut".into()),
    }
}

/// Reads one chunk; whether another follows.
fn chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> Result<bool, Failure> {
    let size = line(from)?;
    let size = u64::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
    piece(from, size, body)?;
    match line(from)?.as_str() {
        "" => Ok(size > 0),
        _ => Err("a chunk that does not end where it should".into()),
    }
}

fn piece(from: &mut impl BufRead, size: u64, body: &mut Vec<u8>) -> Result<(), Failure> {
    if body.len() as u64 + size > BODY_MAX {
        return Err("a body over the cap".into());
    }
    match from.take(size).read_to_end(body)? as u64 == size {
        true => Ok(()),
        false => Err("an answer that is cut".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mut answer: &[u8]) -> Result<Response, Failure> {
        read(&mut answer)
    }

    #[test]
    fn answers_are_read_whole() {
        let mut two: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n3;x\r\n 1\n\r\n0\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\n\r\ngone";
        let response = read(&mut two).expect("this is an answer");
        assert_eq!((response.status, response.messages()), (200, vec!["1"]));
        let next = read(&mut two).expect("this is another");
        assert_eq!((next.status, next.messages()), (202, vec!["ok"]));
        let last = read(&mut two).expect("this is the last");
        assert_eq!((last.status, last.body.as_str()), (404, "gone"));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        for cut in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nab",
        ] {
            assert!(parse(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
