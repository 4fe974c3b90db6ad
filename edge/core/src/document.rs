//! `openapi.json`: the route table as OpenAPI 3.1 has it.
//!
//! Nothing is written twice: paths, access and summaries come from the table, bodies and answers from the handlers'
//! types. A deployed edge carries none of this.

use crate::{Principal, Route, access::Access, auth, config::SETTINGS, error::Problem, openapi::Draft};
use http::Method;
use shared::{
    id::{ClientId, InvitationId, KeyId, NodeId, OrgId, PasskeyId, RoleId, SessionId, UserId},
    openai::error::ErrorBody,
};
use std::collections::BTreeSet;
use utoipa::{
    PartialSchema,
    openapi::{
        Components, HttpMethod, Info, License, OpenApi, Paths, Ref, RefOr, Required, Response, Server, Tag,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Schema, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// Slices as readers of the document know them.
const TAGS: &[(&str, &str, &str)] = &[
    ("auth", "Accounts", "People: sign-up, log-in, sessions and their tokens."),
    ("orgs", "Organisations", "Whom people act for: members, roles, invitations."),
    ("keys", "API keys", "What programs call models with."),
    ("proxy", "Models", "The OpenAI-compatible API: chats, completions, embeddings, models."),
    ("usage", "Usage", "What was used."),
    ("billing", "Billing", "What it costs."),
    ("audit", "Audit", "Who did what, when, from where."),
    ("mail", "Mail", "What the service sends."),
    ("nodes", "GPU nodes", "How machines that compute join; signed by the node."),
    ("admin", "Operation", "Health, for whoever watches over the service."),
];

/// Schemes of authentication.
const ACCESS_TOKEN: &str = "accessToken";
const SESSION: &str = "session";
const API_KEY: &str = "apiKey";
const NODE: &str = "node";

/// The body of failed calls outside `/v1`, and below it.
const PROBLEM: &str = "Problem";
const OPENAI_ERROR: &str = "OpenAiError";

/// The document, with a line's end at its end.
pub fn json() -> String {
    document(&crate::routes()).to_pretty_json().expect("a document is plain data") + "\n"
}

fn document(routes: &[Route]) -> OpenApi {
    let mut draft = Draft::default();
    let mut tags = BTreeSet::new();
    let mut paths = Paths::new();
    for route in routes {
        paths.add_path_operation(path(route), vec![http_method(&route.method)], operation(route, &mut draft));
        tags.insert(route.slice);
    }
    let components = components(&mut draft);
    // A document in which one name means two things tells clients wrongly about one of them.
    assert!(draft.ambiguous.is_empty(), "several types have these names: {:?}; `#[schema(as = ...)]`", draft.ambiguous);
    let info = Info::builder()
        .title("AI Tool Nest")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("An AI API platform: accounts, keys and limits at the edge, inference on GPU nodes."))
        .license(Some(License::builder().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let tags = TAGS.iter().filter(|(slice, ..)| tags.contains(slice));
    OpenApi::builder()
        .info(info)
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags.map(|(_, name, about)| Tag::builder().name(*name).description(Some(*about)).build())))
        .build()
}

fn operation(route: &Route, draft: &mut Draft) -> Operation {
    for describe in &route.described {
        describe(draft);
    }
    for (name, schema) in parameters(route.path) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(schema));
        draft.edit(|it| it.parameter(parameter));
    }
    if matches!(route.access.principal, Principal::Member(_)) && !names(route.path).any(|it| it == "org") {
        let about = "The organisation; without it one's own: a person's personal one, or a client's or key's.";
        let parameter = ParameterBuilder::new()
            .name("org_id")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(OrgId::schema()));
        draft.edit(|it| it.parameter(parameter));
    }
    // Errors look alike everywhere, whatever their status.
    let failed = Ref::from_response_name(if is_openai(route) { OPENAI_ERROR } else { PROBLEM });
    let answers = std::mem::take(&mut draft.answers);
    draft.edit(|it| {
        let it = answers.into_iter().fold(it, |it, (status, answer)| it.response(status, answer));
        it.operation_id(Some(operation_id(route)))
            .summary(Some(route.summary))
            .description(condition(route.access))
            .tag(tag(route.slice))
            .securities(Some(securities(route.access)))
            .response("4XX", RefOr::Ref(failed.clone()))
            .response("5XX", RefOr::Ref(failed))
    });
    std::mem::take(&mut draft.operation).build()
}

fn tag(slice: &str) -> &'static str {
    let known = TAGS.iter().find(|(it, ..)| *it == slice);
    known.unwrap_or_else(|| panic!("the slice {slice} has no name for readers: give it one in TAGS")).1
}

