//! What a single value may be: durations, sizes, fractions, addresses, names, pointers, references to secrets.
//! Each reader reports what was found and what is expected, and answers nothing if it reported.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::model::{RateLimit, SecretRef};
use super::reader::{Value, quoted};
use super::suggest::{alternatives, did_you_mean};
use crate::time::{Timestamp, parse_duration, short};

/// One day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// One millisecond: the shortest interval that means anything here.
pub(super) const INSTANT: Duration = Duration::from_millis(1);

impl<'a> Value<'a> {
    /// A duration in a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let read = self.as_text().and_then(parse_duration);
        match read {
            Some(duration) if range.contains(&duration) => Some(duration),
            Some(_) => {
                let expected = format!(
                    "a duration from {} to {}",
                    short(*range.start()),
                    short(*range.end())
                );
                self.wrong(&expected, None);
                None
            }
            None => {
                let suggestion = self
                    .is_integer()
                    .then(|| "write the unit too: `s`, `m`, `h` or `d`".to_owned());
                self.wrong(
                    "a duration such as \"15s\", \"5m\", \"2h\" or \"30d\"",
                    suggestion,
                );
                None
            }
        }
    }

    /// A point in time with its offset from UTC, as a text or as TOML's own date.
    pub(super) fn instant(&self) -> Option<Timestamp> {
        const EXPECTED: &str =
            "a time with its offset from UTC such as \"2026-11-23T20:00:00+01:00\"";
        let read = match (self.as_text(), self.as_date()) {
            (Some(text), _) => Timestamp::parse_rfc3339(text),
            (_, Some(date)) => Timestamp::parse_rfc3339(&date),
            _ => None,
        };
        if read.is_none() {
            self.wrong(EXPECTED, None);
        }
        read
    }

    /// A number of bytes in a range: `"256MiB"`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let read = self.as_text().and_then(parse_size);
        let expected = match read {
            Some(bytes) if range.contains(&bytes) => return Some(bytes),
            Some(_) => format!(
                "a size from {} to {}",
                show_size(*range.start()),
                show_size(*range.end())
            ),
            None => "a size such as \"512KiB\" or \"1MiB\"".to_owned(),
        };
        self.wrong(&expected, None);
        None
    }

    /// A fraction from 0 to 1, as a number or as a percentage: `0.2` or `"20%"`.
    pub(super) fn fraction(&self) -> Option<f64> {
        let read = match self.as_text() {
            Some(text) => text
                .trim()
                .strip_suffix('%')
                .and_then(|number| number.trim().parse::<f64>().ok())
                .map(|percent| percent / 100.0),
            None => self.as_number(),
        };
        let read = read.filter(|fraction| (0.0..=1.0).contains(fraction));
        if read.is_none() {
            self.wrong(
                "a fraction from 0 to 1, or a percentage such as \"5%\"",
                None,
            );
        }
        read
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        self.word_of(words, &alternatives(words.iter().map(|(word, _)| *word)))
    }

    /// One of a few words, where something else may stand too.
    pub(super) fn word_of<T: Clone>(
        &self,
        words: &[(&'static str, T)],
        expected: &str,
    ) -> Option<T> {
        let text = self.text(expected)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning.clone());
        }
        let known = words.iter().map(|(word, _)| *word);
        self.wrong(expected, did_you_mean(text, known));
        None
    }

    /// A name that exists elsewhere in the file. `what` says what of: "system", "channel".
    pub(super) fn reference<'k>(
        &self,
        what: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<String> {
        let text = self.filled(&format!("the name of a {what}"))?;
        check_reference(self, what, text, known).then(|| text.to_owned())
    }

    /// A list of texts, each with something in it.
    pub(super) fn texts(&self, expected: &str) -> Option<Vec<(Value<'a>, &'a str)>> {
        let items = self.list(expected)?;
        let count = items.len();
        let texts: Vec<_> = items
            .into_iter()
            .filter_map(|item| item.filled("a text").map(|text| (item, text)))
            .collect();
        (texts.len() == count).then_some(texts)
    }

    /// A reference to a secret. The text is never quoted: it may be the secret itself.
    pub(super) fn secret(&self, base: &Path) -> Option<SecretRef> {
        const EXPECTED: &str = "\"env:NAME\" or \"file:PATH\"";
        let complain = |message: &str, suggestion: Option<String>| {
            self.problems
                .error(self.at, &self.path, message, Some(EXPECTED), suggestion);
            None
        };
        let Some(text) = self.as_text() else {
            return complain(&format!("found {}", self.kind()), None);
        };
        match text.split_once(':') {
            Some(("env", name)) => {
                let good = name.chars().enumerate().all(|(at, c)| {
                    c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit())
                });
                if name.is_empty() || !good {
                    return complain("this is no name of an environment variable", None);
                }
                Some(SecretRef::Env(name.to_owned()))
            }
            Some(("file", path)) if path.contains('\0') || path.trim().is_empty() => {
                complain("this names no file", None)
            }
            Some(("file", path)) => Some(SecretRef::File(base.join(path))),
            Some((scheme, _)) if did_you_mean(scheme, ["env", "file"]).is_some() => complain(
                "unknown kind of secret",
                did_you_mean(scheme, ["env", "file"]),
            ),
            _ => complain(
                "found a text that is no reference; a secret itself must not stand in this file",
                Some(
                    "put it into a file that only you can read (chmod 600) and name that"
                        .to_owned(),
                ),
            ),
        }
    }

    /// A list of references to secrets. No text is quoted.
    pub(super) fn secrets(&self, expected: &str, base: &Path) -> Option<Vec<SecretRef>> {
        let Some(items) = self.items().filter(|items| !items.is_empty()) else {
            let message = format!("found {}", self.kind());
            self.problems
                .error(self.at, &self.path, &message, Some(expected), None);
            return None;
        };
        let secrets: Vec<_> = items.iter().map(|item| item.secret(base)).collect();
        secrets.into_iter().collect()
    }

    /// An absolute `http://` or `https://` URL without credentials, query or fragment; a slash at its end is dropped.
    pub(super) fn base_url(&self) -> Option<String> {
        const EXPECTED: &str = "an absolute URL such as \"https://shop.example\"";
        let text = self.filled(EXPECTED)?;
        let parsed = self.absolute_url(text, EXPECTED)?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            self.wrong(&format!("{EXPECTED}, without `?` and `#`"), None);
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    /// A path on a system, with its query: an absolute URL would carry the system's credentials elsewhere.
    pub(super) fn path(&self) -> Option<String> {
        const EXPECTED: &str = "a path on the system such as \"/orders?per_page=100\"";
        let text = self.text(EXPECTED)?;
        let good = text.starts_with('/')
            && !text.starts_with("//")
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !good {
            self.wrong(EXPECTED, None);
        }
        good.then(|| text.to_owned())
    }

    /// Parses an absolute URL and refuses what must not be in one.
    pub(super) fn absolute_url(&self, text: &str, expected: &str) -> Option<reqwest::Url> {
        let scheme = text.starts_with("https://") || text.starts_with("http://");
        let parsed = reqwest::Url::parse(text)
            .ok()
            .filter(|url| scheme && url.has_host() && !text.chars().any(char::is_whitespace));
        let Some(url) = parsed else {
            if text.contains('@') {
                // It may hold a password.
                self.error("this is no absolute http or https URL", None);
            } else {
                let bare = (!text.contains("://") && text.contains('.') && !text.starts_with('/'))
                    .then(|| format!("did you mean {}?", quoted(&format!("https://{text}"))));
                self.wrong(expected, bare);
            }
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.error(
                "a URL must not carry a user or a password",
                Some("use `auth = { basic = [\"file:user\", \"file:password\"] }`".to_owned()),
            );
            return None;
        }
        Some(url)
    }

    /// A JSON Pointer (RFC 6901); `""` means the whole value and is taken only if `whole`.
    pub(super) fn pointer(&self, whole: bool) -> Option<String> {
        let expected = if whole {
            "a JSON Pointer such as \"/results\", or \"\" for the whole answer"
        } else {
            "a JSON Pointer such as \"/id\""
        };
        let text = self.text(expected)?;
        let escapes = text
            .match_indices('~')
            .all(|(at, _)| matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
        if text.is_empty() && whole || text.starts_with('/') && escapes {
            return Some(text.to_owned());
        }
        let suggestion =
            (!text.is_empty() && !text.starts_with('/') && !text.contains(' ')).then(|| {
                let pointer = text.trim_start_matches("$.").replace('.', "/");
                format!("did you mean {}?", quoted(&format!("/{pointer}")))
            });
        self.wrong(expected, suggestion);
        None
    }

    /// A rate: `"90/10s"`, `"5/s"`.
    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        let read = self.as_text().and_then(|text| {
            let (count, per) = text.split_once('/')?;
            let per = per.trim();
            let per = if per.starts_with(|c: char| c.is_ascii_alphabetic()) {
                parse_duration(&format!("1{per}"))
            } else {
                parse_duration(per)
            };
            Some(RateLimit {
                count: count.trim().parse().ok()?,
                per: per?,
            })
        });
        let read = read.filter(|limit| limit.count > 0 && (INSTANT..=DAY).contains(&limit.per));
        if read.is_none() {
            self.wrong(
                "a number of requests and a time of at most a day, such as \"90/10s\"",
                None,
            );
        }
        read
    }

    /// The name of an HTTP header, as it was written.
    pub(super) fn header_name(&self) -> Option<String> {
        const EXPECTED: &str = "the name of an HTTP header such as \"X-Api-Key\"";
        let text = self.text(EXPECTED)?;
        if !is_header_name(text) {
            self.wrong(EXPECTED, None);
            return None;
        }
        Some(text.to_owned())
    }
}

