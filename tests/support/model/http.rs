//! The few bytes of HTTP/1.1 that the agents' clients speak: one request in, one JSON value or event stream out.
//!
//! Knows nothing of models or scenarios, and never trusts a length to be small: a request larger than `LARGEST` is an
//! error, not an allocation. The measured clients send plain bodies with a `content-length`; chunked bodies are read
//! too, since a client is free to switch. No client compressed its requests, so a `content-encoding` is not understood.
use std::io::{self, BufRead, Read, Write};

use serde_json::Value;

/// Far above any request seen (a long conversation is some hundred kilobytes).
const LARGEST: u64 = 64 << 20;

#[derive(Debug)]
pub struct Incoming {
    pub method: String,
    pub path: String,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Incoming {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The path without query and trailing slash.
    pub fn route(&self) -> &str {
        let path = self.path.split_once('?').map_or(&*self.path, |(path, _)| path);
        path.trim_end_matches('/')
    }

    pub fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

pub fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

/// The next request of a connection; `None` when the client has closed it between two requests.
pub fn read(input: &mut impl BufRead) -> io::Result<Option<Incoming>> {
    let Some(first) = line(input)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(malformed("request line"));
    };
    let mut headers = Vec::new();
    loop {
        let text = line(input)?.ok_or_else(|| malformed("end inside the headers"))?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').ok_or_else(|| malformed("header"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Incoming { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() };
    let chunked = request.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if chunked {
        request.body = read_chunks(input)?;
    } else if let Some(length) = request.header("content-length") {
        let length = length.parse().map_err(|_| malformed("content-length"))?;
        request.body = read_exactly(input, length)?;
    }
    Ok(Some(request))
}

pub fn write_json(out: &mut impl Write, request: &Incoming, status: u16, value: &Value) -> io::Result<()> {
    let body = value.to_string();
    let reason = if status == 200 { "OK" } else { "Not Found" };
    write!(out, "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())?;
    if request.method != "HEAD" {
        out.write_all(body.as_bytes())?;
    }
    out.flush()
}

/// Server-sent events. The stream has no length: closing the connection ends it, which the caller must do.
pub fn write_events(out: &mut impl Write, events: &[(&str, Value)]) -> io::Result<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nconnection: close\r\n\r\n")?;
    for (number, (name, data)) in events.iter().enumerate() {
        let mut data = data.clone();
        data["type"] = (*name).into();
        data["sequence_number"] = number.into();
        write!(out, "event: {name}\ndata: {data}\n\n")?;
    }
    out.flush()
}

fn read_chunks(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(input)?.ok_or_else(|| malformed("end inside a chunked body"))?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| malformed("chunk size"))?;
        if size == 0 {
            // Trailers, which nobody needs, up to the blank line.
            while line(input)?.is_some_and(|trailer| !trailer.is_empty()) {}
            return Ok(body);
        }
        if size > LARGEST - body.len() as u64 {
            return Err(malformed("chunked body too large"));
        }
        body.extend(read_exactly(input, size)?);
        line(input)?;
    }
}

fn read_exactly(input: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    if length > LARGEST {
        return Err(malformed("body too large"));
    }
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(malformed("end inside the body"));
    }
    Ok(body)
}

fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if input.take(1 << 16).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed request: {what}"))
}
