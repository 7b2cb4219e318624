//! `midwatch doctor`: is this machine, this user and this configuration fit for the work? Each finding says what to do.
//!
//! Reads only; never shows a secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::Context;
use super::out;
use crate::config::model::Config;
use crate::config::secret;
use crate::http::oauth::health;
use crate::store::view::{Lock, Overview, Severity, WorkerRow};
use crate::store::{ReadError, Reader, Soundness};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;
use crate::watch::{About, SILENCE, wrong_now};

/// A write-ahead log larger than this should have been folded back (bytes).
const LARGE_WAL: u64 = 64 << 20;

/// How long a look through the file may take unless a deep one was asked for.
const QUICK: std::time::Duration = std::time::Duration::from_secs(20);

/// A heartbeat so far ahead means that a clock was set back.
const CLOCK_SLACK: std::time::Duration = std::time::Duration::from_secs(5);

/// Looks for what could keep midwatch from working, and says what to do about it.
///
/// With --json one object a line: check, level (ok, warning, critical), found, next (what to do, or null). Exit code 1 if
/// there is a warning, 2 if something is critical.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Compare every index with its table too, however long that takes.
    #[arg(long)]
    deep: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Critical,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    next: Option<String>,
}

fn fine(check: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        check,
        level: Level::Ok,
        found: found.into(),
        next: None,
    }
}

fn bad(
    check: &'static str,
    level: Level,
    found: impl Into<String>,
    next: impl Into<String>,
) -> Finding {
    Finding {
        check,
        level,
        found: found.into(),
        next: Some(next.into()),
    }
}

/// Examines and reports.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let mut findings = vec![fine("sqlite", format!("SQLite {}", rusqlite::version()))];
    let now = Clock::System.now();
    match crate::config::load(&context.config_file()?) {
        Ok(loaded) => {
            findings.push(if loaded.warnings.is_empty() {
                fine("config", "the configuration is good")
            } else {
                let found = crate::config::report::render(&loaded.warnings);
                let next = "`midwatch check` shows them again";
                bad("config", Level::Warning, found.trim_end(), next)
            });
            examine(&mut findings, &loaded.config, now, args.deep);
        }
        Err(wrong) => findings.push(bad(
            "config",
            Level::Critical,
            crate::config::report::render(&wrong).trim_end(),
            "mend the file; the rest is examined once it can be read",
        )),
    }
    findings.push(logind());
    let worst = findings.iter().map(|finding| finding.level).max();
    for finding in &findings {
        if args.json {
            out::json(finding)?;
            continue;
        }
        let mark = match finding.level {
            Level::Ok => "ok      ",
            Level::Warning => "warning ",
            Level::Critical => "critical",
        };
        let mut text = format!("{mark}  {:<11} {}", finding.check, finding.found);
        if let Some(next) = &finding.next {
            text.push_str("\n          -> ");
            text.push_str(next);
        }
        out::say(&text)?;
    }
    Ok(match worst {
        Some(Level::Critical) => super::CRITICAL,
        Some(Level::Warning) => super::FAILED,
        Some(Level::Ok) | None => super::OK,
    })
}

fn examine(findings: &mut Vec<Finding>, config: &Config, now: Timestamp, deep: bool) {
    let database = &config.site.database;
    findings.push(fine(
        "time zone",
        format!(
            "{}: it is {} there",
            config.site.timezone,
            now.in_zone(config.site.timezone, "%Y-%m-%d %H:%M:%S %Z")
        ),
    ));
    findings.extend(secrets(config));
    findings.extend(tokens(config, now));
    findings.extend(public(config));
    findings.push(disk(config));
    if !database.exists() {
        findings.push(fine(
            "database",
            "there is none yet; the first start makes it",
        ));
        return;
    }
    findings.extend(permissions(config));
    findings.extend(folder(database));
    findings.push(wal(database));
    match Reader::open(database).map_err(|error| error.to_string()) {
        Ok(reader) => match reader.overview() {
            Ok(overview) => {
                let limit = if deep { None } else { Some(QUICK) };
                findings.push(sound(reader.damage(limit), deep));
                findings.push(worker(&overview.worker, now));
                findings.extend(senders(&overview, config));
                if let Some(host) = overview.foreign_host {
                    findings.push(bad(
                        "host",
                        Level::Critical,
                        format!(
                            "the database is of host {}: everything is held",
                            Visible::of(&host)
                        ),
                        "`midwatch adopt-host`, once the other host no longer delivers",
                    ));
                }
                if let Some(trouble) = overview.trouble {
                    let next = "nothing is accepted until it is mended; it goes on by itself then";
                    findings.push(bad("store", Level::Critical, trouble, next));
                }
            }
            Err(error) => findings.push(unreadable(&error.to_string())),
        },
        Err(error) => findings.push(unreadable(&error)),
    }
}

