//! The loop of the tokens: which header goes with a request, and asking the token endpoint when there is none that is good.
//!
//! One renewal of a system at a time, in all processes that share the database (a file lock). A renewal runs in a task of
//! its own: whoever asked for it may give up, the answer is kept all the same. Called by `Outbound` and `midwatch login`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use super::endpoint::{self, Client, Refusal};
use super::file::{Cut, Lock, Stamp, Step, TokenFile};
use super::token::{Access, Plan, Stored, Trouble};
use crate::config::model::{Auth, Grant, OAuth2, System};
use crate::http::auth::AuthHeader;
use crate::http::outbound::Outbound;
use crate::http::redact::Secrets;
use crate::http::reply::{Fault, SendError};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;

/// How long a token endpoint may take.
const ENDPOINT: Duration = Duration::from_secs(15);
/// How long another process's renewal is waited for.
const LOCKED: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(25);
/// After a renewal that was refused, the next request that needs one fails in the same way until then.
const PAUSE: Duration = Duration::from_secs(30);
/// The same after the first that may go better the next time; each time twice as long as before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And at most so long: deliveries wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A token so young that is refused is not the reason for the refusal; nor is one in the first half of a life that is
/// shorter still.
const YOUNG: Duration = Duration::from_secs(30);

/// The tokens of all systems, as this process knows them.
#[derive(Default)]
pub(in crate::http) struct Tokens {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    pub(super) cut: Cut,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

#[derive(Default)]
struct Slot {
    /// Held while a token is obtained.
    gate: Arc<AsyncMutex<Gate>>,
    /// What was last read, and of which version of the file.
    seen: Mutex<Option<(Stamp, Arc<Stored>)>>,
}

#[derive(Default)]
struct Gate {
    failed: Option<Failed>,
    /// Granted, but the disk would not take it: written before anything else is asked.
    unsaved: Option<(Option<Stamp>, Stored)>,
}

impl Gate {
    /// The last renewal failed a moment ago.
    fn is_pausing(&self) -> bool {
        let failed = self.failed.as_ref();
        failed.is_some_and(|failed| failed.at.elapsed() < failed.pause)
    }
}

struct Failed {
    at: Instant,
    /// How long nothing more is asked.
    pause: Duration,
    /// What was on disk and what we are: with anything else it is worth another try.
    of: (Option<Stamp>, String),
    error: SendError,
}

/// The access token that went with a request.
#[derive(Clone)]
pub(in crate::http) struct Used {
    token: String,
    pub(in crate::http) header: AuthHeader,
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Used(..)")
    }
}

impl Used {
    fn of(access: &Access) -> Result<Self, SendError> {
        let text = format!("Bearer {}", access.token);
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| secret("the access token holds what no header may hold".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self {
            token: access.token.clone(),
            header: (AUTHORIZATION, value),
        })
    }
}

/// All that a renewal needs, of its own.
#[derive(Clone)]
struct Errand {
    outbound: Outbound,
    system: String,
    private: bool,
    oauth: Arc<OAuth2>,
    file: TokenFile,
    client: Arc<Client>,
    slot: Arc<Slot>,
    cut: Cut,
}

impl Tokens {
    fn slot(&self, system: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(system.to_owned()).or_default())
    }
}

