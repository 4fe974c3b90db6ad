//! What is done once, however often it is asked for: requests with an `Idempotency-Key`.
//!
//! A handler takes a [`Once`], which is the key of the request and refuses one without, and acts within [`Once::run`]:
//!
//! ```text
//! async fn buy(app: App, once: Once, member: Member, Input(ask): Input<Buy>) -> Result<Told<Bought>, Error> {
//!     once.run(&app, &member.actor, &ask, async |effect| buy_as(&app, effect, &ask).await).await
//! }
//! ```
//!
//! Of tries with one key and one body one acts, and all others are told what came of it, for 24 hours; meanwhile they
//! are told that it is in flight. Another body, or another route, is refused. A key is its principal's own. `effect`
//! is a name that all tries share: whoever does something outside, or books an entry, derives its key from it, since a
//! process may end between the effect and the note of it, and then the next try acts again. What fails is not kept.

mod sql;

pub(super) use sql::statements;

use super::BillingError;
use crate::{
    App, Error,
    audit::Actor,
    error::chain,
    openapi::{Describe, Draft},
};
use axum::{
    Json,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use shared::time::Timestamp;
use sql::Claim;
use std::future::Future;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long an answer is told again.
const KEEP_MS: i64 = 24 * 3_600_000;
/// Longer than any act takes; then whoever had the key is gone.
const CLAIM_MS: i64 = 60_000;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The key of a request, and what the request is.
pub(crate) struct Once {
    key: String,
    /// Method and path, without the query.
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let (first, more) = (given.next(), given.next());
        let key = first.filter(|_| more.is_none()).and_then(|it| it.to_str().ok()).map(str::trim);
        let fits = |it: &&str| (1..=255).contains(&it.len());
        let key = key.filter(fits).ok_or(BillingError::IdempotencyKeyMissing)?.to_owned();
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self { key, route: format!("{} {}?{query}", parts.method, parts.uri.path()) })
    }
}

impl Describe for Once {
    fn describe(draft: &mut Draft) {
        let text = utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(255));
        let parameter = utoipa::openapi::path::ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(utoipa::openapi::path::ParameterIn::Header)
            .required(utoipa::openapi::Required::True)
            .description(Some("Chosen by the caller: tries with one key and one body act once."))
            .schema(Some(text));
        draft.edit(|it| it.parameter(parameter));
    }
}

/// What came of an act, and whether it was told before.
pub(crate) struct Told<T> {
    answer: T,
    replayed: bool,
}

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.answer).into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<T: ToSchema> Describe for Told<T> {
    fn describe(draft: &mut Draft) {
        Json::<T>::describe(draft);
    }
}

impl Once {
    /// Acts, or tells what an earlier try with this key has come to.
    pub(crate) async fn run<T, F>(
        self,
        app: &App,
        who: &Actor,
        body: &impl Serialize,
        act: impl FnOnce(Uuid) -> F,
    ) -> Result<Told<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, Error>>,
    {
        let principal = format!("{}:{}", who.kind, who.id.as_deref().unwrap_or_default());
        let fingerprint = fingerprint(&self.route, body);
        let claim = app.store.claim_once(app, &principal, &self.key, fingerprint, app.host.now()).await?;
        let effect = match verdict(claim)? {
            Verdict::Act(effect) => effect,
            Verdict::Tell(answer) => return Ok(Told { answer, replayed: true }),
        };
        let result = act(effect).await;
        // Whatever becomes of the note, the answer is what came of the act: another try would come to the same.
        let noted = match &result {
            Ok(answer) => {
                let text = serde_json::to_string(answer).expect("an answer is plain data");
                app.store.finish_once(&principal, &self.key, effect, text).await
            }
            Err(_) => app.store.release_once(&principal, &self.key, effect).await,
        };
        if let Err(error) = noted {
            tracing::warn!(error = %chain(&error), "what came of a request with an idempotency key was not noted");
        }
        result.map(|answer| Told { answer, replayed: false })
    }
}

enum Verdict<T> {
    Act(Uuid),
    Tell(T),
}

fn verdict<T: DeserializeOwned>(claim: Claim) -> Result<Verdict<T>, BillingError> {
    match claim {
        Claim { claimed: Some(effect), .. } => {
            Uuid::try_parse(&effect).map(Verdict::Act).map_err(|_| BillingError::IdempotencyInFlight)
        }
        Claim { same: Some(false), .. } => Err(BillingError::IdempotencyKeyReused),
        // What an older version answered, this one may not read: nobody acts twice for that.
        Claim { body: Some(body), .. } => {
            serde_json::from_str(&body).map(Verdict::Tell).map_err(|_| BillingError::IdempotencyKeyReused)
        }
        // Not to be seen yet where another try was faster by a moment.
        Claim { .. } => Err(BillingError::IdempotencyInFlight),
    }
}

fn fingerprint(route: &str, body: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(body).expect("a body is plain data");
    Sha256::new().chain_update(route).chain_update("\n").chain_update(body).finalize().to_vec()
}

/// Forgets answers that nobody asks for any more.
pub(super) async fn sweep(app: &App) {
    if let Err(error) = app.store.sweep_once(app.host.now()).await {
        tracing::warn!(error = %chain(&error), "old idempotency keys could not be forgotten");
    }
}

/// When what began at `now` may be taken over, and before when it is forgotten.
fn bounds(now: Timestamp) -> (Timestamp, Timestamp) {
    (now.plus_ms(CLAIM_MS), now.plus_ms(-KEEP_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(claimed: Option<&str>, same: Option<bool>, body: Option<&str>) -> Claim {
        Claim { claimed: claimed.map(str::to_owned), same, body: body.map(str::to_owned) }
    }

    /// Checklist 87, as a table.
    #[test]
    fn a_try_acts_or_is_told_or_refused() {
        let id = "0192f0c1-2d3e-7f00-8000-000000000001";
        for (name, claim, expected) in [
            ("the first", claim(Some(id), None, None), Ok("act")),
            ("one after a try that is gone", claim(Some(id), Some(true), None), Ok("act")),
            ("one after the answer", claim(None, Some(true), Some("7")), Ok("tell")),
            ("one with another body", claim(None, Some(false), Some("7")), Err(BillingError::IdempotencyKeyReused)),
            (
                "one with another body meanwhile",
                claim(None, Some(false), None),
                Err(BillingError::IdempotencyKeyReused),
            ),
            ("one meanwhile", claim(None, Some(true), None), Err(BillingError::IdempotencyInFlight)),
            ("one at the same moment", claim(None, None, None), Err(BillingError::IdempotencyInFlight)),
            (
                "one whose answer is no number",
                claim(None, Some(true), Some("{}")),
                Err(BillingError::IdempotencyKeyReused),
            ),
        ] {
            let seen = verdict::<u64>(claim).map(|it| match it {
                Verdict::Act(_) => "act",
                Verdict::Tell(_) => "tell",
            });
            assert_eq!(seen, expected, "{name}");
        }
    }

    #[test]
    fn a_fingerprint_is_that_of_route_and_body() {
        let base = fingerprint("POST /a?", &1);
        assert_eq!(base, fingerprint("POST /a?", &1));
        for other in [fingerprint("POST /b?", &1), fingerprint("PUT /a?", &1), fingerprint("POST /a?", &2)] {
            assert_ne!(base, other);
        }
    }
}
