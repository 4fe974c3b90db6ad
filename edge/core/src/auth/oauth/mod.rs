//! OAuth 2.0 for programs: tokens for grants (RFC 6749), their end (RFC 7009), what others may know of them (RFC 7662),
//! and where all of this is (RFC 8414).
//!
//! There is no authorization endpoint: people log in at our own pages and programs. Which clients an organisation has is
//! managed in `orgs`; this folder registers and recognises them.

mod authenticate;
mod error;
mod form;
mod introspect;
mod metadata;
mod register;
mod revoke;
mod rules;
mod sql;
mod token;

pub(crate) use register::ClientListing;
pub use register::{ClientSummary, IssuedClient, NewClient, platform_clients, register_client, revoke_client};
pub(crate) use sql::statements;

use crate::{
    access::Access,
    limits::Class,
    route::{Route, get, post},
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        get(
            "/.well-known/oauth-authorization-server",
            Access::ANYONE,
            metadata::show,
            "What OAuth clients need to know of this server.",
        )
        .at_root(),
        post("/auth/token", Access::ANYONE, token::token, "Gives tokens for a grant, as OAuth 2.0 has it.")
            .limited(Class::Oauth),
        post("/auth/revoke", Access::ANYONE, revoke::revoke, "Ends what a token stands for, as OAuth 2.0 has it.")
            .limited(Class::Oauth),
        post("/auth/introspect", Access::ANYONE, introspect::introspect, "Tells a client what a token is worth now.")
            .limited(Class::Oauth),
    ]
}
