//! The stand-ins' credentials: what the demo's configuration reads from `secrets/`, and the signatures made with them.
//! They guard nothing: every one of them is fixed, and only opens a stand-in on loopback.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::server::Call;

/// The website's REST key and secret (HTTP basic).
pub const SHOP_KEY: &str = "ck_demo_nordlys";
/// See [`SHOP_KEY`].
pub const SHOP_SECRET: &str = "cs_demo_nordlys";
/// Signs the website's webhooks.
pub const SHOP_HOOK: &str = "demo-woocommerce-hook-secret";
/// A private app's token for the CRM, beside those that it hands out.
pub const CRM_TOKEN: &str = "pat-demo-nordlys-crm";
/// The payment provider's restricted key.
pub const PAYMENTS_KEY: &str = "rk_demo_nordlys";
/// Signs the payment provider's webhooks; used as it stands, prefix and all.
pub const PAYMENTS_HOOK: &str = "whsec_demo_nordlys";

/// File name and content of each secret that the configuration of the demo refers to, but for the chat channel's.
pub const FILES: &[(&str, &str)] = &[
    ("shop_key", SHOP_KEY),
    ("shop_secret", SHOP_SECRET),
    ("shop_hook", SHOP_HOOK),
    ("crm_client_id", super::oauth::CLIENT_ID),
    ("crm_client_secret", super::oauth::CLIENT_SECRET),
    ("payments_key", PAYMENTS_KEY),
    ("payments_hook", PAYMENTS_HOOK),
];

/// WooCommerce: base64 of HMAC-SHA256 over the body.
pub fn woocommerce(body: &[u8]) -> String {
    STANDARD.encode(sign(SHOP_HOOK, &[body]))
}

/// Stripe: `t=SECONDS,v1=HEX` over `SECONDS.BODY`.
pub fn stripe(seconds: i64, body: &[u8]) -> String {
    let time = seconds.to_string();
    let signature = sign(PAYMENTS_HOOK, &[time.as_bytes(), b".", body]);
    format!("t={time},v1={}", hex::encode(signature))
}

fn sign(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length: the error cannot happen, and an empty signature would be refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// HTTP basic authentication (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The request carries the website's key.
pub fn opens_shop(call: &Call) -> bool {
    call.header("authorization") == basic(SHOP_KEY, SHOP_SECRET)
}

/// The request carries this bearer token.
pub fn bears(call: &Call, token: &str) -> bool {
    call.header("authorization").strip_prefix("Bearer ") == Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_vendors_documents() {
        // Reference values from `openssl dgst -sha256 -hmac`.
        assert_eq!(
            hex::encode(sign(
                "key",
                &[b"The quick brown fox ", b"jumps over the lazy dog"]
            )),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
        assert!(stripe(1_700_000_000, b"{}").starts_with("t=1700000000,v1="));
        assert_eq!(woocommerce(b"{}").len(), 44);
    }
}
