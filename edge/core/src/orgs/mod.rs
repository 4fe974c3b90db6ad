//! Organisations: whom do people act for?
//!
//! Members, roles and permissions, invitations. Owns `orgs`, `memberships`, `org_roles` and `invitations` (SQL functions
//! of migration 8 write them: they decide where two requests could race). Who a person is, is left to `auth`, as is the
//! table of OAuth clients.

mod clients;
mod error;
mod extract;
mod invitations;
mod limits;
mod log;
mod manage;
mod members;
mod operate;
mod role;
mod roles;
mod rules;
mod sql;
mod standing;

pub use error::OrgError;
pub use extract::{Member, Owner};
pub(crate) use extract::{client_member, key_member, person_member};
pub use limits::{OwnLimits, limits, set_limits};
pub use operate::{
    OperatedMember, OperatedMembership, OperatedOrg, OrgFilter, OrgStatus, memberships_of, operated, restore, search,
    suspend,
};
pub(crate) use rules::{name, permissions};
pub use sql::OrgSummary;
pub(crate) use standing::{Standing, verdict};

use crate::{
    Store,
    access::Access,
    limits::Class,
    route::{Route, delete, get, patch, post},
    sql::{Described, SqlError},
};
use shared::permission::Permission::{
    AuditRead, ClientsRead, ClientsWrite, MembersRead, MembersWrite, OrgDelete, OrgRead, OrgWrite, RolesWrite,
};

/// The routes of organisations.
pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::member;
    vec![
        get("/permissions", Access::ANYONE, roles::permissions, "Lists what roles and clients are made of."),
        get("/orgs", Access::PERSON, manage::list, "Lists one's own organisations."),
        post("/orgs", Access::PERSON, manage::found, "Founds an organisation."),
        get("/orgs/{org}", needs(OrgRead), manage::show, "Shows an organisation."),
        patch("/orgs/{org}", needs(OrgWrite), manage::rename, "Renames an organisation."),
        delete("/orgs/{org}", needs(OrgDelete).fresh(), manage::delete, "Deletes an organisation for everyone."),
        get("/orgs/{org}/members", needs(MembersRead), members::list, "Lists members."),
        patch("/orgs/{org}/members/{user}", needs(MembersWrite), members::change, "Gives a member another role."),
        delete(
            "/orgs/{org}/members/{user}",
            needs(MembersWrite).or_oneself(),
            members::remove,
            "Removes a member, or leaves.",
        ),
        get("/orgs/{org}/invitations", needs(MembersRead), invitations::list, "Lists open invitations."),
        post("/orgs/{org}/invitations", needs(MembersWrite), invitations::invite, "Invites someone by mail."),
        delete(
            "/orgs/{org}/invitations/{invitation}",
            needs(MembersWrite),
            invitations::revoke,
            "Takes an invitation back.",
        ),
        post("/invitations/accept", Access::PERSON, invitations::accept, "Accepts an invitation."),
        post(
            "/invitations/join",
            Access::ANYONE,
            invitations::join,
            "Accepts an invitation, and makes the account of someone who has none.",
        )
        .limited(Class::Signup),
        get("/orgs/{org}/roles", needs(MembersRead), roles::list, "Lists built-in roles and the organisation's own."),
        post("/orgs/{org}/roles", needs(RolesWrite), roles::add, "Makes a role."),
        patch(
            "/orgs/{org}/roles/{role}",
            needs(RolesWrite),
            roles::change,
            "Changes a role of the organisation's own.",
        ),
        delete("/orgs/{org}/roles/{role}", needs(RolesWrite), roles::delete, "Deletes a role that is not in use."),
        get("/orgs/{org}/audit", needs(AuditRead), log::list, "Lists the organisation's audit log, newest first."),
        get("/orgs/{org}/clients", needs(ClientsRead), clients::list, "Lists OAuth clients."),
        post("/orgs/{org}/clients", needs(ClientsWrite), clients::add, "Makes an OAuth client."),
        delete("/orgs/{org}/clients/{client}", needs(ClientsWrite), clients::revoke, "Ends an OAuth client."),
    ]
}

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [
        sql::statements(),
        limits::statements(),
        members::statements(),
        invitations::statements(),
        roles::statements(),
        operate::statements(),
    ]
    .concat()
}

/// Every organisation that is not deleted, oldest first.
pub async fn list(store: &Store) -> Result<Vec<OrgSummary>, SqlError> {
    store.org_summaries().await
}
