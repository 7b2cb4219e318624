//! Follows the raw bytes of a connection and judges the head of each request as it was sent, because the parser behind
//! it forgives what lets two servers disagree about where a request ends (RFC 9112, sections 2.2, 3.2, 5.2, 6.1, 6.3;
//! request smuggling). Pure: bytes in, verdicts out. The guard feeds it; the routes ask it.

use std::collections::VecDeque;

/// Largest head that is kept for judgement, in bytes; the parser's own limit is smaller.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a line ends without CR LF")]
    BareLf,
    #[error("a control character stands in the head")]
    Control,
    #[error("a header is folded over two lines")]
    Fold,
    #[error("exactly one Host header is required")]
    Host,
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndCoding,
    #[error("Content-Length must be there once, as a plain number")]
    Length,
    #[error("the only Transfer-Encoding understood is chunked")]
    Coding,
    #[error("the head is too large")]
    TooLarge,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its head is sound. After a chunked body the connection ends: we do not follow chunks.
    Sound { chunked: bool },
    /// Refuse it and close the connection.
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// This many bytes of a body are still to come.
    Body(u64),
    /// Nothing that follows will be served.
    Blind,
}

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Tracker {
    place: Place,
    /// The head so far.
    head: Vec<u8>,
    /// Where the line under way begins in `head`.
    line: usize,
    verdicts: VecDeque<Verdict>,
}

impl Tracker {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Head,
            head: Vec::new(),
            line: 0,
            verdicts: VecDeque::new(),
        }
    }

    /// The verdict on the oldest request that was not asked about yet.
    pub(super) fn next_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// Takes the bytes that were read from the connection, in order.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Blind => return,
                Place::Body(left) => {
                    let here = left.min(bytes.len() as u64);
                    bytes = &bytes[here as usize..];
                    self.place = if left == here {
                        Place::Head
                    } else {
                        Place::Body(left - here)
                    };
                }
                Place::Head => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let piece = end.map_or(bytes, |end| &bytes[..=end]);
                    bytes = &bytes[piece.len()..];
                    if self.head.len() + piece.len() > MAX_HEAD {
                        self.refuse(Refusal::TooLarge);
                        return;
                    }
                    self.head.extend_from_slice(piece);
                    if end.is_some() {
                        self.end_of_line();
                    }
                }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.place = Place::Blind;
        self.head = Vec::new();
        self.verdicts.push_back(Verdict::Refused(refusal));
    }

    fn end_of_line(&mut self) {
        let line = &self.head[self.line..];
        if !line.ends_with(b"\r\n") {
            return self.refuse(Refusal::BareLf);
        }
        if line.len() > 2 {
            self.line = self.head.len();
            return;
        }
        if self.line == 0 {
            // RFC 9112, section 2.2: an empty line before the request line is ignored.
            self.head.clear();
            return;
        }
        match judge(&self.head) {
            Ok(Body::Length(length)) => {
                self.verdicts.push_back(Verdict::Sound { chunked: false });
                self.place = Place::Body(length);
                self.head.clear();
                self.line = 0;
            }
            Ok(Body::Chunked) => {
                self.verdicts.push_back(Verdict::Sound { chunked: true });
                self.place = Place::Blind;
                self.head = Vec::new();
            }
            Err(refusal) => self.refuse(refusal),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

/// Judges a whole head: request line and headers, every line ended by CR LF, and the empty line.
fn judge(head: &[u8]) -> Result<Body, Refusal> {
    let mut hosts = 0;
    let mut length = None;
    let mut chunked = false;
    for (number, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line
            .iter()
            .any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
        {
            return Err(Refusal::Control);
        }
        if number == 0 {
            continue;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Refusal::Fold);
        }
        // A line without a colon is the parser's to refuse.
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or(Refusal::Length)?;
            if length.replace(number).is_some() {
                return Err(Refusal::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Coding);
            }
            chunked = true;
        }
    }
    if hosts != 1 {
        return Err(Refusal::Host);
    }
    match (chunked, length) {
        (true, Some(_)) => Err(Refusal::LengthAndCoding),
        (true, None) => Ok(Body::Chunked),
        (false, length) => Ok(Body::Length(length.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOUND: Verdict = Verdict::Sound { chunked: false };

    fn verdicts(pieces: &[&[u8]]) -> Vec<Verdict> {
        let mut tracker = Tracker::new();
        for piece in pieces {
            tracker.feed(piece);
        }
        std::iter::from_fn(|| tracker.next_verdict()).collect()
    }

    #[test]
    fn heads() {
        use Refusal as R;
        let large = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
            "x".repeat(MAX_HEAD)
        );
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", SOUND),
            ("\r\n\r\nGET / HTTP/1.1\r\nhOsT:x\r\n\r\n", SOUND),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                Verdict::Sound { chunked: true },
            ),
            ("GET / HTTP/1.1\nHost: x\n\n", Verdict::Refused(R::BareLf)),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n",
                Verdict::Refused(R::BareLf),
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\n\n",
                Verdict::Refused(R::BareLf),
            ),
            (
                "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
                Verdict::Refused(R::BareLf),
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
                Verdict::Refused(R::Control),
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n",
                Verdict::Refused(R::Control),
            ),
            ("GET / HTTP/1.1\r\n\r\n", Verdict::Refused(R::Host)),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                Verdict::Refused(R::Host),
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
                Verdict::Refused(R::Fold),
            ),
            (
                "GET / HTTP/1.1\r\n\tHost: x\r\n\r\n",
                Verdict::Refused(R::Fold),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Verdict::Refused(R::LengthAndCoding),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Verdict::Refused(R::Coding),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Verdict::Refused(R::Coding),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                Verdict::Refused(R::Length),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n",
                Verdict::Refused(R::Length),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
                Verdict::Refused(R::Length),
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
                Verdict::Refused(R::Length),
            ),
            (&large, Verdict::Refused(R::TooLarge)),
        ] {
            assert_eq!(verdicts(&[head.as_bytes()]), [expected], "{head:.80}");
        }
    }

    #[test]
    fn bodies_are_skipped_whatever_they_look_like() {
        let body = "POST / HTTP/1.1\n\n";
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(
            verdicts(&[request.as_bytes(), request.as_bytes()]),
            [SOUND, SOUND]
        );
    }

    #[test]
    fn nothing_is_judged_after_a_refusal_or_a_chunked_body() {
        let sound = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(verdicts(&[b"GET / HTTP/1.1\n", sound]).len(), 1);
        let chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(verdicts(&[chunked, sound]).len(), 1);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_verdicts_are_the_same(cuts in proptest::collection::vec(0usize..160, 0..6)) {
            let stream = b"\r\nPOST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\ncdGET / HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nA: b\r\n\r\n";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(verdicts(&pieces), [SOUND, SOUND, Verdict::Refused(Refusal::Host)]);
        }
    }
}