/// What goes with a request to `system`. `refused`: what the system has just answered 401 to; then another one or none.
/// A renewal ahead of time is waited for by nobody.
pub(in crate::http) async fn header(
    outbound: &Outbound,
    system: &System,
    oauth: &Arc<OAuth2>,
    refused: Option<&Used>,
    deadline: Instant,
) -> Result<Option<Used>, SendError> {
    let errand = Errand::new(outbound, system, oauth)?;
    let stored = errand.current()?;
    let refused = refused.map(|used| used.token.clone());
    if refused.is_some() && Errand::is_young(&stored, refused.as_deref()) {
        return Ok(None);
    }
    let stored = match errand.plan(&stored, refused.as_deref()) {
        Plan::Use => stored,
        Plan::Ahead => {
            if let Ok(gate) = Arc::clone(&errand.slot.gate).try_lock_owned()
                && !gate.is_pausing()
            {
                tokio::spawn(async move {
                    if let Err(error) = errand.renew(gate, None, true).await {
                        tracing::warn!(error = %Visible::of(&error.text), "a token could not be renewed ahead of time");
                    }
                });
            }
            stored
        }
        Plan::Must => {
            let late = |_| {
                let text = format!("no token for {} in time", errand.system);
                SendError::before(Fault::Timeout, text)
            };
            let gate = timeout_at(deadline, Arc::clone(&errand.slot.gate).lock_owned())
                .await
                .map_err(late)?;
            let renewal = tokio::spawn(errand.clone().renew(gate, refused, false));
            timeout_at(deadline, renewal)
                .await
                .map_err(late)?
                .map_err(|_| secret(format!("the renewal of {}'s token failed", errand.system)))??
        }
        Plan::Login => return Err(errand.nobody(&stored)),
    };
    stored.access.as_ref().map(Used::of).transpose()
}

/// The system took `used`: its refresh token's predecessor is needed no more.
pub(in crate::http) fn worked(
    outbound: &Outbound,
    system: &System,
    oauth: &Arc<OAuth2>,
    used: &Used,
) {
    let slot = outbound.tokens().slot(&system.name);
    let is_pending = {
        let seen = slot.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = seen.as_ref().map(|(_, stored)| stored);
        stored.is_some_and(|stored| {
            stored.previous.is_some()
                && stored
                    .access
                    .as_ref()
                    .is_some_and(|access| access.token == used.token)
        })
    };
    let (true, Ok(errand)) = (is_pending, Errand::new(outbound, system, oauth)) else {
        return;
    };
    let Ok(gate) = Arc::clone(&slot.gate).try_lock_owned() else {
        return;
    };
    let token = used.token.clone();
    tokio::spawn(async move {
        // Best effort: an old refresh token more does no harm, and the next answer tries again.
        if let Err(error) = errand.forget_predecessor(&token).await {
            tracing::warn!(error = %Visible::of(&error.to_string()), "a token file could not be tidied");
        }
        drop(gate);
    });
}

/// Obtains a token for a system with client credentials now, whatever is there.
///
/// # Errors
/// What the token endpoint or the disk said; nothing is changed then.
pub async fn obtain(outbound: &Outbound, system: &System) -> Result<(), SendError> {
    let errand = Errand::of(outbound, system)?;
    let gate = Arc::clone(&errand.slot.gate).lock_owned().await;
    let held = errand
        .current()?
        .access
        .as_ref()
        .map(|access| access.token.clone());
    errand.renew(gate, held, false).await.map(|_| ())
}

/// Turns a code that the vendor sent the browser back with into tokens, and keeps them (RFC 6749, 4.1.3; RFC 7636, 4.5).
/// A running worker uses them with its next request.
///
/// # Errors
/// What the token endpoint or the disk said; nothing is changed then.
pub async fn redeem(
    outbound: &Outbound,
    system: &System,
    code: &str,
    verifier: &str,
) -> Result<(), SendError> {
    let errand = Errand::of(outbound, system)?;
    let lock = errand.lock().await?;
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", verifier),
    ];
    pairs.extend(
        errand
            .oauth
            .redirect
            .as_deref()
            .map(|at| ("redirect_uri", at)),
    );
    let asked = Clock::System.now();
    let granted =
        errand
            .ask(&pairs, &[code, verifier])
            .await?
            .map_err(|refusal| match refusal {
                Refusal::Grant(words) | Refusal::Final(words) => secret(errand.said(&words)),
                Refusal::Later(words) => SendError::before(Fault::Connect, errand.said(&words)),
            })?;
    let next = errand.blank().after(granted, None, asked);
    errand
        .keep(next, lock)
        .await
        .map_err(|(_, error)| errand.unkept(&error))?;
    Ok(())
}

fn secret(text: String) -> SendError {
    SendError::before(Fault::Secret, text)
}

