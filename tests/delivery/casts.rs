//! Events of one version on paths that read another: cast before they are rendered or mapped, or left for a person.

use std::sync::Arc;

use midwatch::config::model::Config;
use midwatch::event::contract::{Cast, Contract, ContractVersion, Mode, Schema};
use midwatch::queue::model::State;
use serde_json::json;

use crate::bed::{Answer, Bed, Receiver, one_path};
use crate::crm::Crm;
use crate::upsert::{DEALS, config, order, reason};

/// Two versions of `order.created`; an event that names none is of the first, and every path reads the second.
fn contracted(mut config: Config, cast: Option<&str>) -> Config {
    let version = |name: &str, schema| ContractVersion {
        name: name.to_owned(),
        file: format!("/contracts/{name}.json").into(),
        schema: Arc::new(Schema::new(schema).expect("a schema")),
    };
    let kind = "order.created".to_owned();
    let contract = Contract {
        kind: kind.clone(),
        versions: vec![
            version("1", json!({})),
            version("2", json!({"required": ["total"]})),
        ],
        mode: Mode::None,
        lenient: false,
        assumed: 0,
        casts: (cast.into_iter())
            .map(|template| Cast {
                from: "1".to_owned(),
                to: "2".to_owned(),
                template: template.to_owned(),
            })
            .collect(),
    };
    config.contracts.insert(kind, contract);
    for path in &mut config.paths {
        path.reads = vec!["2".to_owned()];
    }
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_path_is_sent_what_the_cast_makes_and_nothing_that_it_cannot_read() {
    let receiver = Receiver::start(|_| Answer::ok()).await;
    let config = |cast| contracted(one_path(receiver.address, ""), cast);
    let bed = Bed::start(config(Some(r#"{"total":"{{ data.amount }}"}"#))).await;
    let cast = bed.accept("1", r#"{"amount":5}"#).await;
    bed.until_state(cast, State::Delivered).await;
    let body = receiver.seen()[0].body.clone();
    assert!(
        body.contains(r#""total":"5""#) && !body.contains("amount"),
        "{body}"
    );
    for (template, words) in [
        (
            None,
            "order.created 1 cannot be read: the path reads 2 and no cast leads there",
        ),
        (
            Some("{}"),
            "the cast of order.created from 1 to 2 makes what breaks 2: /total required",
        ),
    ] {
        bed.reload(config(template)).await;
        let unread = bed.accept("1", r#"{"amount":5}"#).await;
        bed.until_state(unread, State::Held).await;
        assert!(
            reason(&bed, unread).contains(words),
            "{template:?}: {}",
            reason(&bed, unread)
        );
    }
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_path_reads_what_the_cast_makes() {
    let crm = Crm::start().await;
    let cast = r#"{"id": {{ data.id }}, "number": {{ data.number | tojson }}, "name": "{{ data.name }} Nordmann",
        "total": {{ data.total | tojson }}, "currency": "NOK", "email": {{ data.email | tojson }},
        "created": {{ data.created | tojson }}, "modified": {{ data.modified | tojson }}, "lines": []}"#;
    let bed = Bed::start(contracted(config(&crm, DEALS), Some(cast))).await;
    let id = bed.accept("1", &order(1, "Kari", 0)).await;
    bed.until_state(id, State::Delivered).await;
    assert_eq!(crm.only("orders", "1")["name"], "Kari Nordmann");
}