/// What was found when the file was looked through, quickly or `deep`.
fn sound(found: Result<Soundness, ReadError>, deep: bool) -> Finding {
    match found {
        Ok(Soundness::Sound) if deep => fine("database", "it is sound"),
        Ok(Soundness::Sound) => fine("database", "it is sound, as far as a quick check sees"),
        Ok(Soundness::Unknown) => bad(
            "database",
            Level::Warning,
            format!(
                "a quick check found no damage within {}, and did not see all of the file",
                short(QUICK)
            ),
            "`midwatch doctor --deep` looks through all of it",
        ),
        Ok(Soundness::Damaged(what)) => unreadable(&what),
        Err(error) => unreadable(&error.to_string()),
    }
}

fn unreadable(error: &str) -> Finding {
    let next =
        "check its owner and mode; if it is damaged, stop the worker and restore the last backup";
    bad("database", Level::Critical, error, next)
}

fn secrets(config: &Config) -> Vec<Finding> {
    let wrong: Vec<Finding> = (secret::unreadable(config).into_iter())
        .map(|words| {
            let next = "this user must be able to read it, and nobody else: chmod 600, or set the variable";
            bad("secrets", Level::Critical, words, next)
        })
        .collect();
    if wrong.is_empty() {
        vec![fine(
            "secrets",
            format!("{} can be read", secret::all(config).len()),
        )]
    } else {
        wrong
    }
}

/// What systems have handed out: does anybody have to log in before long?
fn tokens(config: &Config, now: Timestamp) -> Vec<Finding> {
    let finding = |health: health::Health| {
        let found = format!("{}: {}", health.system, Visible::of(&health.words));
        if !health.is_known {
            let next = "run this as the worker's user";
            return bad("tokens", Level::Warning, found, next);
        }
        let next = "see it with `midwatch probe`; `midwatch login` gets new tokens";
        match health.level {
            health::Level::Ok => fine("tokens", found),
            health::Level::Warn => bad("tokens", Level::Warning, found, next),
            health::Level::Bad => bad("tokens", Level::Critical, found, next),
        }
    };
    health::all(config, now).into_iter().map(finding).collect()
}

/// Do those who call know where to?
fn public(config: &Config) -> Option<Finding> {
    let mut names = config.systems.values().filter(|one| one.hooks.is_some());
    let first = names.next()?;
    let Some(address) = &config.site.public_url else {
        return Some(bad(
            "public url",
            Level::Warning,
            format!(
                "{} sends webhooks, but site.public_url is not set: which webhooks call this address cannot be told",
                first.name
            ),
            "set it to what the vendors call; `midwatch proxy nginx` shows what the web server must pass on",
        ));
    };
    Some(fine("public url", format!("vendors call {address}")))
}

/// What is wrong with those who send, as the worker last found it.
fn senders(overview: &Overview, config: &Config) -> Vec<Finding> {
    let troubles = wrong_now(overview, &[], config).into_iter();
    let found: Vec<Finding> = troubles
        .filter(|trouble| trouble.about == About::Sender)
        .map(|trouble| {
            let level = match trouble.severity {
                Severity::Critical => Level::Critical,
                Severity::Warning | Severity::Info => Level::Warning,
            };
            let next = "`midwatch probe SYSTEM` shows whether it can be worked with, and what it must call";
            bad("senders", level, trouble.words, next)
        })
        .collect();
    match (
        found.is_empty(),
        overview.senders.is_empty() && overview.polls.is_empty(),
    ) {
        (true, false) => vec![fine(
            "senders",
            "nothing is wrong with those who were heard",
        )],
        _ => found,
    }
}