impl Errand {
    fn of(outbound: &Outbound, system: &System) -> Result<Self, SendError> {
        match &system.auth {
            Auth::OAuth2(oauth) => Self::new(outbound, system, oauth),
            _ => Err(secret(format!("{} does not use OAuth 2", system.name))),
        }
    }

    fn new(outbound: &Outbound, system: &System, oauth: &Arc<OAuth2>) -> Result<Self, SendError> {
        let text = |reference| outbound.secret(reference).map_err(secret);
        let tokens = outbound.tokens();
        Ok(Self {
            client: Arc::new(Client {
                token_url: oauth.token_url.clone(),
                id: text(&oauth.client_id)?,
                secret: oauth.client_secret.as_ref().map(text).transpose()?,
                in_body: oauth.secret_in_body,
            }),
            file: TokenFile::of(&outbound.database(), &system.name),
            slot: tokens.slot(&system.name),
            cut: tokens.cut.clone(),
            outbound: outbound.clone(),
            system: system.name.clone(),
            private: system.private,
            oauth: Arc::clone(oauth),
        })
    }

    /// Nothing is known yet.
    fn blank(&self) -> Stored {
        Stored {
            client: self.client.name(),
            proof: self.client.proof(),
            ..Stored::default()
        }
    }

    /// What is on disk, read again only where it has changed. Another client's tokens are as good as none.
    fn current(&self) -> Result<Arc<Stored>, SendError> {
        let stamp = self.file.stamp();
        let mut seen = self
            .slot
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let (Some(stamp), Some((of, stored))) = (stamp, &*seen)
            && stamp == *of
            && stored.client == self.client.name()
        {
            return Ok(Arc::clone(stored));
        }
        let read = self.file.read().map_err(|error| {
            let file = self.file.path().to_string_lossy();
            secret(format!("the token file {file}: {error}"))
        })?;
        let stored = read
            .filter(|stored| stored.client == self.client.name())
            .unwrap_or_else(|| self.blank());
        let stored = Arc::new(stored);
        *seen = stamp.map(|stamp| (stamp, Arc::clone(&stored)));
        Ok(stored)
    }

    fn plan(&self, stored: &Stored, refused: Option<&str>) -> Plan {
        let plan = stored.plan(self.oauth.grant, &self.client.proof(), Clock::System.now());
        let held = stored.access.as_ref().map(|access| access.token.as_str());
        match plan {
            Plan::Use | Plan::Ahead if refused.is_some() && held == refused => {
                if self.oauth.grant == Grant::ClientCredentials || !stored.candidates().is_empty() {
                    Plan::Must
                } else {
                    Plan::Login
                }
            }
            plan => plan,
        }
    }

    /// The refused token has only just been obtained.
    fn is_young(stored: &Stored, refused: Option<&str>) -> bool {
        stored.access.as_ref().is_some_and(|access| {
            let half = |until: Timestamp| until.since(access.obtained) / 2;
            let young = access.until.map_or(YOUNG, |until| half(until).min(YOUNG));
            Some(access.token.as_str()) == refused
                && Clock::System.now().since(access.obtained) < young
        })
    }

    /// There is no token, and no way to one but a person's.
    fn nobody(&self, stored: &Stored) -> SendError {
        let why = match &stored.trouble {
            Some(trouble) => format!("its tokens are no good any more ({})", trouble.words),
            None if stored.access.is_some() => "its token has expired".to_owned(),
            None => "nobody has logged in to it".to_owned(),
        };
        secret(format!("{0}: {why}; run `midwatch login {0}`", self.system))
    }

