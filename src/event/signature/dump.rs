//! Reads a request that someone wrote down: request line, headers, a blank line, the body (RFC 9112, section 2.1), as
//! proxies, inspection tools and `nc` show it. Lines may end in LF alone; the body's bytes stay as they are. Called by
//! `midwatch verify`, never by the front door.

/// Most headers of a dump.
const MOST_HEADERS: usize = 200;

/// A request as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Its method, as written.
    pub method: String,
    /// Its target: a path with its query, or a whole URL.
    pub target: String,
    /// Header names (lower case) and values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The raw body.
    pub body: Vec<u8>,
    /// What the reader should know about how it was read.
    pub note: Option<String>,
}

impl Dump {
    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// Why a dump cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// No blank line ends the headers.
    #[error("the request has no blank line after its headers")]
    NoEnd,
    /// A line among the headers is none.
    #[error("line {0} of the request is no header")]
    Header(usize),
    /// Too many headers.
    #[error("the request has more than {MOST_HEADERS} headers")]
    TooMany,
    /// The body was sent in chunks, and their marks are in it.
    #[error(
        "the request's body is chunked: save it as its content, without the marks of the chunks"
    )]
    Chunked,
}

/// Reads `bytes` as a request; none if they do not begin like one, so that they are a body alone.
///
/// # Errors
/// It begins like a request, but cannot be read as one.
pub fn parse(bytes: &[u8]) -> Result<Option<Dump>, DumpError> {
    let (first, mut rest) = line(bytes);
    let Some((method, target)) = request_line(first) else {
        return Ok(None);
    };
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut number = 1;
    loop {
        if rest.is_empty() {
            return Err(DumpError::NoEnd);
        }
        let (text, after) = line(rest);
        rest = after;
        number += 1;
        if text.is_empty() {
            break;
        }
        if headers.len() == MOST_HEADERS {
            return Err(DumpError::TooMany);
        }
        headers.push(header(text).ok_or(DumpError::Header(number))?);
    }
    let mut dump = Dump {
        method,
        target,
        headers,
        body: rest.to_vec(),
        note: None,
    };
    let chunked = dump
        .header("transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    // Many tools leave the header and show the content: only where the marks are there is the body not the content.
    if chunked && begins_with_chunk(&dump.body) {
        return Err(DumpError::Chunked);
    }
    let length: Option<usize> = dump
        .header("content-length")
        .and_then(|length| length.trim().parse().ok());
    if let Some(length) = length {
        let there = dump.body.len();
        if there > length {
            dump.body.truncate(length);
            dump.note = Some(format!(
                "the body is {} bytes longer than its Content-Length of {length}: the rest is left out",
                there - length
            ));
        } else if there < length {
            dump.note = Some(format!(
                "the body has {there} bytes, but its Content-Length is {length}: it is not what was sent"
            ));
        }
    }
    Ok(Some(dump))
}

/// A header line: its name in lower case and its value, or none.
pub fn header(text: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&text[..colon]).ok()?;
    let good = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
    good.then(|| {
        (
            name.to_ascii_lowercase(),
            text[colon + 1..].trim_ascii().to_vec(),
        )
    })
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (text, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    (text.strip_suffix(b"\r").unwrap_or(text), rest)
}

fn request_line(text: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let good = words.next().is_none()
        && (1..=20).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && !target.is_empty()
        && version.starts_with("HTTP/");
    good.then(|| (method.to_owned(), target.to_owned()))
}

fn begins_with_chunk(body: &[u8]) -> bool {
    let (first, _) = line(body);
    let size = first.split(|byte| *byte == b';').next().unwrap_or_default();
    !size.is_empty() && size.len() <= 8 && size.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_its_body_kept_as_it_is() {
        let text = "POST /hooks/shop?a=1 HTTP/1.1\r\nHost: shop.example\r\nX-Sig:  abc \r\n\r\n{\"a\":1}\r\n";
        for text in [text.to_owned(), text.replacen("\r\n", "\n", 4)] {
            let dump = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (dump.method.as_str(), dump.target.as_str()),
                ("POST", "/hooks/shop?a=1")
            );
            assert_eq!(dump.header("x-sig"), Some("abc"));
            assert_eq!(dump.body, b"{\"a\":1}\r\n");
            assert_eq!(dump.note, None);
        }
    }

    #[test]
    fn what_does_not_begin_like_a_request_is_a_body() {
        for body in [
            &b""[..],
            b"{}",
            b"POST",
            b"payload=POST / HTTP/1.1",
            b"post / HTTP/1.1\n\n",
            b"\xff\xfe",
        ] {
            assert_eq!(parse(body), Ok(None));
        }
    }

    #[test]
    fn the_length_says_where_the_body_ends() {
        let dump = |body: &str| {
            let text = format!("POST / HTTP/1.1\nContent-Length: 2\n\n{body}");
            parse(text.as_bytes()).unwrap().unwrap()
        };
        assert_eq!((dump("{}").body, dump("{}").note), (b"{}".to_vec(), None));
        let longer = dump("{}\n");
        assert_eq!(longer.body, b"{}");
        assert!(longer.note.unwrap().contains("1 bytes longer"));
        assert!(dump("{").note.unwrap().contains("not what was sent"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let many = format!("GET / HTTP/1.1\n{}\n", "a: b\n".repeat(201));
        for (text, error) in [
            ("POST / HTTP/1.1\nHost: a\n", DumpError::NoEnd),
            ("POST / HTTP/1.1", DumpError::NoEnd),
            ("POST / HTTP/1.1\nHost a\n\n", DumpError::Header(2)),
            ("POST / HTTP/1.1\nA: b\nsp ace: a\n\n", DumpError::Header(3)),
            (
                "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n",
                DumpError::Chunked,
            ),
            (&many, DumpError::TooMany),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
        let shown = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n{}";
        assert_eq!(parse(shown.as_bytes()).unwrap().unwrap().body, b"{}");
    }
}
