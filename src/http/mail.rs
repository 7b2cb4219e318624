//! Mail: one page to the server of `[mail]` (RFC 5321), over TLS, within a deadline, never to a forbidden address.
//!
//! The answer is put into the words that HTTP has for it, so that a page by mail is retried and shown like any other.
//! Called by `Outbound::mail`.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::guard;
use super::reply::{Fault, Reply, SendError};
use crate::config::model::{Mail, Security};

/// What is sent by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same for every attempt at it, so that a mailbox can tell a repetition.
    pub id: String,
    /// The same for all letters of one incident, so that they stand together.
    pub thread: String,
}

/// Sends `letter` to `to`. `password` is that of the server's login.
pub(super) async fn send(
    mail: &Mail,
    password: Option<String>,
    to: &[String],
    letter: &Letter,
    timeout: Duration,
) -> Result<Reply, SendError> {
    let message = message(mail, to, letter)?;
    let sending = deliver(mail, password, &message, timeout);
    match tokio::time::timeout(timeout, sending).await {
        Ok(ended) => ended,
        Err(_) => Err(SendError::after(
            Fault::Timeout,
            format!("{} did not take the mail in time", mail.host),
        )),
    }
}

fn message(mail: &Mail, to: &[String], letter: &Letter) -> Result<Message, SendError> {
    let invalid = |what: &str, error: &dyn std::fmt::Display| {
        SendError::before(Fault::Invalid, format!("{what}: {error}"))
    };
    let read = |address: &String| {
        let parsed = address.parse();
        parsed.map_err(|error: lettre::address::AddressError| invalid(address, &error))
    };
    let domain = mail.from.rsplit('@').next().unwrap_or("localhost");
    let named = |id: &str| {
        let id: String = id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '.' })
            .collect();
        format!("<{id}@{domain}>")
    };
    let mut builder = Message::builder()
        .from(read(&mail.from)?)
        .subject(letter.subject.as_str())
        .message_id(Some(named(&letter.id)))
        .references(named(&letter.thread))
        // RFC 3834: nobody's absence notice answers it.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN);
    for address in to {
        builder = builder.to(read(address)?);
    }
    let built = builder.body(letter.text.clone());
    built.map_err(|error| invalid("the mail cannot be written", &error))
}

async fn deliver(
    mail: &Mail,
    password: Option<String>,
    message: &Message,
    timeout: Duration,
) -> Result<Reply, SendError> {
    let address = resolve(mail).await?;
    let tls = || {
        TlsParameters::new_rustls(mail.host.clone())
            .map_err(|error| SendError::before(Fault::Connect, error.to_string()))
    };
    let direct = match mail.security {
        Security::Tls => Some(tls()?),
        Security::StartTls | Security::None => None,
    };
    let hello = ClientId::default();
    let connected =
        AsyncSmtpConnection::connect_tokio1(address, Some(timeout), &hello, direct, None).await;
    let before = |error: Error| early(mail, &error);
    let mut connection = connected.map_err(before)?;
    if mail.security == Security::StartTls {
        connection.starttls(tls()?, &hello).await.map_err(before)?;
    }
    if let (Some((user, _)), Some(password)) = (&mail.login, password) {
        let login = Credentials::new(user.clone(), password);
        let answer = connection.auth(DEFAULT_MECHANISMS, &login).await;
        answer.map_err(|error| {
            if error.is_permanent() {
                // Whatever the server says of the password is not repeated.
                let words = format!("{} refuses user and password", mail.host);
                SendError::before(Fault::Secret, words)
            } else {
                early(mail, &error)
            }
        })?;
    }
    let sent = connection
        .send(message.envelope(), &message.formatted())
        .await;
    let reply = match sent {
        Ok(_) => Ok(Reply {
            status: 250,
            ..Reply::default()
        }),
        // The server said that it does not take it.
        Err(error) if error.status().is_some() => Err(early(mail, &error)),
        Err(error) => Err(SendError::after(Fault::Cut, words(mail, &error))),
    };
    connection.abort().await;
    reply
}

/// A failure before the mail was taken.
fn early(mail: &Mail, error: &Error) -> SendError {
    let fault = if error.is_permanent() {
        Fault::Invalid
    } else {
        Fault::Connect
    };
    SendError::before(fault, words(mail, error))
}

