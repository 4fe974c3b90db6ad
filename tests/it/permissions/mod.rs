//! The route table as a promise: whoever a route declares gets in, and nobody else does, whatever they present.
//!
//! [`world`] has one of every principal and of every place, [`policy`] says what a declaration means, and the tests
//! here walk all routes of the edge, those that come later too.

mod acts;
mod client_token;
mod ids;
mod policy;
mod principal;
mod world;

use edge_core::{Access, Principal as Needs, Route, routes};
use futures_util::{StreamExt as _, stream};
use nest_tests::Answer;
use policy::{Expected, expected};
use principal::Principal;
use reqwest::Method;
use serde_json::json;
use world::{Place, World};

/// Routes for anyone that ask for a proof in the body or in a header of their own, and so may answer 401 or 403
/// themselves: which, and why.
const CHECKED_BY_THE_HANDLER: &[(&str, &str)] = &[
    ("/nodes/register", "a signature over the body"),
    ("/nodes/heartbeat", "a signature over the body"),
    ("/auth/token", "a client's secret, or what RFC 6749 calls a grant"),
    ("/auth/introspect", "a client's secret (RFC 7662)"),
    ("/auth/revoke", "a client's secret (RFC 7009)"),
];

/// Requests at once: enough to be quick, too few to be refused for their number.
const AT_ONCE: usize = 8;

/// How the table and the documents spell what a route needs.
fn spelled(access: Access) -> String {
    let who = match access.principal {
        Needs::Anyone => "anyone".to_owned(),
        Needs::Key => "an API key".to_owned(),
        Needs::Node => "a node".to_owned(),
        Needs::Person => "a person".to_owned(),
        Needs::Member(permission) => format!("a member with {}", permission.as_str()),
        Needs::Operator => "an operator".to_owned(),
    };
    let oneself = if access.oneself { ", or oneself" } else { "" };
    let fresh = if access.fresh { ", with a fresh proof" } else { "" };
    format!("{who}{oneself}{fresh}")
}

/// Where a route is, below the prefix or not.
fn full_path(route: &Route) -> String {
    let prefix = if route.prefixed { "/api/v1" } else { "" };
    format!("{prefix}{}", route.path)
}

/// Checklist 54: what changes in the table is read by someone.
#[test]
fn the_route_table_is_what_was_reviewed() {
    let mut table: Vec<String> =
        routes().iter().map(|it| format!("{} {}: {}", it.method, full_path(it), spelled(it.access))).collect();
    table.sort_unstable();
    insta::assert_snapshot!(table.join("\n"));
}

/// Refusals that are the handler's own: whoever gets them was let in.
const LET_IN: &[(&str, &str)] = &[
    ("/admin/orgs/{organisation}", "org_not_found"),
    ("/admin/orgs/{organisation}/limits", "org_not_found"),
    ("/admin/orgs/{organisation}/suspend", "org_not_found"),
    ("/admin/orgs/{organisation}/restore", "org_not_found"),
    ("/auth/mfa/recovery-codes", "second_factor_required"),
];

/// What a handler answers on an edge that no Stripe takes payments for: whoever gets it was let in.
const PAYMENTS_OFF: (u16, &str) = (503, "payments_off");

/// A request that the walk makes.
struct Probe<'a> {
    route: &'a Route,
    principal: &'a Principal,
    place: Option<Place>,
    /// Whether `{user}` is the principal itself.
    oneself: bool,
}