fn is_openai(route: &Route) -> bool {
    !route.prefixed && route.path.starts_with("/v1/")
}

/// The path as the document spells it.
fn path(route: &Route) -> String {
    let prefix = SETTINGS.iter().find(|it| it.name == "API_V1_STR").and_then(|it| it.default).unwrap_or_default();
    let prefix = if route.prefixed { prefix } else { "" };
    // A parameter that takes slashes is a plain one here: OpenAPI has no other.
    format!("{prefix}{}", route.path.replace("{*", "{"))
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')).map(|it| it.trim_start_matches('*'))
}

/// The parameters of a path: ids where the name says so, else any text.
fn parameters(path: &'static str) -> impl Iterator<Item = (&'static str, RefOr<Schema>)> {
    let schema = |name: &str| match name {
        "client" => ClientId::schema(),
        "invitation" => InvitationId::schema(),
        "key" => KeyId::schema(),
        "node" => NodeId::schema(),
        "org" => OrgId::schema(),
        "passkey" => PasskeyId::schema(),
        "role" => RoleId::schema(),
        "session" => SessionId::schema(),
        "user" | "member" => UserId::schema(),
        _ => ObjectBuilder::new().schema_type(Type::String).build().into(),
    };
    names(path).map(move |name| (name, schema(name)))
}

/// Method and path in one word: it stays as long as they do. `GET /auth/sessions` is `getAuthSessions`.
fn operation_id(route: &Route) -> String {
    let words = |text: &str| -> String {
        let words = text.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
        words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
    };
    let segments =
        route.path.split('/').map(|it| if it.starts_with('{') { format!("By{}", words(it)) } else { words(it) });
    route.method.as_str().to_lowercase() + &segments.collect::<String>()
}

/// What else the caller needs.
fn condition(access: Access) -> Option<String> {
    let who = match access.principal {
        Principal::Member(permission) => Some(format!("Needs the permission `{}`.", permission.as_str())),
        Principal::Operator => Some("For operators of the platform.".to_owned()),
        Principal::Anyone | Principal::Key | Principal::Node | Principal::Person => None,
    };
    let fresh = access.fresh.then(|| "Needs a proof of who one is that is at most five minutes old.".to_owned());
    let conditions: Vec<String> = who.into_iter().chain(fresh).collect();
    (!conditions.is_empty()).then(|| conditions.join(" "))
}

/// Any one of these will do; none at all for anyone.
fn securities(access: Access) -> Vec<SecurityRequirement> {
    let names: &[&str] = match access.principal {
        Principal::Anyone => &[],
        Principal::Key => &[API_KEY],
        Principal::Node => &[NODE],
        Principal::Member(_) if !access.fresh => &[ACCESS_TOKEN, SESSION, API_KEY],
        Principal::Person | Principal::Member(_) | Principal::Operator => &[ACCESS_TOKEN, SESSION],
    };
    names.iter().map(|it| SecurityRequirement::new(*it, [] as [&str; 0])).collect()
}

fn components(draft: &mut Draft) -> Components {
    draft.gives::<Problem>(PROBLEM, "application/problem+json");
    draft.gives::<ErrorBody>(OPENAI_ERROR, "application/json");
    let mut components = Components::new();
    components.responses =
        std::mem::take(&mut draft.answers).into_iter().map(|(name, answer)| (name, failed(answer))).collect();
    components.schemas = std::mem::take(&mut draft.schemas);
    let bearer = |about: &str, format: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
        SecurityScheme::Http(scheme.description(Some(about)).build())
    };
    let schemes = [
        (ACCESS_TOKEN, bearer("An access token of a person's session, or of an OAuth client.", "JWT")),
        (
            API_KEY,
            bearer(
                "An API key, `nest_live_...` or `nest_test_...`: an inference key for models, a management key for the rest.",
                "API key",
            ),
        ),
        (
            SESSION,
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                auth::SESSION_COOKIE,
                "The session of a browser; what writes must come from a page of this service.",
            ))),
        ),
        (
            NODE,
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "x-nest-signature",
                "A node's signature over the call, with `x-nest-key`, `x-nest-time` and `x-nest-nonce` beside it.",
            ))),
        ),
    ];
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    components
}

fn failed(mut answer: Response) -> RefOr<Response> {
    "What went wrong: `code` is a stable word for programs.".clone_into(&mut answer.description);
    answer.into()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        ref other => panic!("{other} is in no route"),
    }
}
