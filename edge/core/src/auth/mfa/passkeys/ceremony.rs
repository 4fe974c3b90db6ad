//! What a browser sends of a ceremony, and every check of it (WebAuthn level 3, sections 7.1 and 7.2).

use super::{
    Stored,
    cose::PublicKey,
    data::{AuthenticatorData, of_attestation},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

/// A new passkey, as the browser's `toJSON` gives it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PasskeyRegistration)]
pub(super) struct Registration {
    id: String,
    raw_id: String,
    r#type: String,
    response: AttestationResponse,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

/// A signature of a passkey, as the browser's `toJSON` gives it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assertion {
    id: String,
    raw_id: String,
    r#type: String,
    response: AssertionResponse,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

/// Who asked for the ceremony.
pub(super) struct Site<'a> {
    pub(super) origin: &'a str,
    pub(super) rp_id: &'a str,
}

/// What a good registration has brought.
#[derive(Debug)]
pub(super) struct Made {
    /// What was signed; whoever asked for it knows its hash.
    pub(super) challenge: Vec<u8>,
    pub(super) credential_id: Vec<u8>,
    pub(super) stored: Stored,
    pub(super) sign_count: u32,
}

/// Whose signature is expected, and of what.
pub(super) struct Asked<'a> {
    pub(super) challenge: &'a [u8],
    pub(super) user_handle: &'a [u8],
    pub(super) passkey: &'a Stored,
    pub(super) sign_count: i64,
}

/// What is wrong in a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the credential is malformed")]
    Malformed,
    #[error("the credential belongs to another ceremony")]
    Type,
    #[error("the challenge is another one")]
    Challenge,
    #[error("the page is not one of ours")]
    Origin,
    #[error("the credential is for another site")]
    RpId,
    #[error("nobody was present")]
    NotPresent,
    #[error("the backup flags contradict each other")]
    Backup,
    #[error("the key is of an algorithm that was not offered")]
    Algorithm,
    #[error("the passkey is somebody else's")]
    User,
    #[error("the signature is wrong")]
    Signature,
    /// Fewer uses than we have seen: the key may have been cloned.
    #[error("the passkey has counted backwards")]
    SignCount,
}

/// What the browser, and nobody else, says of the page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

/// The longest list of transports, and the longest name of one, that are kept.
const TRANSPORTS: usize = 8;
const TRANSPORT_BYTES: usize = 20;

