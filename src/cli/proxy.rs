//! `midwatch proxy nginx|caddy`: what the shop's own web server must pass on, and what each vendor must be told.
//!
//! Pure text from the configuration. Lets through the addresses of the webhooks, and `/events` only where a token guards
//! it; never `/metrics` or the health checks.

use std::fmt::Write as _;

use reqwest::Url;

use super::context::Context;
use super::out;
use crate::config::model::{Config, hook_address};

/// Stands where the configuration names no public address.
const EXAMPLE: &str = "https://shop.example/_midwatch";

/// Prints a reverse-proxy block for the web server in front, and the address that each vendor must be given.
///
/// Made from site.public_url, ingest.listen and ingest.max_body. Put it into the web server's configuration; only the
/// webhooks' addresses are passed on, and /events where ingest.token guards it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The web server.
    server: Server,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Server {
    /// nginx: a part of a `server` block.
    Nginx,
    /// Caddy: a part of a site's block.
    Caddy,
}

/// Prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    out::say(block(args.server, &config).trim_end())?;
    Ok(super::OK)
}

fn block(server: Server, config: &Config) -> String {
    let public = config.site.public_url.as_deref().unwrap_or(EXAMPLE);
    let public = public.trim_end_matches('/');
    let (host, prefix) = Url::parse(public).map_or_else(
        |_| ("this host".to_owned(), String::new()),
        |url| {
            let host = url.host_str().unwrap_or_default().to_owned();
            (host, url.path().trim_end_matches('/').to_owned())
        },
    );
    let upstream = upstream(config);
    let events = config.ingest.token.is_some();
    let mut out = String::new();
    if config.site.public_url.is_none() {
        out.push_str("# site.public_url is not set: this is for ");
        out.push_str(EXAMPLE);
        out.push_str(". Set it, then ask again.\n");
    }
    match server {
        Server::Nginx => nginx(
            &mut out,
            &host,
            &prefix,
            &upstream,
            config.ingest.max_body,
            events,
        ),
        Server::Caddy => caddy(
            &mut out,
            &host,
            &prefix,
            &upstream,
            config.ingest.max_body,
            events,
        ),
    }
    if !events {
        out.push_str(
            "# /events is not passed on: without ingest.token anyone could send events through it.\n",
        );
    }
    vendors(&mut out, config, public);
    out
}

/// Where the front door listens, as a proxy on the same host reaches it.
fn upstream(config: &Config) -> String {
    let mut listen = config.ingest.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    listen.to_string()
}

fn nginx(out: &mut String, host: &str, prefix: &str, upstream: &str, body: usize, events: bool) {
    let mut place = |matching: &str, to: &str| {
        let _ = write!(
            out,
            "\
location {matching} {{
    proxy_pass http://{upstream}{to};
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection \"\";
    client_max_body_size {body};      # ingest.max_body
    client_body_timeout 10s;
    proxy_connect_timeout 2s;         # a worker that restarts: the vendor tries again
    proxy_send_timeout 10s;
    proxy_read_timeout 10s;
}}
"
        );
    };
    place(&format!("{prefix}/hooks/"), "/hooks/");
    if events {
        place(&format!("= {prefix}/events"), "/events");
    }
    out.insert_str(
        0,
        &format!("# Into the `server` block of {host} (nginx):\n"),
    );
}

fn caddy(out: &mut String, host: &str, prefix: &str, upstream: &str, body: usize, events: bool) {
    let events = if events {
        format!(" {prefix}/events")
    } else {
        String::new()
    };
    let strip = if prefix.is_empty() {
        String::new()
    } else {
        format!("    uri strip_prefix {prefix}\n")
    };
    let _ = write!(
        out,
        "\
# Into the block of {host} (Caddy 2):
@midwatch path {prefix}/hooks/*{events}
handle @midwatch {{
    request_body {{
        max_size {body}    # ingest.max_body
    }}
{strip}    reverse_proxy {upstream} {{
        transport http {{
            dial_timeout 2s        # a worker that restarts: the vendor tries again
            write_timeout 10s
            response_header_timeout 10s
        }}
    }}
}}
"
    );
}

fn vendors(out: &mut String, config: &Config, public: &str) {
    let mut any = false;
    for (name, system) in &config.systems {
        let Some(hooks) = &system.hooks else { continue };
        if !any {
            out.push_str("\n# What to tell each vendor:\n");
            any = true;
        }
        let address = hook_address(public, name);
        let _ = writeln!(out, "#   {name} ({}): {address}", hooks.recipe.name);
    }
    if !any {
        out.push_str("\n# No system has hooks: no vendor needs to be told an address.\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(site: &str, ingest: &str) -> Config {
        let text = format!(
            "[site]\nname = \"Nordlys\"\n{site}\n[ingest]\nmax_body = \"256 KiB\"\nlisten = \"127.0.0.1:7777\"\n{ingest}\n[systems.shop]\nhooks = {{ recipe = \"woocommerce\", secrets = [\"env:X\"] }}\n"
        );
        let file = std::path::Path::new("/srv/shop/midwatch.toml");
        match crate::config::parse(&text, file) {
            Ok(loaded) => loaded.config,
            Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
        }
    }

    #[test]
    fn only_hooks_pass_and_events_where_a_token_guards_them() {
        let site = "public_url = \"https://shop.example/_midwatch\"";
        for (ingest, passes) in [("", false), ("token = \"env:T\"", true)] {
            let config = config(site, ingest);
            let nginx = block(Server::Nginx, &config);
            for part in [
                "location /_midwatch/hooks/ {",
                "proxy_pass http://127.0.0.1:7777/hooks/;",
                "client_max_body_size 262144;",
                "shop (woocommerce): https://shop.example/_midwatch/hooks/shop",
            ] {
                assert!(nginx.contains(part), "{part}: {nginx}");
            }
            assert_eq!(nginx.contains("location = /_midwatch/events {"), passes);
            let caddy = block(Server::Caddy, &config);
            let matcher = if passes {
                "@midwatch path /_midwatch/hooks/* /_midwatch/events\n"
            } else {
                "@midwatch path /_midwatch/hooks/*\n"
            };
            for part in [
                matcher,
                "uri strip_prefix /_midwatch",
                "max_size 262144",
                "reverse_proxy 127.0.0.1:7777 {",
            ] {
                assert!(caddy.contains(part), "{part}: {caddy}");
            }
            for text in [nginx, caddy] {
                assert!(!text.contains("/metrics"));
                assert_eq!(text.matches('{').count(), text.matches('}').count());
                assert_eq!(text.contains("/events is not passed on"), !passes);
            }
        }
    }

    #[test]
    fn without_a_public_address_it_shows_an_example_and_at_the_root_nothing_is_stripped() {
        let none = block(Server::Nginx, &config("", ""));
        assert!(none.contains("site.public_url is not set") && none.contains(EXAMPLE));
        let root = block(
            Server::Caddy,
            &config("public_url = \"https://hooks.example\"", ""),
        );
        assert!(
            !root.contains("strip_prefix") && root.contains("path /hooks/*"),
            "{root}"
        );
    }
}