    /// Obtains a token, unless another has meanwhile. `gate` is held until the end.
    async fn renew(
        self,
        mut gate: OwnedMutexGuard<Gate>,
        refused: Option<String>,
        ahead: bool,
    ) -> Result<Arc<Stored>, SendError> {
        let lock = self.lock().await?;
        let stored = self.current()?;
        match self.plan(&stored, refused.as_deref()) {
            Plan::Use => return Ok(stored),
            Plan::Ahead if !ahead => return Ok(stored),
            Plan::Login => return Err(self.nobody(&stored)),
            Plan::Ahead | Plan::Must => {}
        }
        let of = |errand: &Self| (errand.file.stamp(), errand.client.proof());
        if let Some(failed) = &gate.failed
            && gate.is_pausing()
            && failed.of == of(&self)
            && gate.unsaved.is_none()
        {
            return Err(failed.error.clone());
        }
        let before = gate.failed.as_ref().map(|failed| failed.pause);
        let result = self.renew_now(&mut gate, &stored, lock).await;
        gate.failed = result.as_ref().err().map(|error| Failed {
            at: Instant::now(),
            pause: match (error.fault, before) {
                (Fault::Secret, _) => PAUSE,
                (_, Some(before)) => (before * 2).min(LONGEST_PAUSE),
                (_, None) => FIRST_PAUSE,
            },
            of: of(&self),
            error: error.clone(),
        });
        result
    }

    async fn renew_now(
        &self,
        gate: &mut Gate,
        stored: &Stored,
        lock: Lock,
    ) -> Result<Arc<Stored>, SendError> {
        self.cut
            .at(Step::Locked)
            .map_err(|error| self.unkept(&error))?;
        if let Some((stamp, unsaved)) = gate.unsaved.take()
            && stamp == self.file.stamp()
        {
            return self.keep_or_hold(gate, unsaved, lock).await;
        }
        let mut said = Vec::new();
        let uses: Vec<Option<String>> = match self.oauth.grant {
            Grant::ClientCredentials => vec![None],
            Grant::AuthorizationCode => stored.candidates().into_iter().map(Some).collect(),
        };
        for used in uses {
            let mut pairs = vec![match &used {
                Some(_) => ("grant_type", "refresh_token"),
                None => ("grant_type", "client_credentials"),
            }];
            pairs.extend(used.as_deref().map(|token| ("refresh_token", token)));
            if used.is_none() {
                // A refresh asks for what was granted; only the first request names a scope.
                pairs.extend(self.oauth.scope.as_deref().map(|scope| ("scope", scope)));
            }
            // A token lives from the endpoint's answer on, not from when that has arrived.
            let asked = Clock::System.now();
            let answer = match self.ask(&pairs, used.as_deref().as_slice()).await {
                Ok(answer) => answer,
                Err(error) => return Err(self.note(stored, error, false, lock).await),
            };
            self.cut
                .at(Step::Answered)
                .map_err(|error| self.unkept(&error))?;
            match answer {
                Ok(granted) => {
                    let base = Stored {
                        proof: self.client.proof(),
                        ..stored.clone()
                    };
                    let mut next = base.after(granted, used.as_deref(), asked);
                    if self.oauth.grant == Grant::ClientCredentials {
                        // "A refresh token SHOULD NOT be included" (RFC 6749, 4.4.3): one that is, is of no use.
                        next.refresh = None;
                    }
                    return self.keep_or_hold(gate, next, lock).await;
                }
                Err(Refusal::Grant(words)) => said.push(words),
                Err(Refusal::Final(words)) => {
                    let error = secret(self.said(&words));
                    return Err(self.note(stored, error, true, lock).await);
                }
                Err(Refusal::Later(words)) => {
                    let error = SendError::before(Fault::Connect, self.said(&words));
                    return Err(self.note(stored, error, false, lock).await);
                }
            }
        }
        let words = self.said(&said.join("; "));
        let next = match self.oauth.grant {
            Grant::ClientCredentials => "look at its client id and secret".to_owned(),
            Grant::AuthorizationCode => format!("run `midwatch login {}`", self.system),
        };
        let error = secret(format!("{words}; {next}"));
        Err(self.note(stored, error, true, lock).await)
    }

