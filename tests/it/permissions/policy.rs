//! What a declaration in the route table means: written down a second time, apart from the code that decides.

use super::principal::{Key, KeyState, Page, Person, Who};
use edge_core::{Access, Principal as Needs};
use reqwest::Method;
use shared::permission::Permissions;

/// What has to come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The handler decides.
    LetIn,
    /// This status and code; any code when it is empty.
    Refused((u16, &'static str)),
}

/// An organisation as the path names it.
#[derive(Clone, Debug)]
pub(super) struct Org {
    pub(super) id: String,
    /// Whether it is there, for its own members.
    pub(super) exists: bool,
    pub(super) suspended: bool,
}

const UNAUTHENTICATED: Expected = Expected::Refused((401, ""));
const NOT_FOUND: Expected = Expected::Refused((404, "org_not_found"));

fn forbidden(code: &'static str) -> Expected {
    Expected::Refused((403, code))
}

pub(super) fn expected(method: &Method, access: Access, who: &Who, org: Option<&Org>, oneself: bool) -> Expected {
    match (access.principal, who) {
        // No page of another site acts in a visitor's browser, not even to log them in as somebody else.
        (Needs::Anyone, Who::Person(person)) if person.page == Some(Page::Foreign) && !method.is_safe() => {
            forbidden("foreign_origin")
        }
        (Needs::Anyone | Needs::Node, _) => Expected::LetIn,
        (Needs::Key, Who::Key(key)) => key_standing(key, true).unwrap_or(Expected::LetIn),
        (Needs::Member(_), Who::Key(_)) if access.fresh => forbidden("person_required"),
        (Needs::Member(permission), Who::Key(key)) => {
            let org = org.expect("a member's route is about an organisation");
            match key_standing(key, false) {
                Some(refusal) => refusal,
                None if !org.exists || key.org != org.id => NOT_FOUND,
                None if key.permissions.has(permission) => Expected::LetIn,
                None => forbidden("permission_denied"),
            }
        }
        (Needs::Key, _) | (_, Who::Nobody | Who::Key(_)) => UNAUTHENTICATED,
        (Needs::Person | Needs::Operator, Who::Client { .. }) => forbidden("person_required"),
        (Needs::Person, Who::Person(person)) => self_standing(method, access, person),
        (Needs::Operator, Who::Person(person)) => match self_standing(method, access, person) {
            Expected::LetIn if !person.operator => forbidden("operator_required"),
            other => other,
        },
        (Needs::Member(_), Who::Client { .. }) if access.fresh => forbidden("person_required"),
        (Needs::Member(_), Who::Client { live: false, .. }) => UNAUTHENTICATED,
        (Needs::Member(permission), Who::Client { org: own, permissions, .. }) => {
            let org = org.expect("a member's route is about an organisation");
            if !org.exists || *own != org.id {
                NOT_FOUND
            } else if permissions.has(permission) {
                Expected::LetIn
            } else {
                forbidden("permission_denied")
            }
        }
        (Needs::Member(permission), Who::Person(person)) => {
            let org = org.expect("a member's route is about an organisation");
            let place: Option<Permissions> = person.places.get(&org.id).copied().filter(|_| org.exists);
            let permits = |all: Permissions| person.narrowed.map_or(all, |it| all.and(it)).has(permission);
            match (page(method, person), place) {
                (Some(refusal), _) => refusal,
                _ if access.fresh && person.stale => forbidden("reauthentication_required"),
                (_, None) => NOT_FOUND,
                _ if org.suspended => forbidden("org_suspended"),
                (_, Some(all)) if permits(all) || (oneself && person.narrowed.is_none()) => Expected::LetIn,
                _ => forbidden("permission_denied"),
            }
        }
    }
}

/// Why a key is refused, whatever it is for.
fn key_standing(key: &Key, inference: bool) -> Option<Expected> {
    match key.state {
        KeyState::Revoked => Some(UNAUTHENTICATED),
        KeyState::Suspended => Some(forbidden("org_suspended")),
        KeyState::Live if key.inference != inference => Some(forbidden("wrong_key_kind")),
        KeyState::Live if key.permissions == Permissions::NONE => Some(forbidden("key_owner_not_permitted")),
        KeyState::Live => None,
    }
}

/// A route that is about the person alone.
fn self_standing(method: &Method, access: Access, person: &Person) -> Expected {
    match page(method, person) {
        Some(refusal) => refusal,
        None if person.narrowed.is_some() => forbidden("insufficient_scope"),
        None if access.fresh && person.stale => forbidden("reauthentication_required"),
        None => Expected::LetIn,
    }
}

/// A cookie counts only on requests of our own pages, unless they only read.
fn page(method: &Method, person: &Person) -> Option<Expected> {
    (person.page.is_some_and(|it| it != Page::Ours) && !method.is_safe()).then(|| forbidden("foreign_origin"))
}
