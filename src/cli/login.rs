//! `midwatch login SYSTEM`: the first tokens of a system that hands them out (OAuth 2). A browser anywhere is enough: the
//! vendor's answer is listened for on this machine, or pasted.
//!
//! Works beside a running worker, which uses the new tokens with its next request. Shows no token; the code that may be
//! pasted works once, and only with what this process keeps to itself.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::context::Context;
use super::out;
use crate::config::live::Runtime;
use crate::config::model::{Auth, Config, Grant, OAuth2, System};
use crate::config::secret;
use crate::control::action::Action;
use crate::http::Outbound;
use crate::http::oauth::code::{self, Login, LoginError};
use crate::http::oauth::{self, health};
use crate::time::Clock;
use crate::visible::Visible;

/// How long the browser's answer is waited for: codes are short-lived, people are slow.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long one connection to the loopback address may take to say what it wants.
const CONNECTION: Duration = Duration::from_secs(5);
/// The longest request head, and the longest line that is pasted, in bytes.
const LONGEST: usize = 16 << 10;

/// Logs in to a system that uses OAuth 2, so that its tokens can be renewed from then on.
///
/// For a grant by code it prints an address to open in a browser, and waits for the browser to come back to the
/// configured redirect on this machine; over SSH the address that the browser ends at can be pasted instead. For client
/// credentials it fetches a token once and says so. A running worker uses the new tokens at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The system.
    system: String,
    /// Do not listen; ask for the address (or the code) that the browser ends at.
    #[arg(long)]
    paste: bool,
}

/// Logs in.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config()?;
    let system = named(&config, &args.system)?;
    let Auth::OAuth2(oauth) = &system.auth else {
        bail!(
            "{} does not use OAuth 2: there is nothing to log in to. `midwatch secret` replaces other secrets",
            system.name
        );
    };
    let runtime = Runtime::new(Arc::new(config.clone()), Vec::new());
    let (_kept, live) = watch::channel(Arc::new(runtime));
    let outbound = Outbound::new(live);
    match oauth.grant {
        Grant::ClientCredentials => {
            oauth::obtain(&outbound, system).await?;
            out::say(&format!("{}: a token was fetched", system.name))?;
        }
        Grant::AuthorizationCode => {
            let id = secret::read(&oauth.client_id)?;
            let login = code::begin(oauth, id.expose())?;
            let code = come_back(&login, oauth, args.paste).await?;
            oauth::redeem(&outbound, system, &code, &login.verifier).await?;
            out::say(&format!("{}: logged in", system.name))?;
        }
    }
    note(&config, &system.name, context).await;
    if let Some(health) = health::health(&config, &system.name, Clock::System.now()) {
        out::say(&format!("{}: {}", system.name, health.words))?;
    }
    Ok(super::OK)
}

/// Leaves a line in the log about who logged in, and lets paths go on that the system had paused. The tokens are kept
/// already: whether this works or not, the login did.
async fn note(config: &Config, system: &str, context: &Context) {
    if !config.site.database.exists() {
        // No worker ever ran: there is no log, and nothing is paused.
        return;
    }
    let noted = async {
        let acting = context.acting(config).await?;
        let action = Action::LoggedIn {
            system: system.to_owned(),
        };
        let done = acting.submit_plain(action).await;
        acting.close().await;
        done
    };
    if let Err(error) = noted.await {
        let why = crate::visible::line(&error.to_string(), 300);
        let _ = out::note(&format!("the log does not tell of this login: {why}"));
    }
}

fn named<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a System> {
    config.systems.get(name).ok_or_else(|| {
        let names: Vec<&str> = (config.systems.values())
            .filter(|system| matches!(system.auth, Auth::OAuth2(_)))
            .map(|system| system.name.as_str())
            .collect();
        let which = if names.is_empty() {
            "no system uses OAuth 2".to_owned()
        } else {
            format!("those that use OAuth 2: {}", names.join(", "))
        };
        anyhow!("no system is called {}; {which}", Visible::of(name))
    })
}

/// The code, however it comes back: to the loopback address, or pasted.
async fn come_back(login: &Login, oauth: &OAuth2, paste: bool) -> anyhow::Result<String> {
    let listener = match loopback(oauth).filter(|_| !paste) {
        Some((port, path)) => {
            let address = (Ipv4Addr::LOCALHOST, port);
            let bound = TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on 127.0.0.1:{port}, where the vendor sends the browser: --paste does without")
            })?;
            Some((bound, port, path))
        }
        None => None,
    };
    out::say(&format!(
        "Open this in a browser and agree:\n\n  {}\n",
        login.url
    ))?;
    let pasted = "paste the address that the browser ends at (it may show an error page), or the code, and press Enter";
    let typed = if let Some((_, port, _)) = &listener {
        out::say(&format!(
            "Waiting for the browser on 127.0.0.1:{port}. If it runs on another machine, {pasted}; or forward the port: ssh -L {port}:127.0.0.1:{port} ..."
        ))?;
        // What is no terminal has nobody who could paste.
        std::io::stdin().is_terminal()
    } else {
        out::say(&format!("Then {pasted}:"))?;
        true
    };
    let listens = listener.is_some();
    let listening = async {
        match listener {
            Some((listener, _, path)) => listen(login, &listener, &path).await,
            None => std::future::pending().await,
        }
    };
    let reading = async {
        if typed {
            read(login, listens).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        code = listening => code,
        code = reading => code,
        () = tokio::time::sleep(PATIENCE) => bail!("nothing came back within 15 minutes: begin again"),
    }
}