fn disk(config: &Config) -> Finding {
    let folder = config
        .site
        .database
        .ancestors()
        .find(|place| place.is_dir());
    let Some(status) = folder.and_then(|folder| rustix::fs::statvfs(folder).ok()) else {
        let next = "check the folder of site.database";
        return bad("disk", Level::Warning, "free space could not be read", next);
    };
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    let reserve = config.limits.disk_reserve;
    let found = format!(
        "{} MiB free, {} MiB are kept back",
        free >> 20,
        reserve >> 20
    );
    if free < reserve {
        let next = "free space: events are refused (503) until there is more than the reserve";
        bad("disk", Level::Critical, found, next)
    } else if free / 2 < reserve {
        bad(
            "disk",
            Level::Warning,
            found,
            "free space soon, or move the database",
        )
    } else {
        fine("disk", found)
    }
}

fn permissions(config: &Config) -> Vec<Finding> {
    let allowed = if config.site.group.is_some() {
        0o770
    } else {
        0o700
    };
    let mut wrong = Vec::new();
    for suffix in ["", "-wal", "-shm", ".lock", ".sock"] {
        let file = beside(&config.site.database, suffix);
        let Ok(metadata) = std::fs::metadata(&file) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !allowed & 0o777 != 0 {
            let name = Visible::of(&file.to_string_lossy());
            wrong.push(bad(
                "permissions",
                Level::Critical,
                format!("{name} is open to others (mode {mode:o})"),
                format!("chmod {:o} {name}", mode & allowed),
            ));
        }
    }
    if wrong.is_empty() {
        vec![fine("permissions", "the database's files are private")]
    } else {
        wrong
    }
}

/// Whether files can be made beside the database: its log and index are.
fn folder(database: &Path) -> Option<Finding> {
    let folder = database.parent().filter(|folder| folder.is_dir())?;
    let name = Visible::of(&folder.to_string_lossy());
    let mounted = rustix::fs::statvfs(folder).ok()?;
    if mounted
        .f_flag
        .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    {
        return Some(bad(
            "folder",
            Level::Critical,
            format!("{name} is on a file system that is mounted read-only: nothing can be stored"),
            "look why (dmesg names a failing disk), then `mount -o remount,rw`, or move the database",
        ));
    }
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
        return Some(bad(
            "folder",
            Level::Warning,
            format!(
                "this user cannot write in {name}: it cannot work the database, nor read it while no worker runs"
            ),
            "run this as the worker's user; if this is it: chown the folder",
        ));
    }
    None
}

fn wal(database: &Path) -> Finding {
    let size = std::fs::metadata(beside(database, "-wal")).map_or(0, |metadata| metadata.len());
    let found = format!("the write-ahead log has {} MiB", size >> 20);
    if size > LARGE_WAL {
        let next =
            "something reads for very long: close other programs that have the database open";
        bad("wal", Level::Warning, found, next)
    } else {
        fine("wal", found)
    }
}

