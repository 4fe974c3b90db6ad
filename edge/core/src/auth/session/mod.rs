//! Sessions: a log-in, and what acts by it until it ends.

mod manage;
mod opening;
mod refresh;
mod token;

pub(crate) use manage::{end_all, end_one, list, logout};
pub(crate) use opening::{
    ALL, COOKIE, CookieSession, FIRST_PARTY, Facts, Opening, Proven, Session, Terms, Tokens, no_store, open, tokens,
    without_cookie,
};
pub(crate) use refresh::{refresh, refresh_tokens};
pub(crate) use token::{SessionToken, Transport};
