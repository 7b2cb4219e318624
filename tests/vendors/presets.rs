//! Each preset by itself: it reads without a word of complaint, and says where its claims come from.

use midwatch::config::presets;

use crate::place::furnish;

/// What a user writes for each preset, beside `preset`.
const USES: &[(&str, &str)] = &[
    (
        "hubspot",
        "auth = { bearer = \"file:hubspot_token\" }\nhooks = { secrets = [\"file:client_secret\"] }",
    ),
    (
        "pipedrive",
        "url = \"https://nordlys.pipedrive.com\"\nauth = { header = \"x-api-token\", value = \"file:pipedrive_token\" }\npoll = { contact = \"5m\", order = \"5m\" }",
    ),
    (
        "rest",
        "url = \"https://erp.nordlys.example\"\nauth = { bearer = \"file:rest_token\" }\nhooks = { secrets = [\"file:stripe_hook\"] }",
    ),
    (
        "shopify",
        "url = \"https://nordlys.myshopify.com\"\nauth = { header = \"X-Shopify-Access-Token\", value = \"file:shopify_token\" }\nhooks = { secrets = [\"file:shopify_hook\"] }",
    ),
    ("slack", ""),
    (
        "stripe",
        "auth = { bearer = \"file:stripe_key\" }\nhooks = { secrets = [\"file:stripe_hook\"], watch = true }",
    ),
    (
        "woocommerce",
        "url = \"https://nordlys.example\"\nauth = { basic = [\"file:woo_key\", \"file:woo_secret\"] }\nhooks = { secrets = [\"file:woo_hook\"], watch = true }\ntrust = \"refetch\"",
    ),
];

#[test]
fn each_preset_reads_cleanly_with_what_its_user_adds() {
    let names: Vec<_> = presets::ALL.iter().map(|preset| preset.name).collect();
    assert_eq!(
        names,
        USES.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    for (name, keys) in USES {
        let text = format!(
            "[systems.vendor]\npreset = \"{name}\"\n{keys}\n[systems.other]\nurl = \"https://o.example\"\n\
             [paths.raw]\nroute = \"vendor -> other\"\nevents = [\"*\"]\nurl = \"/in\"\nkey_header = \"Idempotency-Key\"\n"
        );
        let (_folder, loaded) = furnish(&text);
        let system = &loaded.config.systems["vendor"];
        assert_eq!(loaded.warnings.len(), 0, "{name}: {:?}", loaded.warnings);
        assert_eq!(system.preset.as_deref(), Some(*name));
        assert_eq!(system.hooks.is_some(), keys.contains("hooks"), "{name}");
        assert_eq!(system.records.is_empty(), *name == "slack", "{name}");
        for (kind, map) in &system.records {
            assert!(map.layout.key.is_some(), "{name}.{kind}");
            assert!(map.lookup.is_some(), "{name}.{kind}");
        }
    }
}

#[test]
fn a_preset_without_secrets_takes_no_hooks_and_says_where_its_claims_come_from() {
    for preset in presets::ALL {
        let text = format!(
            "[systems.vendor]\npreset = \"{}\"\nurl = \"https://v.example\"\n",
            preset.name
        );
        let (_folder, loaded) = furnish(&text);
        assert!(
            loaded.config.systems["vendor"].hooks.is_none(),
            "{}",
            preset.name
        );
        let cited = preset.text.contains("https://") && preset.text.starts_with('#');
        assert!(cited, "{} cites nothing", preset.name);
    }
}