/// Port and path of the redirect, where it leads to this machine (RFC 8252, 7.3).
fn loopback(oauth: &OAuth2) -> Option<(u16, String)> {
    let url = Url::parse(oauth.redirect.as_deref()?).ok()?;
    let is_ours =
        url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    is_ours.then(|| {
        (
            url.port_or_known_default().unwrap_or(80),
            url.path().to_owned(),
        )
    })
}

/// Reads lines until one holds a code. The end of the input ends the login, unless the browser may still come back.
async fn read(login: &Login, listening: bool) -> anyhow::Result<String> {
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let read = std::io::stdin()
                .lock()
                .take(LONGEST as u64)
                .read_line(&mut line);
            read.map(|count| (count > 0).then_some(line))
        });
        let Some(line) = line.await?? else {
            if listening {
                std::future::pending::<()>().await;
            }
            bail!("nothing was pasted");
        };
        match login.code(&line) {
            Ok(code) => return Ok(code),
            Err(error @ LoginError::Refused(_)) => return Err(error.into()),
            Err(_) if line.trim().is_empty() => {}
            Err(error) => out::say(&error.to_string())?,
        }
    }
}

/// Answers on the loopback address until one request brings the code.
async fn listen(login: &Login, listener: &TcpListener, path: &str) -> anyhow::Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(Some(target)) = tokio::time::timeout(CONNECTION, asked(&mut stream)).await else {
            continue;
        };
        let (found, query) = target.split_once('?').unwrap_or((&target, ""));
        let outcome = if found == path {
            // Always as a query: here a bare code is none.
            Some(login.code(&format!("?{query}")))
        } else {
            // A browser's favicon, or somebody who looks around.
            None
        };
        let (status, words) = match &outcome {
            Some(Ok(_)) => (
                "200 OK",
                "Thank you. midwatch goes on in the terminal; this page can be closed.",
            ),
            Some(Err(LoginError::Refused(_))) => (
                "200 OK",
                "The vendor refused. The terminal says why; this page can be closed.",
            ),
            Some(Err(_)) => (
                "400 Bad Request",
                "This answer does not belong to the login that the terminal waits for.",
            ),
            None => ("404 Not Found", "There is nothing here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{words}",
            words.len()
        );
        // Whether the browser shows it or not, the code is here.
        let _ = tokio::time::timeout(CONNECTION, stream.write_all(answer.as_bytes())).await;
        match outcome {
            Some(Ok(code)) => return Ok(code),
            Some(Err(error @ LoginError::Refused(_))) => return Err(error.into()),
            Some(Err(error)) => out::say(&error.to_string())?,
            None => {}
        }
    }
}

/// What a GET asks for; none for anything else.
async fn asked(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 || head.len() + count > LONGEST {
            return None;
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    target.starts_with('/').then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::SecretRef;

    fn oauth(redirect: &str) -> OAuth2 {
        OAuth2 {
            grant: Grant::AuthorizationCode,
            token_url: "https://id.example/token".to_owned(),
            authorize_url: Some("https://id.example/authorize".to_owned()),
            client_id: SecretRef::Env("X".to_owned()),
            client_secret: None,
            scope: None,
            redirect: Some(redirect.to_owned()),
            secret_in_body: false,
        }
    }

    #[test]
    fn only_a_redirect_to_this_machine_is_listened_on() {
        for (redirect, expected) in [
            (
                "http://127.0.0.1:8765/back",
                Some((8765, "/back".to_owned())),
            ),
            ("http://localhost:80", Some((80, "/".to_owned()))),
            ("https://127.0.0.1:8765/back", None),
            ("https://shop.example/back", None),
            ("http://127.0.0.1.evil.example:8765/", None),
            ("urn:ietf:wg:oauth:2.0:oob", None),
        ] {
            assert_eq!(loopback(&oauth(redirect)), expected, "{redirect}");
        }
    }

    async fn get(port: u16, head: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_browser_is_told_and_only_its_own_answer_ends_the_wait() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let login =
            Arc::new(code::begin(&oauth(&format!("http://127.0.0.1:{port}/back")), "1").unwrap());
        let state = login
            .url
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned();
        let waiting = Arc::clone(&login);
        let task = tokio::spawn(async move { listen(&waiting, &listener, "/back").await });
        for (head, status) in [
            ("GET /favicon.ico HTTP/1.1\r\n\r\n".to_owned(), "404"),
            (
                format!("GET /other?code=c&state={state} HTTP/1.1\r\n\r\n"),
                "404",
            ),
            (
                "GET /back?code=c&state=forged HTTP/1.1\r\n\r\n".to_owned(),
                "400",
            ),
            ("GET /back HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ] {
            let answer = get(port, &head).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{head}: {answer}"
            );
            assert!(!task.is_finished(), "{head}");
        }
        assert_eq!(
            get(port, "POST /back HTTP/1.1\r\n\r\n").await,
            "",
            "no GET, no answer"
        );
        let answer = get(
            port,
            &format!("GET /back?code=c0de&state={state} HTTP/1.1\r\nhost: x\r\n\r\n"),
        )
        .await;
        assert!(
            answer.contains("can be closed") && !answer.contains("c0de"),
            "{answer}"
        );
        assert_eq!(task.await.unwrap().unwrap(), "c0de");
    }
}
