//! HTTP/1.1 as far as a benchmark needs it: bytes out, responses with a `Content-Length` in.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A response longer than this is a mistake.
const REPLY_BYTES_MAX: usize = 4 << 20;

/// One response, in the buffer it was read into.
#[derive(Debug)]
pub struct Reply<'a> {
    pub status: u16,
    pub head: &'a [u8],
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// The value of the header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// The reason in a problem document, or nothing.
    pub fn reason(&self) -> Option<&str> {
        member(self.body, "\"reason\":\"").and_then(|rest| rest.split('"').next())
    }

    /// Whether a unit of work is in it.
    pub fn has_unit(&self) -> bool {
        member(self.body, "\"workUnit\":{").is_some()
    }
}

/// Reads responses off a stream, one after the other.
pub struct Replies<R> {
    from: R,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl<R> Replies<R> {
    pub fn new(from: R) -> Self {
        Self { from, buffer: vec![0; 16 << 10], begin: 0, end: 0 }
    }

    pub fn stream(&mut self) -> &mut R {
        &mut self.from
    }
}

impl<R: AsyncRead + Unpin> Replies<R> {
    pub async fn next(&mut self) -> io::Result<Reply<'_>> {
        let (status, head, length) = loop {
            if let Some(found @ (_, head, length)) = frame(&self.buffer[self.begin..self.end])?
                && self.end - self.begin >= head + length
            {
                break found;
            }
            self.fill().await?;
        };
        let begin = self.begin;
        self.begin += head + length;
        let whole = &self.buffer[begin..self.begin];
        Ok(Reply { status, head: &whole[..head], body: &whole[head..] })
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.begin > 0 {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        if self.end == self.buffer.len() {
            if self.end >= REPLY_BYTES_MAX {
                return Err(wrong("a response is too long"));
            }
            self.buffer.resize(self.end * 2, 0);
        }
        match self.from.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

pub async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await
}

/// Returns the value of `key` in a JSON text. Keys that occur once need no parser, which would cost more than
/// the server does.
pub fn member<'a>(body: &'a [u8], key: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    text.find(key).map(|at| &text[at + key.len()..])
}

/// Status, bytes of the head and of the body; `None` while the head is not all there.
fn frame(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..end + 4];
    let status = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let status = status.ok_or_else(|| wrong("no status line"))?;
    let length = header(head, "content-length").and_then(|value| value.parse().ok());
    Ok(Some((status, head.len(), length.ok_or_else(|| wrong("no content-length"))?)))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let named = |line: &&[u8]| {
        let (own, rest) = line.split_at(line.len().min(name.len()));
        rest.first() == Some(&b':') && own.eq_ignore_ascii_case(name.as_bytes())
    };
    let line = head.split(|byte| *byte == b'\n').find(named)?;
    std::str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