/// Judges a new passkey. Whether its challenge is one of ours, the statement decides that uses it up.
pub(super) fn registration(site: &Site<'_>, credential: &Registration) -> Result<Made, Fault> {
    let id = credential_id(&credential.id, &credential.raw_id, &credential.r#type)?;
    let client_data = decoded(&credential.response.client_data_json)?;
    let challenge = check_client_data(site, &client_data, "webauthn.create")?;
    let object = decoded(&credential.response.attestation_object)?;
    let data = of_attestation(&object).and_then(AuthenticatorData::parse).ok_or(Fault::Malformed)?;
    check_data(site, &data)?;
    let attested = data.attested.ok_or(Fault::Malformed)?;
    if attested.credential_id != id {
        return Err(Fault::Malformed);
    }
    let (alg, public_key) = PublicKey::parse(attested.public_key).ok_or(Fault::Algorithm)?.parts();
    let short = |it: &&String| it.len() <= TRANSPORT_BYTES;
    let transports = credential.response.transports.iter().filter(short).take(TRANSPORTS).cloned().collect();
    let stored = Stored { alg, public_key, backup_eligible: data.backup_eligible, transports };
    Ok(Made { challenge, credential_id: id, stored, sign_count: data.sign_count })
}

/// Judges a signature, and gives the count that comes with it.
pub(super) fn assertion(site: &Site<'_>, asked: &Asked<'_>, credential: &Assertion) -> Result<u32, Fault> {
    credential_id(&credential.id, &credential.raw_id, &credential.r#type)?;
    let response = &credential.response;
    if let Some(handle) = &response.user_handle
        && decoded(handle)? != asked.user_handle
    {
        return Err(Fault::User);
    }
    let client_data = decoded(&response.client_data_json)?;
    let challenge = check_client_data(site, &client_data, "webauthn.get")?;
    if !bool::from(challenge.ct_eq(asked.challenge)) {
        return Err(Fault::Challenge);
    }
    let bytes = decoded(&response.authenticator_data)?;
    let data = AuthenticatorData::parse(&bytes).ok_or(Fault::Malformed)?;
    check_data(site, &data)?;
    if data.backup_eligible != asked.passkey.backup_eligible {
        return Err(Fault::Backup);
    }
    let key = PublicKey::stored(asked.passkey).ok_or(Fault::Algorithm)?;
    let signed = [&bytes[..], &Sha256::digest(&client_data)].concat();
    if !key.verifies(&signed, &decoded(&response.signature)?) {
        return Err(Fault::Signature);
    }
    let counts = data.sign_count > 0 || asked.sign_count > 0;
    if counts && i64::from(data.sign_count) <= asked.sign_count {
        return Err(Fault::SignCount);
    }
    Ok(data.sign_count)
}

impl Assertion {
    /// The id of the passkey that signs, as far as it can be read.
    pub(in crate::auth::mfa) fn credential_id(&self) -> Option<Vec<u8>> {
        decoded(&self.raw_id).ok()
    }
}

fn credential_id(id: &str, raw_id: &str, kind: &str) -> Result<Vec<u8>, Fault> {
    if id != raw_id || kind != "public-key" {
        return Err(Fault::Malformed);
    }
    decoded(raw_id)
}

/// Checks what the browser says of the page, and gives the challenge.
fn check_client_data(site: &Site<'_>, json: &[u8], wanted: &str) -> Result<Vec<u8>, Fault> {
    let data: ClientData = serde_json::from_slice(json).map_err(|_| Fault::Malformed)?;
    if data.r#type != wanted {
        return Err(Fault::Type);
    }
    // Our pages are in nobody's frames.
    if data.origin != site.origin || data.cross_origin || data.top_origin.is_some() {
        return Err(Fault::Origin);
    }
    decoded(&data.challenge)
}

fn check_data(site: &Site<'_>, data: &AuthenticatorData<'_>) -> Result<(), Fault> {
    if data.rp_id_hash != &Sha256::digest(site.rp_id.as_bytes())[..] {
        return Err(Fault::RpId);
    }
    if !data.present {
        return Err(Fault::NotPresent);
    }
    if data.backed_up && !data.backup_eligible {
        return Err(Fault::Backup);
    }
    Ok(())
}

fn decoded(text: &str) -> Result<Vec<u8>, Fault> {
    BASE64URL.decode(text).map_err(|_| Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::mfa::passkeys::cose::EDDSA;
    use serde_json::{Value, json};

    const SITE: Site<'_> = Site { origin: "https://nest.example", rp_id: "nest.example" };
    const HANDLE: [u8; 16] = [1; 16];
    const PRESENT: u8 = 0x01;
    const BACKUP_ELIGIBLE: u8 = 0x08;

    fn pair() -> ed25519_compact::KeyPair {
        ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([5; 32]))
    }

    fn passkey(backup_eligible: bool) -> Stored {
        let public_key = BASE64URL.encode(pair().pk.as_ref());
        Stored { alg: EDDSA, public_key, backup_eligible, transports: Vec::new() }
    }

    fn page() -> Value {
        json!({ "type": "webauthn.get", "challenge": BASE64URL.encode([9; 32]), "origin": SITE.origin })
    }

    fn signed(page: &Value, flags: u8, count: u32) -> Assertion {
        let client_data = page.to_string().into_bytes();
        let data = [&Sha256::digest(SITE.rp_id)[..], &[flags], &count.to_be_bytes()].concat();
        let signature = pair().sk.sign([&data[..], &Sha256::digest(&client_data)].concat(), None);
        Assertion {
            id: "AAAA".to_owned(),
            raw_id: "AAAA".to_owned(),
            r#type: "public-key".to_owned(),
            response: AssertionResponse {
                client_data_json: BASE64URL.encode(client_data),
                authenticator_data: BASE64URL.encode(data),
                signature: BASE64URL.encode(signature),
                user_handle: Some(BASE64URL.encode(HANDLE)),
            },
        }
    }

    fn judged(passkey: &Stored, sign_count: i64, credential: &Assertion) -> Result<u32, Fault> {
        let asked = Asked { challenge: &[9; 32], user_handle: &HANDLE, passkey, sign_count };
        assertion(&SITE, &asked, credential)
    }

    #[test]
    fn a_count_goes_up_or_there_is_none() {
        for (known, counted, good) in
            [(0, 0, true), (0, 1, true), (1, 2, true), (1, 1, false), (2, 1, false), (1, 0, false), (1, u32::MAX, true)]
        {
            let found = judged(&passkey(false), known, &signed(&page(), PRESENT, counted));
            assert_eq!(found, if good { Ok(counted) } else { Err(Fault::SignCount) }, "{known} {counted}");
        }
    }

    #[test]
    fn what_the_browser_says_of_the_page_is_taken_at_its_word() {
        for (name, value, fault) in [
            ("crossOrigin", json!(false), None),
            ("crossOrigin", json!(true), Some(Fault::Origin)),
            ("topOrigin", json!("https://nest.example"), Some(Fault::Origin)),
            ("origin", json!("https://nest.example:8443"), Some(Fault::Origin)),
            ("origin", json!("https://nest.example/"), Some(Fault::Origin)),
            ("origin", json!("http://nest.example"), Some(Fault::Origin)),
            ("origin", json!("https://a.nest.example"), Some(Fault::Origin)),
            ("origin", json!(null), Some(Fault::Malformed)),
            ("challenge", json!(BASE64URL.encode([9; 31])), Some(Fault::Challenge)),
            ("challenge", json!("!"), Some(Fault::Malformed)),
            ("type", json!("webauthn.create"), Some(Fault::Type)),
            ("type", json!("payment.get"), Some(Fault::Type)),
        ] {
            let mut page = page();
            page[name] = value.clone();
            let found = judged(&passkey(false), 0, &signed(&page, PRESENT, 0)).err();
            assert_eq!(found, fault, "{name}: {value}");
        }
    }

    #[test]
    fn a_passkey_stays_of_the_kind_that_it_was_made_as() {
        for (made, flags, good) in [
            (false, PRESENT, true),
            (true, PRESENT | BACKUP_ELIGIBLE, true),
            (true, PRESENT, false),
            (false, PRESENT | BACKUP_ELIGIBLE, false),
        ] {
            let found = judged(&passkey(made), 0, &signed(&page(), flags, 0));
            assert_eq!(found, if good { Ok(0) } else { Err(Fault::Backup) }, "{made} {flags:#x}");
        }
    }

    #[test]
    fn no_bit_of_what_was_signed_may_change() {
        let good = signed(&page(), PRESENT, 7);
        assert_eq!(judged(&passkey(false), 0, &good), Ok(7));
        let data = BASE64URL.decode(&good.response.authenticator_data).unwrap();
        for bit in 0..data.len() * 8 {
            let mut changed = data.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut bad = good.clone();
            bad.response.authenticator_data = BASE64URL.encode(changed);
            assert!(judged(&passkey(false), 0, &bad).is_err(), "bit {bit}");
        }
    }
}
