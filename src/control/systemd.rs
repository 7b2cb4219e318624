//! Telling systemd how the service stands (`sd_notify(3)`): READY, RELOADING, STOPPING, WATCHDOG.
//!
//! One datagram each, to the socket that systemd names in `NOTIFY_SOCKET`; without it nothing is sent. Must never hold
//! the worker up or fail it. Called by `process`.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where notifications go.
#[derive(Debug)]
pub(super) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        Self {
            to: std::env::var_os("NOTIFY_SOCKET")
                .and_then(|name| address(&name))
                .and_then(|address| Some((UnixDatagram::unbound().ok()?, address))),
            watchdog: std::env::var("WATCHDOG_USEC")
                .ok()
                .and_then(|text| interval(&text)),
        }
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self {
            to: None,
            watchdog: None,
        }
    }

    /// How often systemd wants to hear `WATCHDOG=1`, halved as its manual advises.
    pub fn watchdog(&self) -> Option<Duration> {
        self.to.as_ref().and(self.watchdog)
    }

    /// Sends `state`, for example `READY=1`.
    pub fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.to
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

/// A path, or an abstract name after `@`.
fn address(name: &std::ffi::OsStr) -> Option<SocketAddr> {
    match name.as_bytes().split_first()? {
        (b'@', rest) => SocketAddr::from_abstract_name(rest).ok(),
        (b'/', _) => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

fn interval(microseconds: &str) -> Option<Duration> {
    let microseconds: u64 = microseconds.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_reaches_the_named_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier {
            to: address(path.as_os_str()).map(|to| (UnixDatagram::unbound().unwrap(), to)),
            watchdog: interval("30000000"),
        };
        notifier.tell("READY=1");
        let mut buffer = [0; 64];
        let length = systemd.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        assert_eq!(notifier.watchdog(), Some(Duration::from_secs(15)));
        assert!(address("relative".as_ref()).is_none() && address("".as_ref()).is_none());
        assert!(address("@midwatch-test".as_ref()).is_some());
    }
}