/// Reports an unknown name with the nearest known one; true if it is known.
pub(super) fn check_reference<'k>(
    at: &Value<'_>,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> bool {
    check_known(at, what, "", name, known)
}

/// The same for a name that only `owner` knows.
pub(super) fn check_member<'k>(
    at: &Value<'_>,
    what: &str,
    owner: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> bool {
    check_known(at, what, &format!(" of {owner}"), name, known)
}

fn check_known<'k>(
    at: &Value<'_>,
    what: &str,
    owner: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> bool {
    let known: Vec<&str> = known.into_iter().collect();
    if known.contains(&name) {
        return true;
    }
    let suggestion = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
        if known.is_empty() {
            format!("no {what}{owner} is configured")
        } else {
            format!("known: {}", known.join(", "))
        }
    });
    at.error(
        &format!("unknown {what} {}{owner}", quoted(name)),
        Some(suggestion),
    );
    false
}

/// RFC 9110 section 5.6.2: a token.
pub(super) fn is_header_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A name of a system, path, channel or job: it stands in URLs, filters and on screens, so it is plain.
pub(super) fn check_name(at: &Value<'_>, name: &str) -> bool {
    let good = name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !good {
        at.problems.error(
            at.key_at,
            &at.path,
            "this name cannot be used",
            Some("at most 48 letters, digits, `-` and `_`, beginning with a letter or digit"),
            None,
        );
    }
    good
}

