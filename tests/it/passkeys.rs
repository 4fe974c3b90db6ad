//! Passkeys: made, used as second factors, and refused for everything that can be wrong with them.

use futures_util::future::join_all;
use nest_tests::{
    Answer, Authenticator, TestEdge,
    authenticator::{Algorithm, Device, Fault},
    edge::PASSWORD,
    person::Person,
};
use reqwest::Method;
use serde_json::{Value, json};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const ORIGIN: &str = "https://console.nest.example";

/// Authenticators make passkeys for secure pages alone.
const PUBLIC: &[(&str, &str)] = &[("PUBLIC_URL", ORIGIN)];

async fn options(edge: &TestEdge, person: &Person) -> Value {
    let answer = edge.ask_by(person, Method::POST, "/api/v1/auth/mfa/passkeys/options", &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn register(edge: &TestEdge, person: &Person, credential: &Value) -> Answer {
    let body = json!({ "name": "My key", "credential": credential });
    edge.ask_by(person, Method::POST, "/api/v1/auth/mfa/passkeys", &body).await
}

/// Makes a passkey for `person`, and gives the answer.
async fn registered(edge: &TestEdge, person: &Person, authenticator: &mut Authenticator) -> Value {
    let credential = authenticator.create(&options(edge, person).await, ORIGIN).await.unwrap();
    let answer = register(edge, person, &credential).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"), "{}", answer.text());
    answer.json()
}

/// What a passkey has to sign for a log-in.
async fn asked(edge: &TestEdge, challenge: &str) -> Answer {
    let body = json!({ "challenge": challenge });
    Answer::read(edge.post("/api/v1/auth/mfa/passkeys/challenge").json(&body).send().await.unwrap()).await
}

async fn verify(edge: &TestEdge, challenge: &str, assertion: &Value) -> Answer {
    edge.verify(&json!({ "challenge": challenge, "method": "passkey", "assertion": assertion })).await
}

/// Both halves of a log-in.
async fn log_in(edge: &TestEdge, person: &Person, authenticator: &mut Authenticator) -> Person {
    let challenge = edge.challenge(&person.email).await;
    let assertion = authenticator.get(&asked(edge, &challenge).await.json(), ORIGIN).await.unwrap();
    edge.in_session(person, &verify(edge, &challenge, &assertion).await)
}

async fn factors(edge: &TestEdge, person: &Person) -> Value {
    edge.ask_by(person, Method::GET, "/api/v1/auth/mfa", &json!({})).await.json()
}

/// Checklist 29.
#[tokio::test]
async fn a_passkey_of_each_algorithm_and_kind_ends_a_log_in() {
    let edge = TestEdge::start(PUBLIC).await;
    for (at, algorithm) in [Algorithm::Es256, Algorithm::EdDsa].into_iter().enumerate() {
        for (device, method) in [(Device::Single, "hwk"), (Device::Synced, "swk")] {
            let email = format!("ada-{at}-{method}@example.com");
            let ada = edge.person(&email).await;
            let mut authenticator = Authenticator::start(&[algorithm], device).await;
            let made = registered(&edge, &ada, &mut authenticator).await;
            assert_eq!(made["recovery_codes"].as_array().unwrap().len(), 10, "the first second factor");
            assert_eq!(factors(&edge, &ada).await["passkeys"][0]["name"], "My key");
            for _ in 0..2 {
                let session = log_in(&edge, &ada, &mut authenticator).await;
                let me = edge.ask_by(&session, Method::GET, "/api/v1/me", &json!({})).await.json();
                assert_eq!(me["amr"], json!(["pwd", method, "mfa"]), "{algorithm:?} {device:?}");
            }
            let known = factors(&edge, &ada).await;
            assert!(known["passkeys"][0]["last_used_at"].is_i64() && known["recovery_codes_left"] == 10, "{known}");
            assert_eq!(edge.mails_to(&email).await, ["factor_changed"]);
        }
    }
}

#[tokio::test]
async fn options_name_the_site_the_person_and_what_is_there_already() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    let mut authenticator = Authenticator::start(&[Algorithm::Es256], Device::Synced).await;
    let fresh = options(&edge, &ada).await;
    assert_eq!(fresh["rp"], json!({ "id": "console.nest.example", "name": "AI Tool Nest" }));
    assert_eq!((&fresh["user"]["name"], &fresh["attestation"]), (&json!(ADA), &json!("none")));
    let algorithms: Vec<_> = fresh["pubKeyCredParams"].as_array().unwrap().iter().map(|it| &it["alg"]).collect();
    assert_eq!(algorithms, [-8, -7]);
    assert_eq!(fresh["excludeCredentials"], json!([]));

    registered(&edge, &ada, &mut authenticator).await;
    // From now on it takes the second factor to add another.
    let by_password = edge.ask_by(&ada, Method::POST, "/api/v1/auth/mfa/passkeys/options", &json!({})).await;
    assert_eq!(by_password.code(), "second_factor_required");
    let session = log_in(&edge, &ada, &mut authenticator).await;
    let next = options(&edge, &session).await;
    assert_eq!(next["excludeCredentials"][0]["transports"], json!(["hybrid", "internal"]));
    assert_eq!(authenticator.create(&next, ORIGIN).await.unwrap_err(), "InvalidStateError");
    let mut other = Authenticator::start(&[Algorithm::EdDsa], Device::Single).await;
    let second = registered(&edge, &session, &mut other).await;
    assert!(second.get("recovery_codes").is_none(), "{second}");

    let challenge = edge.challenge(ADA).await;
    let request = asked(&edge, &challenge).await.json();
    assert_eq!(
        (&request["rpId"], request["allowCredentials"].as_array().unwrap().len()),
        (&json!("console.nest.example"), 2)
    );
}

const OF_EITHER: [Fault; 9] = [
    Fault::WrongOrigin,
    Fault::WrongChallenge,
    Fault::WrongRpId,
    Fault::WrongType,
    Fault::NoUserPresence,
    Fault::ImpossibleBackup,
    Fault::MismatchedId,
    Fault::TrailingBytes,
    Fault::CrossOrigin,
];

#[tokio::test]
async fn each_fault_of_a_creation_is_refused() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let mut authenticator = Authenticator::start(&[algorithm], Device::Single).await;
        for fault in OF_EITHER.into_iter().chain([Fault::UnofferedAlgorithm]) {
            let options = options(&edge, &ada).await;
            let credential = authenticator.create_wrongly(&options, ORIGIN, fault).await;
            let answer = register(&edge, &ada, &credential).await;
            let code = if fault == Fault::WrongChallenge { "challenge_over" } else { "passkey_refused" };
            assert_eq!(answer.code(), code, "{algorithm:?} {fault:?}: {}", answer.text());
        }
    }
    assert_eq!(factors(&edge, &ada).await["passkeys"], json!([]));
    edge.log_in(ADA).await;
}