    /// One request to the token endpoint. `secrets`: what must not come back in its words.
    async fn ask(
        &self,
        pairs: &[(&str, &str)],
        secrets: &[&str],
    ) -> Result<Result<endpoint::Granted, Refusal>, SendError> {
        let request = self.client.request(pairs);
        let sent = self.outbound.ask(self.private, &request, ENDPOINT).await;
        let mut reply = sent.map_err(|error| {
            // What the caller wanted to send was not sent, however far this came.
            let fault = match error.fault {
                Fault::Invalid | Fault::Address | Fault::Secret => Fault::Secret,
                Fault::Connect | Fault::Timeout | Fault::Cut => error.fault,
            };
            SendError::before(fault, self.said(&error.text))
        })?;
        if reply.status != 200 {
            let own = secrets.iter().copied().chain(self.client.secret.as_deref());
            reply.body = Secrets::of_texts(own).hide(reply.body);
        }
        Ok(endpoint::read(&reply))
    }

    fn said(&self, words: &str) -> String {
        format!("the token endpoint of {}: {words}", self.system)
    }

    fn unkept(&self, error: &io::Error) -> SendError {
        let file = self.file.path().to_string_lossy();
        secret(format!(
            "a new token of {} cannot be kept in {file}: {error}",
            self.system
        ))
    }

    /// Waits for the lock that all processes share.
    async fn lock(&self) -> Result<Lock, SendError> {
        let start = Instant::now();
        loop {
            match self.file.try_lock() {
                Ok(Some(lock)) => return Ok(lock),
                Err(error) => return Err(self.unkept(&error)),
                Ok(None) if start.elapsed() > LOCKED => {
                    let text = format!(
                        "another process has been renewing the token of {} for {}",
                        self.system,
                        short(LOCKED)
                    );
                    return Err(SendError::before(Fault::Timeout, text));
                }
                Ok(None) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Writes it; the disk's time is not the runtime's.
    async fn keep(&self, next: Stored, lock: Lock) -> Result<Arc<Stored>, (Stored, io::Error)> {
        let (file, cut) = (self.file.clone(), self.cut.clone());
        let written = tokio::task::spawn_blocking(move || {
            let result = file.write(&next, &lock, &cut);
            (next, file.stamp(), result)
        });
        let (next, stamp, result) = written
            .await
            .map_err(|error| (self.blank(), io::Error::other(error)))?;
        result.map_err(|error| (next.clone(), error))?;
        let stored = Arc::new(next);
        let mut seen = self
            .slot
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *seen = stamp.map(|stamp| (stamp, Arc::clone(&stored)));
        Ok(stored)
    }

    /// Keeps what was granted; what the disk refuses is held until it takes it, and not used before.
    async fn keep_or_hold(
        &self,
        gate: &mut Gate,
        next: Stored,
        lock: Lock,
    ) -> Result<Arc<Stored>, SendError> {
        let before = self.file.stamp();
        self.keep(next, lock).await.map_err(|(next, error)| {
            gate.unsaved = Some((before, next));
            self.unkept(&error)
        })
    }

    /// Writes beside the tokens why they could not be renewed, for those who only look. The error comes back.
    async fn note(
        &self,
        stored: &Stored,
        error: SendError,
        is_final: bool,
        lock: Lock,
    ) -> SendError {
        let trouble = Trouble {
            at: Clock::System.now(),
            words: error.text.clone(),
            is_final,
        };
        let next = Stored {
            trouble: Some(trouble),
            ..stored.clone()
        };
        if let Err((_, unkept)) = self.keep(next, lock).await {
            tracing::warn!(system = %Visible::of(&self.system), error = %Visible::of(&unkept.to_string()), "a failed renewal could not be noted");
        }
        error
    }

    async fn forget_predecessor(&self, token: &str) -> io::Result<()> {
        let Some(lock) = self.file.try_lock()? else {
            return Ok(());
        };
        let stored = self.current().map_err(io::Error::other)?;
        let is_same = stored
            .access
            .as_ref()
            .is_some_and(|access| access.token == token);
        if is_same && stored.previous.is_some() {
            let next = Stored {
                previous: None,
                ..(*stored).clone()
            };
            self.keep(next, lock).await.map_err(|(_, error)| error)?;
        }
        Ok(())
    }
}
