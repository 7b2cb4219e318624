//! Who may write a field of a declared entity: the owner always, its writers, nobody else. Pure; routing (a raw path's
//! event is held), the dispatcher (a mapped path's fields are left out), `check` and the screens call it.

use super::{Entity, OwnedField, Policy, WhenDown};

/// Whether a system may write a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Yes,
    /// It might, if the record were being made.
    OnCreateOnly(Reason),
    /// It may not.
    No(Reason),
}

impl Permission {
    /// Why it may not, now.
    pub fn refusal(self) -> Option<Reason> {
        match self {
            Self::Yes => None,
            Self::OnCreateOnly(reason) | Self::No(reason) => Some(reason),
        }
    }
}

/// Why a system may not write a field. Its words name only what the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The entity is declared, and says nothing of the field.
    #[error(
        "nobody may write {field}: entity {entity} names no owner of it, nor of the rest (`fields.\"*\"`)"
    )]
    Unnamed {
        /// The entity.
        entity: String,
        /// The field.
        field: String,
    },
    /// It is neither the owner nor a writer.
    #[error("{system} may not write {field} of {entity}: {owner} owns it")]
    NotAWriter {
        /// The entity.
        entity: String,
        /// The field.
        field: String,
        /// Who would write it.
        system: String,
        /// Who owns it.
        owner: String,
    },
    /// It may write the field only when the record is made.
    #[error("{system} may write {field} only when the {entity} is made: {owner} owns it")]
    OnlyOnCreate {
        /// The entity.
        entity: String,
        /// The field.
        field: String,
        /// Who would write it.
        system: String,
        /// Who owns it.
        owner: String,
    },
}

/// Fields that a source brings, sorted by whether it may write them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stripped {
    /// These it may.
    pub kept: Vec<String>,
    /// These it may not.
    pub left_out: Vec<LeftOut>,
}

/// A field that a source brings and may not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub field: String,
    /// Why.
    pub reason: Reason,
}

/// What a system may do with a field by its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the system of record.
    Owner,
    /// It may write it too.
    Writer,
    /// It may write it when the record is made.
    CreateOnly,
    /// It may not write it.
    Neither,
}

impl OwnedField {
    /// What `system` may do.
    pub fn role(&self, system: &str) -> Role {
        if self.owner == system {
            return Role::Owner;
        }
        let mut named = self.writers.iter().filter(|one| one.system == system);
        match named.next() {
            None => Role::Neither,
            Some(one) if one.create_only => Role::CreateOnly,
            Some(_) => Role::Writer,
        }
    }

    /// Whether `system` may write it: at once, or only now that the record is made.
    pub fn permits(&self, system: &str, creating: bool) -> bool {
        match self.role(system) {
            Role::Owner | Role::Writer => true,
            Role::CreateOnly => creating,
            Role::Neither => false,
        }
    }
}

/// Whether `system` may write `field` of `entity`, where the record is being made (`creating`) or is there already.
pub fn may_write(entity: &Entity, field: &str, system: &str, creating: bool) -> Permission {
    let Some(rule) = entity.field(field) else {
        return Permission::No(Reason::Unnamed {
            entity: entity.name.clone(),
            field: field.to_owned(),
        });
    };
    let (entity, field) = (entity.name.clone(), field.to_owned());
    let (system_name, owner) = (system.to_owned(), rule.owner.clone());
    match rule.role(system) {
        Role::Owner | Role::Writer => Permission::Yes,
        Role::CreateOnly if creating => Permission::Yes,
        Role::CreateOnly => Permission::OnCreateOnly(Reason::OnlyOnCreate {
            entity,
            field,
            system: system_name,
            owner,
        }),
        Role::Neither => Permission::No(Reason::NotAWriter {
            entity,
            field,
            system: system_name,
            owner,
        }),
    }
}

/// Sorts the fields that `source` brings by whether it may write them, in their order.
pub fn strip<'f>(
    entity: &Entity,
    source: &str,
    fields: impl IntoIterator<Item = &'f str>,
    creating: bool,
) -> Stripped {
    let mut stripped = Stripped::default();
    for field in fields {
        match may_write(entity, field, source, creating).refusal() {
            None => stripped.kept.push(field.to_owned()),
            Some(reason) => stripped.left_out.push(LeftOut {
                field: field.to_owned(),
                reason,
            }),
        }
    }
    stripped
}

/// Whether what the receiver holds must be read before these fields are updated: the rule of one that `source` may write
/// cannot be judged without.
pub fn needs_theirs<'f>(
    entity: &Entity,
    source: &str,
    fields: impl IntoIterator<Item = &'f str>,
) -> bool {
    let mut rules = fields.into_iter().filter_map(|field| entity.field(field));
    rules.any(|rule| rule.permits(source, false) && rule.needs_theirs(source))
}

impl OwnedField {
    /// Whether a value from `source` is judged by what the receiver holds.
    pub fn needs_theirs(&self, source: &str) -> bool {
        source != self.owner
            || match self.policy {
                Policy::Owner => false,
                Policy::Monotonic => !self.order.is_empty(),
                Policy::OwnerUnlessBlank | Policy::Newest | Policy::Manual => true,
            }
    }
}

/// What becomes of a value from `source` while the field's owner is down. None: it is written as usual. The owner's own
/// values never wait for it.
pub fn fallback(rule: &OwnedField, source: &str, owner_is_down: bool) -> Option<WhenDown> {
    rule.when_owner_down
        .filter(|_| owner_is_down && source != rule.owner)
}