fn words(mail: &Mail, error: &Error) -> String {
    let mut text = format!("{}: {error}", mail.host);
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// The first address of the server; none of them may be forbidden.
async fn resolve(mail: &Mail) -> Result<SocketAddr, SendError> {
    let unknown = |why: String| SendError::before(Fault::Connect, format!("{}: {why}", mail.host));
    let found = tokio::net::lookup_host((mail.host.as_str(), mail.port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
    for address in &found {
        guard::check(address.ip(), mail.private)
            .map_err(|error| SendError::before(Fault::Address, error.to_string()))?;
    }
    let first = found.first().copied();
    first.ok_or_else(|| unknown("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::model::SecretRef;
    use crate::http::reply::Stage;

    /// A server that takes one mail, and answers its end with `answer`; with what it was told.
    async fn server(answer: &'static str) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let mut told = Vec::new();
            let mut in_data = false;
            write.write_all(b"220 mail.test\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                told.push(line.clone());
                let reply = match line.split([' ', ':']).next().unwrap_or_default() {
                    "." if in_data => {
                        in_data = false;
                        answer
                    }
                    _ if in_data => continue,
                    "EHLO" => "250-mail.test\r\n250 AUTH PLAIN LOGIN",
                    "AUTH" if answer.starts_with("535") => answer,
                    "AUTH" => "235 welcome",
                    "DATA" => {
                        in_data = true;
                        "354 go on"
                    }
                    "QUIT" => "221 bye",
                    _ => "250 fine",
                };
                if reply.is_empty() {
                    break;
                }
                let _ = write.write_all(format!("{reply}\r\n").as_bytes()).await;
            }
            told
        });
        (port, told)
    }

    async fn sent(answer: &'static str) -> (Result<Reply, SendError>, Vec<String>) {
        let (port, told) = server(answer).await;
        let mail = Mail {
            host: "127.0.0.1".to_owned(),
            port,
            security: Security::None,
            login: Some(("us".to_owned(), SecretRef::Env("NONE".to_owned()))),
            from: "midwatch@shop.test".to_owned(),
            private: true,
        };
        let letter = Letter {
            subject: "[Nordlys #7 CRITICAL] crm is down – 14 wait".to_owned(),
            text: "14 wait\n.\nlate 09:00".to_owned(),
            id: "abc".to_owned(),
            thread: "midwatch/Nordlys/7".to_owned(),
        };
        let to = ["bo@agency.test".to_owned(), "ops@shop.test".to_owned()];
        let password = Some("geheim".to_owned());
        let outcome = send(&mail, password, &to, &letter, Duration::from_secs(5)).await;
        (outcome, told.await.unwrap())
    }

    #[tokio::test]
    async fn a_letter_has_everybody_an_id_that_stays_and_no_line_that_ends_it_early() {
        let (outcome, told) = sent("250 taken").await;
        assert_eq!(outcome.unwrap().status, 250);
        let has = |wanted: &str| told.iter().any(|line| line == wanted);
        for line in [
            "MAIL FROM:<midwatch@shop.test>",
            "RCPT TO:<bo@agency.test>",
            "RCPT TO:<ops@shop.test>",
            "Message-ID: <abc@shop.test>",
            "References: <midwatch.Nordlys.7@shop.test>",
            "Auto-Submitted: auto-generated",
            "..",
        ] {
            assert!(has(line), "{line} is not in {told:#?}");
        }
    }

    #[tokio::test]
    async fn what_the_server_says_decides_whether_it_is_tried_again() {
        for (answer, stage, fault) in [
            ("451 later", Stage::Before, Fault::Connect),
            ("550 no such user", Stage::Before, Fault::Invalid),
            ("535 wrong password geheim", Stage::Before, Fault::Secret),
            // It hangs up instead of answering: it may have taken it.
            ("", Stage::After, Fault::Cut),
        ] {
            let error = sent(answer).await.0.unwrap_err();
            assert_eq!(
                (error.stage, error.fault),
                (stage, fault),
                "{answer}: {error}"
            );
            assert!(!error.text.contains("geheim"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_inside_the_house_is_asked_only_where_that_is_meant() {
        let mail = Mail {
            host: "127.0.0.1".to_owned(),
            port: 1,
            security: Security::Tls,
            login: None,
            from: "a@b.test".to_owned(),
            private: false,
        };
        let letter = Letter {
            subject: String::new(),
            text: String::new(),
            id: String::new(),
            thread: String::new(),
        };
        let to = ["a@b.test".to_owned()];
        let error = send(&mail, None, &to, &letter, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::Address);
    }
}