/// The address is one that requests reach only by leave (`private = true`): loopback, private, link-local, unspecified.
pub(super) fn is_private(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    if host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost") {
        return true;
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => {
                ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
            }
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
            }
        },
        Err(_) => false,
    }
}

/// Reads `512B`, `64KiB`, `1MiB`, `2GiB`, and the decimal `kB`, `MB`, `GB`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The size in the largest binary unit that divides it.
fn show_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, shown) in [
            ("1MiB", 1 << 20, "1MiB"),
            ("512 KiB", 512 << 10, "512KiB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("1500B", 1500, "1500B"),
            ("1MB", 1_000_000, "1000000B"),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
        }
        for bad in [
            "",
            "5",
            "MiB",
            "1 apple",
            "99999999999999999999MiB",
            "-1MiB",
        ] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn private_addresses_are_seen_through_their_disguises() {
        for (url, private) in [
            ("http://127.0.0.1:3000", true),
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://localhost:8080", true),
            ("http://[::1]/", true),
            ("http://[::ffff:10.0.0.1]/", true),
            ("http://192.168.1.4/", true),
            ("http://169.254.169.254/", true),
            ("https://shop.example", false),
            ("https://93.184.216.34/", false),
        ] {
            let url = reqwest::Url::parse(url).unwrap();
            assert_eq!(is_private(&url), private, "{url}");
        }
    }
}
