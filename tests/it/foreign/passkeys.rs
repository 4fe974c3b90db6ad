//! An authenticator, and the relying party that judges what it makes.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nest_tests::{
    Authenticator, Talk,
    authenticator::{Algorithm, Device, Fault},
    python,
};
use serde_json::{Value, json};

const ORIGIN: &str = "https://console.nest.example";

/// A passkey that the reference has accepted, with both its sides.
async fn registered(algorithm: Algorithm, device: Device) -> (Authenticator, Talk) {
    let mut authenticator = Authenticator::start(&[algorithm], device).await;
    let mut reference = python::script("passkey_reference.py").talk().await;
    let options = reference.ask(&json!({ "ask_create": [algorithm.cose()] })).await;
    let credential = authenticator.create(&options, ORIGIN).await.unwrap();
    assert_eq!(credential["response"]["publicKeyAlgorithm"], algorithm.cose());
    let answer = reference.ask(&json!({ "check_create": credential })).await;
    let (count, kind) = match device {
        Device::Single => (1, "single_device"),
        Device::Synced => (0, "multi_device"),
    };
    assert_eq!(answer, json!({ "accepted": { "sign_count": count, "device": kind } }), "{algorithm:?}");
    (authenticator, reference)
}

#[tokio::test]
async fn the_reference_accepts_passkeys_of_both_algorithms_and_kinds() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        for device in [Device::Single, Device::Synced] {
            let (mut authenticator, mut reference) = registered(algorithm, device).await;
            for use_number in [1, 2] {
                let options = reference.ask(&json!({ "ask_get": null })).await;
                let assertion = authenticator.get(&options, ORIGIN).await.unwrap();
                let answer = reference.ask(&json!({ "check_get": assertion })).await;
                let count = if device == Device::Single { 1 + use_number } else { 0 };
                assert_eq!(answer["accepted"]["sign_count"], count, "{algorithm:?} {device:?}: {answer}");
            }
        }
    }
}

/// What is wrong in either ceremony, and what the reference has to say of it.
const IN_BOTH: [(Fault, &str); 9] = [
    (Fault::WrongOrigin, "Unexpected client data origin"),
    (Fault::WrongChallenge, "challenge was not expected"),
    (Fault::WrongRpId, "Unexpected RP ID hash"),
    (Fault::WrongType, "Unexpected client data type"),
    (Fault::NoUserPresence, "resent during a"),
    (Fault::NoUserVerification, "User verification is required"),
    (Fault::ImpossibleBackup, "backed up"),
    (Fault::MismatchedId, "id and raw_id were not equivalent"),
    (Fault::TrailingBytes, "malformed"),
];

fn assert_refused(answer: &Value, why: &str, what: &str) {
    assert!(answer["refused"].as_str().is_some_and(|it| it.contains(why)), "{what}: {answer}");
}

#[tokio::test]
async fn the_reference_refuses_each_fault_of_a_creation() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let mut authenticator = Authenticator::start(&[algorithm], Device::Single).await;
        let mut reference = python::script("passkey_reference.py").talk().await;
        let alone = [(Fault::UnofferedAlgorithm, "Unsupported credential public key alg")];
        for (fault, why) in IN_BOTH.into_iter().chain(alone) {
            let options = reference.ask(&json!({ "ask_create": [algorithm.cose()] })).await;
            let credential = authenticator.create_wrongly(&options, ORIGIN, fault).await;
            let answer = reference.ask(&json!({ "check_create": credential })).await;
            assert_refused(&answer, why, &format!("{algorithm:?} {fault:?}"));
        }
    }
}

#[tokio::test]
async fn the_reference_refuses_each_fault_of_an_assertion() {
    let alone = [
        (Fault::OldSignCount, "was not greater than current count"),
        (Fault::OtherKey, "Could not verify authentication signature"),
        (Fault::OtherData, "Could not verify authentication signature"),
    ];
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let (mut authenticator, mut reference) = registered(algorithm, Device::Single).await;
        for (fault, why) in IN_BOTH.into_iter().chain(alone) {
            let options = reference.ask(&json!({ "ask_get": null })).await;
            let assertion = authenticator.get_wrongly(&options, ORIGIN, fault).await;
            let answer = reference.ask(&json!({ "check_get": assertion })).await;
            assert_refused(&answer, why, &format!("{algorithm:?} {fault:?}"));
            // It is the fault that is refused, and nothing else.
            let options = reference.ask(&json!({ "ask_get": null })).await;
            let assertion = authenticator.get(&options, ORIGIN).await.unwrap();
            let answer = reference.ask(&json!({ "check_get": assertion })).await;
            assert!(answer["accepted"].is_object(), "after {algorithm:?} {fault:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn faults_that_the_reference_leaves_to_its_caller_are_there() {
    let (mut authenticator, mut reference) = registered(Algorithm::Es256, Device::Single).await;
    let options = reference.ask(&json!({ "ask_get": null })).await;
    let good = authenticator.get(&options, ORIGIN).await.unwrap();
    let other = authenticator.get_wrongly(&options, ORIGIN, Fault::OtherUserHandle).await;
    assert_eq!(good["id"], other["id"]);
    assert_ne!(good["response"]["userHandle"], other["response"]["userHandle"]);

    let framed = authenticator.get_wrongly(&options, ORIGIN, Fault::CrossOrigin).await;
    for (assertion, cross_origin) in [(good, false), (framed, true)] {
        let client_data = BASE64_URL_SAFE_NO_PAD.decode(assertion["response"]["clientDataJSON"].as_str().unwrap());
        let client_data: Value = serde_json::from_slice(&client_data.unwrap()).unwrap();
        assert_eq!(client_data["crossOrigin"], cross_origin);
    }
}

#[tokio::test]
async fn the_browser_refuses_what_a_page_may_not_ask_for() {
    let (mut authenticator, mut reference) = registered(Algorithm::Es256, Device::Synced).await;
    let create = reference.ask(&json!({ "ask_create": [Algorithm::EdDsa.cose()] })).await;
    let refusal = authenticator.create(&create, ORIGIN).await.unwrap_err();
    assert_eq!(refusal, "NotSupportedError", "it cannot sign so");

    let get = reference.ask(&json!({ "ask_get": null })).await;
    let mut create = reference.ask(&json!({ "ask_create": [Algorithm::Es256.cose()] })).await;
    create["excludeCredentials"] = get["allowCredentials"].clone();
    let refusal = authenticator.create(&create, ORIGIN).await.unwrap_err();
    assert_eq!(refusal, "InvalidStateError", "it has one already");

    for origin in ["https://nest.example.org", "http://console.nest.example", "https://evilnest.example"] {
        assert_eq!(authenticator.get(&get, origin).await.unwrap_err(), "SecurityError", "{origin}");
    }
    for (origin, rp_id) in [("https://127.0.0.1:8080", "127.0.0.1"), ("https://nest.example", "example")] {
        let mut named = get.clone();
        named["rpId"] = rp_id.into();
        assert_eq!(authenticator.get(&named, origin).await.unwrap_err(), "SecurityError", "{rp_id} for {origin}");
    }
    assert!(authenticator.get(&get, "https://nest.example").await.is_ok());
    let mut padded = get.clone();
    padded["challenge"] = format!("{}=", get["challenge"].as_str().unwrap()).into();
    assert_eq!(authenticator.get(&padded, ORIGIN).await.unwrap_err(), "EncodingError");

    let mut none = Authenticator::start(&[Algorithm::Es256], Device::Single).await;
    assert_eq!(none.get(&get, ORIGIN).await.unwrap_err(), "NotAllowedError", "it has no passkey");
}