/// Verification of the person is preferred, and the password has been proven anyway.
#[tokio::test]
async fn a_passkey_without_verification_of_the_person_is_a_second_factor() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    let mut authenticator = Authenticator::start(&[Algorithm::Es256], Device::Single).await;
    let options = options(&edge, &ada).await;
    let credential = authenticator.create_wrongly(&options, ORIGIN, Fault::NoUserVerification).await;
    assert_eq!(register(&edge, &ada, &credential).await.status, 201);
    let challenge = edge.challenge(ADA).await;
    let request = asked(&edge, &challenge).await.json();
    assert_eq!(request["userVerification"], "preferred");
    let assertion = authenticator.get_wrongly(&request, ORIGIN, Fault::NoUserVerification).await;
    assert_eq!(verify(&edge, &challenge, &assertion).await.status, 200);
}

#[tokio::test]
async fn each_fault_of_an_assertion_is_refused_and_noted() {
    let edge = TestEdge::start(PUBLIC).await;
    let client = edge.db.connect().await;
    let alone = [Fault::OldSignCount, Fault::OtherKey, Fault::OtherData, Fault::OtherUserHandle];
    for (at, algorithm) in [Algorithm::Es256, Algorithm::EdDsa].into_iter().enumerate() {
        let email = format!("ada-{at}@example.com");
        let ada = edge.person(&email).await;
        let mut authenticator = Authenticator::start(&[algorithm], Device::Single).await;
        registered(&edge, &ada, &mut authenticator).await;
        for fault in OF_EITHER.into_iter().chain(alone) {
            if fault == Fault::OldSignCount {
                log_in(&edge, &ada, &mut authenticator).await;
            }
            let challenge = edge.challenge(&email).await;
            let request = asked(&edge, &challenge).await.json();
            let assertion = authenticator.get_wrongly(&request, ORIGIN, fault).await;
            let answer = verify(&edge, &challenge, &assertion).await;
            assert_eq!(answer.code(), "invalid_credentials", "{algorithm:?} {fault:?}: {}", answer.text());
        }
        log_in(&edge, &ada, &mut authenticator).await;
        let noted = "select detail::json ->> 'reason' from audit_log
            where action = 'auth.second_factor_refused' and target = $1";
        let noted = client.query(noted, &[&ada.user_id.to_string()]).await.unwrap();
        let noted: Vec<String> = noted.iter().map(|row| row.get(0)).collect();
        assert_eq!(noted.len(), OF_EITHER.len() + alone.len(), "{noted:?}");
        assert!(noted.iter().any(|it| it == "sign count"), "{noted:?}");
    }
}