/// Who holds the lock, and does it live?
fn worker(row: &WorkerRow, now: Timestamp) -> Finding {
    let last = format!("last sign of life {} ago", short(now.since(row.heartbeat)));
    if row.heartbeat > now + CLOCK_SLACK {
        return bad(
            "worker",
            Level::Warning,
            format!(
                "the last sign of life is {} ahead of this clock",
                short(row.heartbeat.since(now))
            ),
            "the clock was set back: check time synchronisation (timedatectl)",
        );
    }
    let start = "start one: `midwatch`, or `midwatch worker` as a service";
    match row.lock {
        Lock::Held { pid } if now.since(row.heartbeat) > SILENCE => bad(
            "worker",
            Level::Critical,
            format!("process {pid} holds the database, but gives no sign of life, {last}"),
            format!("look at its log; if it hangs: kill {pid}, then start it again"),
        ),
        Lock::Held { pid } => fine(
            "worker",
            format!(
                "process {pid} works the database (midwatch {}), {last}",
                Visible::of(&row.version)
            ),
        ),
        Lock::Unknown => bad(
            "worker",
            Level::Warning,
            format!("the writer's lock cannot be read, {last}"),
            "run this as the worker's user, or make the .lock file readable",
        ),
        Lock::Free if row.epoch == 0 => {
            bad("worker", Level::Warning, "no worker has run yet", start)
        }
        Lock::Free => bad(
            "worker",
            Level::Critical,
            format!("no worker runs, {last}: nothing is accepted or delivered"),
            start,
        ),
    }
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Does the login manager kill what a user leaves behind?
fn logind() -> Finding {
    let mut texts = Vec::new();
    for root in ["/usr/lib/systemd", "/etc/systemd", "/run/systemd"] {
        texts.extend(std::fs::read_to_string(Path::new(root).join("logind.conf")).ok());
        let Ok(entries) = std::fs::read_dir(Path::new(root).join("logind.conf.d")) else {
            continue;
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        texts.extend(
            files
                .iter()
                .filter_map(|file| std::fs::read_to_string(file).ok()),
        );
    }
    let lingers = std::env::var("USER")
        .is_ok_and(|user| Path::new("/var/lib/systemd/linger").join(user).exists());
    if kills(&texts) && !lingers {
        return bad(
            "logind",
            Level::Warning,
            "KillUserProcesses=yes: a worker inside a console dies when its SSH session ends",
            "run `midwatch worker` as a system service, or `loginctl enable-linger`",
        );
    }
    fine("logind", "a worker survives the end of its session")
}

/// The last setting wins.
fn kills(texts: &[String]) -> bool {
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("KillUserProcesses"))
        .filter_map(|rest| rest.trim_start().strip_prefix('='))
        .next_back()
        .is_some_and(|value| {
            matches!(
                value.trim().to_ascii_lowercase().as_str(),
                "yes" | "true" | "1" | "on"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_logind_setting_wins_and_comments_are_not_settings() {
        let texts = |all: &[&str]| {
            all.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        for (all, expected) in [
            (texts(&[]), false),
            (texts(&["[Login]\n#KillUserProcesses=yes\n"]), false),
            (texts(&["[Login]\nKillUserProcesses=yes\n"]), true),
            (
                texts(&["KillUserProcesses = Yes", "KillUserProcesses=no"]),
                false,
            ),
        ] {
            assert_eq!(kills(&all), expected, "{all:?}");
        }
    }

    #[test]
    fn a_file_is_sound_damaged_or_not_wholly_seen_and_says_what_to_do() {
        let damaged = || Soundness::Damaged("*** in database main ***\nPage 7: never used".into());
        let table = [
            (Soundness::Sound, false, Level::Ok, "as far as a quick", ""),
            (Soundness::Sound, true, Level::Ok, "it is sound", ""),
            (
                Soundness::Unknown,
                false,
                Level::Warning,
                "did not see all of the file",
                "--deep",
            ),
            (
                damaged(),
                false,
                Level::Critical,
                "Page 7: never used",
                "restore the last backup",
            ),
            (
                damaged(),
                true,
                Level::Critical,
                "Page 7: never used",
                "restore the last backup",
            ),
        ];
        for (found, deep, level, words, next) in table {
            let told = sound(Ok(found.clone()), deep);
            assert_eq!((told.check, told.level), ("database", level), "{found:?}");
            assert!(told.found.contains(words), "{}", told.found);
            let told = told.next.unwrap_or_default();
            assert!(told.contains(next) && told.is_empty() == next.is_empty());
        }
    }

    #[test]
    fn who_sends_has_to_know_where_to() {
        let hooks = "[systems.shop]\nhooks = { recipe = \"woocommerce\", secrets = [\"env:X\"] }\n";
        let site = "[site]\npublic_url = \"https://shop.example/_midwatch\"\n";
        for (text, expected) in [
            (String::new(), None),
            ("[systems.shop]\n".to_owned(), None),
            (hooks.to_owned(), Some(Level::Warning)),
            (format!("{site}{hooks}"), Some(Level::Ok)),
        ] {
            let file = Path::new("/srv/midwatch.toml");
            let config = match crate::config::parse(&text, file) {
                Ok(loaded) => loaded.config,
                Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
            };
            let found = public(&config).map(|finding| finding.level);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_webhook_that_was_disabled_is_critical_here_too() {
        use crate::store::view::SenderRow;
        let text = "[systems.shop]\nhooks = { recipe = \"woocommerce\", secrets = [\"env:X\"] }\n";
        let mut config = match crate::config::parse(text, Path::new("/srv/midwatch.toml")) {
            Ok(loaded) => loaded.config,
            Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
        };
        let hooks = config.systems.get_mut("shop").unwrap().hooks.as_mut();
        hooks.unwrap().watch = Some(std::time::Duration::from_secs(900));
        let levels = |state: &str| {
            let overview = Overview {
                senders: vec![SenderRow {
                    system: "shop".to_owned(),
                    state: Some(state.to_owned()),
                    ..SenderRow::default()
                }],
                ..Overview::default()
            };
            let found = senders(&overview, &config);
            found
                .iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels("disabled"), [Level::Critical]);
        assert_eq!(levels("missing"), [Level::Warning]);
        assert_eq!(levels("enabled"), [Level::Ok]);
    }
}