impl Probe<'_> {
    fn name(&self) -> String {
        let place = self.place.map_or(String::new(), |it| format!(" in {it:?}"));
        let oneself = if self.oneself { " on themselves" } else { "" };
        let needs = spelled(self.route.access);
        format!("{} {} ({needs}) by {}{place}{oneself}", self.route.method, self.route.path, self.principal.name)
    }

    /// Whether the walk has to be put right after it: it may delete, leave or log out.
    fn is_risky(&self) -> bool {
        self.route.method == Method::DELETE || self.route.path.ends_with("/logout")
    }

    fn expected(&self, world: &World) -> Expected {
        let org = self.place.map(|it| world.org(it, self.principal));
        expected(&self.route.method, self.route.access, &self.principal.who, org.as_ref(), self.oneself)
    }

    fn path(&self, world: &World) -> String {
        let user = self.principal.user_id().filter(|_| self.oneself);
        let org = self.place.map(|it| world.org(it, self.principal).id);
        let filled = self.route.path.split('/').map(|part| match part {
            "{org}" => org.clone().expect("a place for an organisation's route"),
            "{user}" if user.is_some() => user.expect("a person").to_string(),
            part if part.starts_with('{') => world::unknown(part),
            part => part.to_owned(),
        });
        let prefix = if self.route.prefixed { "/api/v1" } else { "" };
        let query = match org.as_ref().filter(|_| self.place != Some(Place::Unnamed) && !names_org(self.route)) {
            Some(org) => format!("?org_id={org}"),
            None => String::new(),
        };
        format!("{prefix}{}{query}", filled.collect::<Vec<_>>().join("/"))
    }

    async fn send(&self, world: &World) -> Answer {
        let request = world.edge.request(self.route.method.clone(), &self.path(world));
        let request = self.principal.sign(request, &world.edge.config.public_url);
        let request = if self.route.method == Method::GET { request } else { request.json(&json!({})) };
        Answer::read(request.send().await.unwrap()).await
    }

    /// What is wrong with the answer, if something is.
    fn judge(&self, answer: &Answer, expected: Expected) -> Option<String> {
        let status = answer.status.as_u16();
        let code = if status >= 400 { answer.code() } else { String::new() };
        let own_check = CHECKED_BY_THE_HANDLER.iter().any(|(path, _)| *path == self.route.path);
        let right = match expected {
            Expected::LetIn if self.route.access.principal == Needs::Node => (400..500).contains(&status),
            Expected::LetIn if own_check => status < 500,
            Expected::LetIn if (status, code.as_str()) == PAYMENTS_OFF => true,
            Expected::LetIn => {
                let let_in = LET_IN.iter().any(|(path, it)| *path == self.route.path && *it == code);
                status < 500 && (let_in || (![401, 403].contains(&status) && code != "org_not_found"))
            }
            Expected::Refused(refusal) => status == refusal.0 && (refusal.1.is_empty() || refusal.1 == code),
        };
        (!right).then(|| format!("{}: {status} {code}, expected {expected:?}", self.name()))
    }
}

/// Whether the path does; else the query may.
fn names_org(route: &Route) -> bool {
    route.path.split('/').any(|it| it == "{org}")
}

/// Every principal at every place that a route may concern.
fn probes<'a>(world: &'a World, route: &'a Route) -> Vec<Probe<'a>> {
    let of_an_org = matches!(route.access.principal, Needs::Member(_));
    let mut probes = Vec::new();
    for principal in &world.principals {
        let places: Vec<Option<Place>> = match (of_an_org, principal.wide) {
            (false, _) => vec![None],
            (true, false) => vec![Some(Place::Own)],
            (true, true) => Place::ALL.map(Some).to_vec(),
        };
        let unnamed = of_an_org && !names_org(route) && principal.own_org().is_some();
        for place in places.into_iter().chain(unnamed.then_some(Some(Place::Unnamed))) {
            probes.push(Probe { route, principal, place, oneself: false });
            if route.access.oneself && principal.user_id().is_some() {
                probes.push(Probe { route, principal, place, oneself: true });
            }
        }
    }
    probes
}

/// Checklist 54 (with 27 and 59's parts): each route, each principal, each ownership.
#[tokio::test]
async fn every_route_lets_in_whom_it_declares_and_nobody_else() {
    let world = World::make().await;
    let routes = routes();
    let probes: Vec<Probe> = routes.iter().flat_map(|route| probes(&world, route)).collect();
    assert!(probes.len() > 10_000, "the walk lacks most of its way: {}", probes.len());
    let (risky, calm): (Vec<_>, Vec<_>) = probes.into_iter().partition(Probe::is_risky);
    let mut wrong = Vec::new();
    for probe in &risky {
        let answer = probe.send(&world).await;
        wrong.extend(probe.judge(&answer, probe.expected(&world)));
        if answer.status.is_success() {
            world.restore().await;
        }
    }
    let judged = stream::iter(&calm).map(|probe| async {
        let answer = probe.send(&world).await;
        probe.judge(&answer, probe.expected(&world))
    });
    let judged: Vec<Option<String>> = judged.buffer_unordered(AT_ONCE).collect().await;
    wrong.extend(judged.into_iter().flatten());
    wrong.sort_unstable();
    assert!(
        wrong.is_empty(),
        "{} of {} answers are wrong:\n{}",
        wrong.len(),
        calm.len() + risky.len(),
        wrong.join("\n")
    );
}
