//! Pure decisions about roles: what they permit, and who may give whom which.

use super::OrgError;
use shared::permission::{
    Permission::{
        self, AuditRead, BillingRead, BillingWrite, ClientsRead, ClientsWrite, KeysRead, KeysWrite, MembersRead,
        MembersWrite, ModelsUse, OrgRead, OrgWrite, RolesWrite, UsageRead,
    },
    Permissions,
};

/// A built-in role, from the mightiest down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Owner,
    Admin,
    Billing,
    Member,
    Viewer,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Billing, Self::Member, Self::Viewer];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Billing => "billing",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// What the role permits.
    pub(crate) const fn permissions(self) -> Permissions {
        const VIEWER: &[Permission] = &[OrgRead, MembersRead, UsageRead];
        match self {
            Self::Owner => Permissions::all(),
            // Everything but ending the organisation, and its money.
            Self::Admin => Permissions::of(&[
                OrgRead,
                OrgWrite,
                MembersRead,
                MembersWrite,
                RolesWrite,
                KeysRead,
                KeysWrite,
                ClientsRead,
                ClientsWrite,
                UsageRead,
                BillingRead,
                AuditRead,
                ModelsUse,
            ]),
            Self::Billing => Permissions::of(&[OrgRead, MembersRead, UsageRead, BillingRead, BillingWrite]),
            Self::Member => Permissions::of(&[OrgRead, MembersRead, UsageRead, KeysRead, KeysWrite, ModelsUse]),
            Self::Viewer => Permissions::of(VIEWER),
        }
    }
}

/// What a membership permits; nothing when its role is none that this version knows.
pub(crate) fn permissions(role: &str, custom: Option<&str>) -> Permissions {
    match role {
        "custom" => custom.and_then(|it| it.parse().ok()).unwrap_or_default(),
        role => Role::parse(role).map_or(Permissions::NONE, Role::permissions),
    }
}

/// The roles that someone may give and take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Whether any role at all.
    pub(super) all: bool,
    /// Built-in ones. Of an organisation's own roles those are within reach that permit less than the actor may.
    pub(super) roles: Vec<Role>,
}

/// An owner gives and takes any role; everyone else, a client too, only what permits less than they themselves may. So
/// an admin makes no admins, and touches none.
pub(super) fn reach(role: Option<&str>, permissions: Permissions) -> Reach {
    // A token that was narrowed makes less than an owner of whoever holds it.
    let all = role == Some(Role::Owner.as_str()) && permissions == Permissions::all();
    let less = |it: &Role| permissions.covers(it.permissions()) && it.permissions() != permissions;
    Reach { all, roles: Role::ALL.into_iter().filter(|it| all || less(it)).collect() }
}

/// What someone may put into a role or a client: nothing that they may not do themselves.
pub(super) fn within(wanted: Permissions, own: Permissions) -> Result<(), OrgError> {
    if wanted == Permissions::NONE {
        return Err(OrgError::Field { field: "permissions", reason: "name at least one" });
    }
    if own.covers(wanted) { Ok(()) } else { Err(OrgError::Beyond) }
}

