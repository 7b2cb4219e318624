//! Looks at the answers of receivers beside the attempts: what `queue::answers` finds new is handed to the keeper as notes.
//! Never waits for the disk, and never fails an attempt.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::attempt::Plan;
use super::keeper::Errand;
use crate::config::model::Lane;
use crate::http::Reply;
use crate::ids::DeliveryId;
use crate::ids::PathId;
use crate::queue::answers::{self, Answers};
use crate::queue::model::Claimed;
use crate::store::Note;
use crate::store::view::ShapeRow;
use crate::time::Timestamp;

/// What is remembered of all answers, and where news goes.
#[derive(Debug)]
pub(super) struct Observer {
    answers: Mutex<Answers>,
    errands: UnboundedSender<Errand>,
}

impl Observer {
    pub(super) fn new(errands: UnboundedSender<Errand>) -> Self {
        Self {
            answers: Mutex::default(),
            errands,
        }
    }

    /// Takes over what was remembered when the last worker ended.
    pub(super) fn remember(&self, rows: Vec<(PathId, String, ShapeRow)>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Answers::load(rows);
    }

    /// Hands over what was learnt since it was last stored.
    pub(super) fn flush(&self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, step, rows) in answers.unstored() {
            let _ = self.errands.send(Errand::Shape(path, step, rows));
        }
    }

    /// Hears in which version the source of an event speaks, at the first attempt of each delivery: what is tried again
    /// or replayed is older than what was heard meanwhile.
    pub(super) fn hear(&self, plan: &Plan, claimed: &Claimed, now: Timestamp) {
        if plan.path.lane != Lane::Work || claimed.last_class.is_some() {
            return;
        }
        let Some(seen) = answers::of_event(&claimed.event.data) else {
            return;
        };
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (news, rows) = known.take(plan.id, answers::EVENTS, seen, now);
        if let Some(rows) = rows {
            let step = answers::EVENTS.to_owned();
            let _ = (self.errands).send(Errand::Shape(plan.id, step, rows));
        }
        for news in news {
            let note = Note {
                path: None,
                system: plan.path.from.clone(),
                kind: news.kind,
                what: news.what,
                text: news.text,
                delivery: Some(claimed.delivery),
            };
            let _ = self.errands.send(Errand::Note(note));
        }
    }

    /// Looks at a good answer of the receiving system to one step of an attempt.
    pub(super) fn look(
        &self,
        plan: &Plan,
        step: &str,
        delivery: DeliveryId,
        reply: &Reply,
        now: Timestamp,
    ) {
        if plan.path.lane == Lane::Page || !(200..300).contains(&reply.status) {
            return;
        }
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = answers().is_due(plan.id, step);
        let seen = answers::read(reply, whole);
        let (news, rows) = answers().take(plan.id, step, seen, now);
        // The keeper ends only after the dispatcher.
        if let Some(rows) = rows {
            let _ = (self.errands).send(Errand::Shape(plan.id, step.to_owned(), rows));
        }
        for news in news {
            let note = Note {
                path: Some(plan.id),
                system: plan.path.to.clone(),
                kind: news.kind,
                what: news.what,
                text: news.text,
                delivery: Some(delivery),
            };
            let _ = self.errands.send(Errand::Note(note));
        }
    }
}