#[tokio::test]
async fn what_was_signed_once_is_good_once() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    // It counts nothing, so that the challenge alone tells one use from the next.
    let mut authenticator = Authenticator::start(&[Algorithm::Es256], Device::Synced).await;
    let credential = authenticator.create(&options(&edge, &ada).await, ORIGIN).await.unwrap();
    let tries = join_all((0..8).map(|_| register(&edge, &ada, &credential))).await;
    assert_eq!(tries.iter().filter(|it| it.status == 201).count(), 1);
    // The rest come too late for the challenge, or for a session without the second factor that there is now.
    let late = ["challenge_over", "second_factor_required"];
    assert!(tries.iter().all(|it| it.status == 201 || late.contains(&it.code().as_str())));

    let challenge = edge.challenge(ADA).await;
    let request = asked(&edge, &challenge).await.json();
    let assertion = authenticator.get(&request, ORIGIN).await.unwrap();
    let answers = join_all((0..5).map(|_| verify(&edge, &challenge, &assertion))).await;
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1);
    let next = edge.challenge(ADA).await;
    asked(&edge, &next).await;
    assert_eq!(verify(&edge, &next, &assertion).await.code(), "invalid_credentials");
    // A failed try uses the options up, too.
    let again = authenticator.get(&request, ORIGIN).await.unwrap();
    assert_eq!(verify(&edge, &next, &again).await.code(), "invalid_credentials");
    assert_eq!(asked(&edge, &challenge).await.code(), "challenge_over");
}