/// A name that people chose, without what would break lists and mails.
pub(crate) fn name(text: &str, longest_chars: usize) -> Result<String, OrgError> {
    let text = text.trim();
    let reason = match text.chars().count() {
        0 => "is empty",
        chars if chars > longest_chars => "is too long",
        _ if text.contains(char::is_control) => "holds a control character",
        _ => return Ok(text.to_owned()),
    };
    Err(OrgError::Field { field: "name", reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(role: Option<&str>, permissions: Permissions) -> Vec<&'static str> {
        reach(role, permissions).roles.into_iter().map(Role::as_str).collect()
    }

    /// Checklist 57.
    #[test]
    fn nobody_reaches_a_role_that_is_not_less_than_their_own() {
        for (role, reaches) in [
            ("owner", vec!["owner", "admin", "billing", "member", "viewer"]),
            // Billing may pay, which an admin may not.
            ("admin", vec!["member", "viewer"]),
            ("billing", vec!["viewer"]),
            ("member", vec!["viewer"]),
            ("viewer", vec![]),
            ("king", vec![]),
        ] {
            assert_eq!(reached(Some(role), permissions(role, None)), reaches, "{role}");
        }
    }

    /// Checklist 57.
    #[test]
    fn only_a_person_who_is_an_owner_and_not_narrowed_reaches_owners() {
        let all = Permissions::all();
        assert!(reach(Some("owner"), all).all);
        let narrowed = Permissions::of(&[MembersWrite, OrgRead, MembersRead, UsageRead]);
        assert_eq!(reach(Some("owner"), narrowed), Reach { all: false, roles: vec![Role::Viewer] });
        // A client, and a role of the organisation's own that permits everything.
        assert_eq!(reached(None, all), ["admin", "billing", "member", "viewer"]);
        assert_eq!(reached(Some("custom"), all), ["admin", "billing", "member", "viewer"]);
        assert_eq!(reached(Some("custom"), Permissions::of(&[MembersWrite])), [""; 0]);
    }

    #[test]
    fn nobody_puts_together_more_than_they_may() {
        let own = Permissions::of(&[KeysRead, MembersWrite]);
        let empty = OrgError::Field { field: "permissions", reason: "name at least one" };
        for (wanted, verdict) in [
            (Permissions::of(&[KeysRead]), Ok(())),
            (own, Ok(())),
            (Permissions::of(&[KeysWrite]), Err(OrgError::Beyond)),
            (Permissions::all(), Err(OrgError::Beyond)),
            (Permissions::NONE, Err(empty)),
        ] {
            assert_eq!(within(wanted, own), verdict, "{wanted:?}");
        }
    }

    #[test]
    fn a_name_is_one_line_of_some_length() {
        for (text, good) in [
            ("Ada & Co", Some("Ada & Co")),
            ("  Ada ", Some("Ada")),
            ("ééééé", Some("ééééé")),
            ("", None),
            (" ", None),
            ("123456", Some("123456")),
            ("ééééééé", None),
            ("a\nb", None),
            ("a\0", None),
        ] {
            assert_eq!(name(text, if text == "Ada & Co" { 8 } else { 6 }).ok().as_deref(), good, "{text:?}");
        }
    }

    #[test]
    fn roles_permit_what_they_are_for() {
        for (role, custom, permitted, refused) in [
            ("owner", None, Some(Permission::OrgDelete), None),
            ("admin", None, Some(MembersWrite), Some(Permission::OrgDelete)),
            ("billing", None, Some(BillingWrite), Some(KeysWrite)),
            ("member", None, Some(KeysWrite), Some(MembersWrite)),
            ("viewer", None, Some(OrgRead), Some(KeysRead)),
            ("custom", Some("keys:read"), Some(KeysRead), Some(OrgRead)),
            ("custom", Some("keys:fly"), None, Some(KeysRead)),
            ("custom", None, None, Some(OrgRead)),
            ("king", None, None, Some(OrgRead)),
        ] {
            let set = permissions(role, custom);
            assert!(permitted.is_none_or(|it| set.has(it)), "{role} {custom:?}");
            assert!(refused.is_none_or(|it| !set.has(it)), "{role} {custom:?}");
        }
    }

    #[test]
    fn the_documents_say_what_roles_permit() {
        let documented = include_str!("../../../../docs/organisations.md");
        for permission in Permission::ALL {
            let held = Role::ALL.map(|role| if role.permissions().has(*permission) { "✓" } else { "" });
            let cells = held.map(|it| format!(" {it} |")).concat();
            let row = format!("| `{}` |{cells} {} |", permission.as_str(), permission.explanation());
            assert!(documented.contains(&row), "docs/organisations.md lacks: {row}");
        }
    }
}
