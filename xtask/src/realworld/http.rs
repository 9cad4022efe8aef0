//! Just enough HTTP/1.1 to be a client of the gateway.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// An answer, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Response {
    /// The value of a header, by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The data of each event of an event stream.
    pub(super) fn events(&self) -> impl Iterator<Item = &str> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(str::trim).filter(|data| !data.is_empty())
    }
}

/// Sends one request over a connection of its own and reads the whole answer.
///
/// # Errors
/// Fails where there is no answer within `limit` between two pieces of it, or it is not HTTP.
pub(super) fn request(
    address: SocketAddr,
    head: &str,
    headers: &[(&str, &str)],
    body: &str,
    limit: Duration,
) -> Result<Response, Failure> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut request = format!("{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Response, Failure> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("an answer without an end of its head")?;
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Ok(Response { status: status.parse()?, headers, body: String::from_utf8(body)? })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let end =
            rest.windows(2).position(|two| two == b"\r\n").ok_or("a chunk without its size")?;
        let size = std::str::from_utf8(&rest[..end])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
        let (start, stop) = (end + 2, end + 2 + size);
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(start..stop).ok_or("a chunk that is cut")?);
        rest = rest.get(stop + 2..).ok_or("a chunk that is cut")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole() {
        let response = parse(b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n3;x\r\n 1\n\r\n0\r\n\r\n");
        let response = response.expect("this is an answer");
        assert_eq!((response.status, response.header("content-type")), (200, Some("a")));
        assert_eq!(response.events().collect::<Vec<_>>(), ["1"]);
        let plain = parse(b"HTTP/1.1 404 Not Found\r\n\r\ngone").expect("this is an answer");
        assert_eq!((plain.status, plain.body.as_str()), (404, "gone"));
    }

    #[test]
    fn what_is_cut_is_an_error() {
        for cut in
            ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"]
        {
            assert!(parse(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
