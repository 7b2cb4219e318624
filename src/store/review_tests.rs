//! Reviews: opened and refreshed by what is learnt, ended by a decision or because both sides came to agree.

use std::time::Duration;

use super::tests::{Bed, line};
use super::view::ReviewRow;
use super::*;
use crate::control::action::Actor;
use crate::ids::ReviewId;
use crate::record::ledger::{About, Dispute, Learned};
use crate::record::value::Value;
use crate::time::Timestamp;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn dispute(field: &str, ours: &str, theirs: &str, sensitive: bool) -> Dispute {
    Dispute {
        field: field.to_owned(),
        source: "shop".to_owned(),
        sensitive,
        ours: (text(ours), Some(Timestamp(7))),
        theirs: Some((text(theirs), None)),
        base: None,
        reason: "shop and crm both changed it".to_owned(),
    }
}

fn learned(disputes: Vec<Dispute>) -> Learned {
    Learned {
        system: "crm".to_owned(),
        about: About {
            kind: "contact".to_owned(),
            key: "a@x".to_owned(),
        },
        disputes,
        ..Learned::default()
    }
}

impl Bed {
    fn reviews(&self, open_only: bool) -> Vec<ReviewRow> {
        let reader = self.store.reader().unwrap();
        let open = reader.reviews(true, 100).unwrap();
        let counted = reader.overview().unwrap().reviews;
        assert_eq!(counted, open.len() as u64);
        reader.reviews(open_only, 100).unwrap()
    }

    async fn decide(&self, review: ReviewId, value: &str) -> Result<(), StoreError> {
        let mut log = line();
        log.actor = Some(Actor {
            name: "anna".to_owned(),
            ..Actor::default()
        });
        let mut repair = self.incoming(&format!("repair {review}"), None);
        repair.event.source = "midwatch".to_owned();
        let decided = Decided {
            review,
            side: "ours",
            value: text(value),
            sensitive: self.review(review).sensitive,
            learned: vec![Learned {
                story: Some("decided".to_owned()),
                disputes: Vec::new(),
                ..learned(Vec::new())
            }],
            repair: Some(repair),
            log,
        };
        self.store.decide(decided).await.map(|repair| {
            assert!(repair.is_some(), "the decision is carried by an event");
        })
    }

    fn review(&self, id: ReviewId) -> ReviewRow {
        let reader = self.store.reader().unwrap();
        reader.review(id).unwrap().expect("is kept")
    }
}

#[tokio::test]
async fn one_field_has_one_open_review_and_a_newer_event_refreshes_it() {
    let bed = Bed::new().await;
    let told = vec![
        dispute("name", "Anna", "Anne", false),
        dispute("city", "Oslo", "Bergen", false),
    ];
    bed.store.learn(learned(told)).await.unwrap();
    bed.clock.advance(Duration::from_secs(9));
    let told = vec![dispute("name", "Anna B.", "Anne", false)];
    bed.store.learn(learned(told)).await.unwrap();
    let open = bed.reviews(true);
    let told: Vec<_> = open
        .iter()
        .map(|row| {
            (
                row.field.as_str(),
                row.ours.as_deref().unwrap(),
                row.theirs.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("city", "\"Oslo\"", "\"Bergen\""),
            ("name", "\"Anna B.\"", "\"Anne\"")
        ]
    );
    assert_eq!(open[1].at, super::tests::START, "it is as old as it was");
    assert_eq!(
        (open[1].ours_at, open[1].theirs_at),
        (Some(Timestamp(7)), None)
    );
    let of_record = bed.store.reader().unwrap().reviews_of("contact", "a@x", 9);
    assert_eq!(of_record.unwrap().len(), 2);
}

#[tokio::test]
async fn a_decision_is_kept_once_with_who_made_it_and_hides_what_is_sensitive() {
    let bed = Bed::new().await;
    let told = vec![dispute("name", "Anna", "Anne", true)];
    bed.store.learn(learned(told)).await.unwrap();
    let open = bed.reviews(true).remove(0);
    assert_eq!(
        open.masked(open.ours.as_deref().unwrap()),
        "A… (4 characters)"
    );
    bed.decide(open.id, "Anna").await.unwrap();
    assert_eq!(bed.reviews(true), []);
    let row = bed.review(open.id);
    let decided = row.decided.clone().expect("is decided");
    assert_eq!(
        (decided.decision.as_str(), decided.actor.as_str()),
        ("ours", "anna (uid 0)")
    );
    let hash = decided.value.expect("a value stands");
    assert!(
        hash.starts_with('#') && row.ours.as_ref() == Some(&hash) && row.theirs != row.ours,
        "{row:?}"
    );
    let again = bed.decide(open.id, "Anne").await.unwrap_err().to_string();
    assert!(again.contains("decided already"), "{again}");
    assert_eq!(bed.review(open.id), row, "the second one changes nothing");
    // What comes after it is another review.
    let told = vec![dispute("name", "Annika", "Anna", true)];
    bed.store.learn(learned(told)).await.unwrap();
    assert_eq!(bed.reviews(false).len(), 2);
}

#[tokio::test]
async fn a_review_ends_by_itself_when_the_field_is_written_or_agreed() {
    let bed = Bed::new().await;
    let told = ["name", "city", "note"].map(|field| dispute(field, "Anna", "Anne", false));
    bed.store.learn(learned(told.into())).await.unwrap();
    let field = |name: &str| (name.to_owned(), text("Anna"), false);
    let from = |source: &str| Learned {
        sent: vec![field("name")],
        agreed: vec![field("city")],
        seen: vec![field("note")],
        source: Some(source.to_owned()),
        ..learned(Vec::new())
    };
    bed.store.learn(from("erp")).await.unwrap();
    assert_eq!(
        bed.reviews(true).len(),
        3,
        "another source's word ends none"
    );
    bed.store.learn(from("shop")).await.unwrap();
    let open: Vec<String> = bed.reviews(true).into_iter().map(|row| row.field).collect();
    assert_eq!(open, ["note"], "what was only seen ends none");
    let ended = bed
        .reviews(false)
        .into_iter()
        .find(|row| row.field == "name");
    let ended = ended.unwrap().decided.unwrap();
    assert_eq!(
        (ended.decision.as_str(), ended.actor.as_str()),
        ("overtaken", "midwatch")
    );
    let known = bed
        .store
        .known("crm".into(), "contact".into(), "a@x".into());
    let known = known.await.unwrap();
    assert_eq!(known.fields["note"].seen.as_ref().unwrap().0, "\"Anna\"");
}