#[tokio::test]
async fn a_passkey_is_one_person_s() {
    let edge = TestEdge::start(PUBLIC).await;
    let (ada, bob) = (edge.person(ADA).await, edge.person(BOB).await);
    let mut ada_s = Authenticator::start(&[Algorithm::Es256], Device::Synced).await;
    let mut bob_s = Authenticator::start(&[Algorithm::Es256], Device::Synced).await;
    registered(&edge, &ada, &mut ada_s).await;
    let bob_made = registered(&edge, &bob, &mut bob_s).await;

    // Bob's passkey signs what Ada's should.
    let challenge = edge.challenge(ADA).await;
    let mut request = asked(&edge, &challenge).await.json();
    request["allowCredentials"] = json!([]);
    let assertion = bob_s.get(&request, ORIGIN).await.unwrap();
    assert_eq!(verify(&edge, &challenge, &assertion).await.code(), "invalid_credentials");

    // Nor can she see, name or remove it.
    let session = log_in(&edge, &ada, &mut ada_s).await;
    let path = format!("/api/v1/auth/mfa/passkeys/{}", bob_made["id"].as_str().unwrap());
    let renamed = edge.ask_by(&session, Method::PATCH, &path, &json!({ "name": "Mine" })).await;
    assert_eq!((renamed.status.as_u16(), renamed.code().as_str()), (404, "passkey_not_found"));
    let removed = edge.ask_by(&session, Method::DELETE, &path, &json!({ "password": PASSWORD })).await;
    assert_eq!((removed.status.as_u16(), removed.code().as_str()), (404, "passkey_not_found"));
    let list = edge.ask_by(&session, Method::GET, "/api/v1/auth/mfa/passkeys", &json!({})).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

/// Checklist 26.
#[tokio::test]
async fn a_passkey_is_renamed_and_goes_by_password_and_second_factor() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    let mut authenticator = Authenticator::start(&[Algorithm::EdDsa], Device::Single).await;
    let made = registered(&edge, &ada, &mut authenticator).await;
    let path = format!("/api/v1/auth/mfa/passkeys/{}", made["id"].as_str().unwrap());
    for (name, status) in [("Blue key", 204), ("", 422), ("a\u{0}b", 422)] {
        let renamed = edge.ask_by(&ada, Method::PATCH, &path, &json!({ "name": name })).await;
        assert_eq!(renamed.status, status, "{name:?}");
    }
    assert_eq!(factors(&edge, &ada).await["passkeys"][0]["name"], "Blue key");

    let remove = async |person: &Person, password: &str| {
        let answer = edge.ask_by(person, Method::DELETE, &path, &json!({ "password": password })).await;
        if answer.status == 204 { String::new() } else { answer.code() }
    };
    assert_eq!(remove(&ada, PASSWORD).await, "second_factor_required");
    let session = log_in(&edge, &ada, &mut authenticator).await;
    assert_eq!(remove(&session, "another password of mine").await, "invalid_credentials");
    assert_eq!(remove(&session, PASSWORD).await, "");
    assert_eq!(remove(&session, PASSWORD).await, "passkey_not_found");
    // With the last second factor the recovery codes go, and log-in is by password again.
    assert_eq!(factors(&edge, &ada).await["recovery_codes_left"], 0);
    edge.log_in(ADA).await;
    assert_eq!(edge.mails_to(ADA).await, ["factor_changed"; 2]);
    let acts = edge.audited(made["id"].as_str().unwrap()).await;
    assert_eq!(acts, ["auth.passkey_added", "auth.passkey_renamed", "auth.passkey_removed"]);
}

/// Checklist 29, 44.
#[tokio::test]
async fn a_passkey_proves_again_who_one_is() {
    let edge = TestEdge::start(PUBLIC).await;
    let ada = edge.person(ADA).await;
    let mut authenticator = Authenticator::start(&[Algorithm::Es256], Device::Single).await;
    registered(&edge, &ada, &mut authenticator).await;
    let path = "/api/v1/auth/reauthenticate";
    let waits = edge.ask_by(&ada, Method::POST, path, &json!({ "password": PASSWORD })).await.json();
    assert_eq!(waits["methods"], json!(["passkey", "recovery_code"]));
    let challenge = waits["challenge"].as_str().unwrap();
    let assertion = authenticator.get(&asked(&edge, challenge).await.json(), ORIGIN).await.unwrap();
    let session = edge.in_session(&ada, &verify(&edge, challenge, &assertion).await);
    assert_eq!(factors(&edge, &session).await["passkeys"].as_array().unwrap().len(), 1);
    assert_eq!(edge.by(&ada, Method::GET, "/api/v1/me").send().await.unwrap().status(), 401);
}
