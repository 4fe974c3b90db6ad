//! Forged tokens, by family. Many are signed with the edge's own key, which no attacker has: what refuses them is the
//! check that is meant to, and not the signature.

use super::signatures::{curve, signatures};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_simple::prelude::{
    Claims, Duration, ECDSAP256KeyPairLike as _, ECDSAP256kKeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair,
    ES256kKeyPair, ES384KeyPair, HeaderOptions,
};
use nest_tests::{Mint, mint};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

/// Its family and number, and the token.
pub(super) type Forgery = (String, String);

/// What a forger may know, and the edge's own keys besides.
pub(super) struct Known<'a> {
    pub(super) good: &'a str,
    /// Another good token, of another person.
    pub(super) other: &'a str,
    pub(super) own: &'a Mint,
    /// The edge's own keys of times at which they are not published.
    pub(super) unpublished: [&'a Mint; 2],
}

impl Known<'_> {
    /// Header, claims and signature of the good token.
    pub(super) fn parts(&self) -> [&str; 3] {
        self.good.split('.').collect::<Vec<_>>().try_into().unwrap()
    }

    pub(super) fn claims(&self) -> Value {
        mint::claims(self.good)
    }

    /// The good token's claims under another header, signed with the edge's key.
    fn under(&self, header: impl AsRef<[u8]>) -> String {
        self.own.sign(header, self.claims().to_string())
    }

    /// The edge's header with a member changed; none leaves it out.
    fn header_with(&self, name: &str, value: Option<Value>) -> String {
        let mut header: Value = serde_json::from_str(&self.own.header()).unwrap();
        match value {
            Some(value) => header[name] = value,
            None => drop(header.as_object_mut().unwrap().remove(name)),
        }
        header.to_string()
    }
}

/// Every forgery.
pub(super) fn all(known: &Known<'_>) -> Vec<Forgery> {
    let families: [(&str, Vec<String>); 13] = [
        ("no signature", unsigned(known)),
        ("public key as secret", public_key_as_secret(known)),
        ("another algorithm", other_algorithms(known)),
        ("another key", other_keys(known)),
        ("kid", key_ids(known)),
        ("header", headers(known)),
        ("typ", types(known)),
        ("signature", signatures(known)),
        ("curve", curve(known)),
        ("structure", structures(known)),
        ("encoding", encodings(known)),
        ("claims under the old signature", tampered(known)),
        ("claims that are none", claims(known)),
    ];
    let numbered = |(name, tokens): (&str, Vec<String>)| {
        tokens.into_iter().enumerate().map(|(nth, it)| (format!("{name} {nth}"), it)).collect::<Vec<_>>()
    };
    families.into_iter().flat_map(numbered).collect()
}

fn unsigned(known: &Known<'_>) -> Vec<String> {
    let [_, claims, signature] = known.parts();
    let algorithms = ["none", "None", "NONE", "nOnE", "", " none", "null"].map(|it| json!(it));
    let algorithms = algorithms.into_iter().chain([json!(null), json!([]), json!(0), json!(false)]);
    let headers = algorithms.map(|it| BASE64URL.encode(known.header_with("alg", Some(it))));
    headers.flat_map(|it| ["", signature, "AA"].map(|signature| format!("{it}.{claims}.{signature}"))).collect()
}

/// RFC 8725, section 2.1: the public key, in every form in which it is published, as the secret of an HMAC.
fn public_key_as_secret(known: &Known<'_>) -> Vec<String> {
    let raw = known.own.pair.pk.to_vec();
    let x = BASE64URL.encode(&raw);
    let spki = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &raw].concat();
    let standard = base64::prelude::BASE64_STANDARD.encode(&spki);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{standard}\n-----END PUBLIC KEY-----");
    let kid = &known.own.kid;
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"{kid}","x":"{x}"}}"#);
    let secrets = [
        raw,
        x.clone().into_bytes(),
        spki,
        format!("{pem}\n").into_bytes(),
        pem.into_bytes(),
        jwk.clone().into_bytes(),
        format!(r#"{{"keys":[{jwk}]}}"#).into_bytes(),
        kid.clone().into_bytes(),
        Vec::new(),
    ];
    secrets.iter().flat_map(|secret| ["HS256", "HS384", "HS512"].map(|alg| hmac_signed(known, alg, secret))).collect()
}

fn hmac_signed(known: &Known<'_>, alg: &str, secret: &[u8]) -> String {
    let header = BASE64URL.encode(known.header_with("alg", Some(json!(alg))));
    let signed = format!("{header}.{}", known.parts()[1]);
    macro_rules! mac {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(secret).unwrap();
            mac.update(signed.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }};
    }
    let signature = match alg {
        "HS256" => mac!(Sha256),
        "HS384" => mac!(Sha384),
        _ => mac!(Sha512),
    };
    format!("{signed}.{}", BASE64URL.encode(signature))
}

/// Under the name of the edge's key: by keys of other algorithms, and by its own signature with another name on it.
fn other_algorithms(known: &Known<'_>) -> Vec<String> {
    let kid = known.own.kid.as_str();
    let options = HeaderOptions { signature_type: Some("at+jwt".to_owned()), content_type: None };
    let claims = || Claims::with_custom_claims(known.claims(), Duration::from_secs(600));
    let mut tokens = vec![
        ES256KeyPair::generate().with_key_id(kid).sign_with_options(claims(), &options).unwrap(),
        ES384KeyPair::generate().with_key_id(kid).sign_with_options(claims(), &options).unwrap(),
        ES256kKeyPair::generate().with_key_id(kid).sign_with_options(claims(), &options).unwrap(),
    ];
    let names = [
        "Ed25519",
        "eddsa",
        "EDDSA",
        "EdDSA ",
        " EdDSA",
        "Ed448",
        "RS256",
        "RS512",
        "PS256",
        "ES256",
        "ES512",
        "HS256",
        "A128KW",
        "dir",
        "RSA-OAEP",
        "ECDH-ES",
        "EdDSA\u{0}",
        "ЕdDSA",
    ];
    tokens.extend(names.map(|it| known.under(known.header_with("alg", Some(json!(it))))));
    tokens.push(known.under(known.header_with("alg", None)));
    tokens.push(known.under(known.header_with("alg", Some(json!(["EdDSA"])))));
    tokens
}

/// Right in all but the key.
fn other_keys(known: &Known<'_>) -> Vec<String> {
    let claims = known.claims();
    let mut tokens: Vec<String> = known.unpublished.iter().map(|it| it.token(&claims)).collect();
    for seed in 1..5 {
        let strange = Mint::new([seed; 32]);
        tokens.push(strange.token(&claims));
        tokens.push(strange.sign(known.own.header(), claims.to_string()));
        tokens.push(known.own.sign(strange.header(), claims.to_string()));
    }
    tokens
}

/// What a verifier that looks its key up somewhere could be led astray by.
fn key_ids(known: &Known<'_>) -> Vec<String> {
    let kid = &known.own.kid;
    let mut ids: Vec<Value> = [
        "",
        "/dev/null",
        "../../../../../../dev/null",
        "..\\..\\windows\\win.ini",
        "file:///etc/passwd",
        "https://attacker.example/jwks.json",
        "' or '1'='1",
        "' union select 'AAAA' --",
        "x'; drop table users; --",
        "$(id)",
        "|id",
        "{{7*7}}",
        "*",
        "0",
        "null",
        "undefined",
        "__proto__",
        "\u{0}",
        "%00",
        "😀",
    ]
    .into_iter()
    .map(|it| json!(it))
    .collect();
    ids.extend([json!(null), json!(0), json!(true), json!([kid]), json!({ "kid": kid })]);
    ids.extend([
        json!("x".repeat(2_000)),
        json!(kid.to_lowercase()),
        json!(format!("{kid} ")),
        json!(format!("{kid}=")),
    ]);
    ids.extend([json!(&kid[1..]), json!(format!("{kid}\u{0}")), json!(known.unpublished[0].kid)]);
    let mut tokens: Vec<String> = ids.into_iter().map(|it| known.under(known.header_with("kid", Some(it)))).collect();
    tokens.push(known.under(known.header_with("kid", None)));
    // The classic: the empty file's content as the secret.
    for path in ["/dev/null", "../../dev/null"] {
        let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": path }).to_string();
        let signed = format!("{}.{}", BASE64URL.encode(header), known.parts()[1]);
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        mac.update(signed.as_bytes());
        tokens.push(format!("{signed}.{}", BASE64URL.encode(mac.finalize().into_bytes())));
    }
    tokens
}

/// Headers that ask for something: a key to trust, or to be read in another way.
fn headers(known: &Known<'_>) -> Vec<String> {
    let attacker = Mint::new([66; 32]);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(attacker.pair.pk.as_slice()) });
    let asks = [
        ("jwk", jwk.clone()),
        ("jwk", json!(jwk.to_string())),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIBAAA="])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!("b64")),
        ("crit", json!(["http://example.com/unknown"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("epk", jwk),
        ("salt", json!("AAAA")),
        ("iss", json!("attacker")),
        ("exp", json!(i64::MAX)),
        ("", json!("")),
    ];
    let mut tokens = Vec::new();
    for (name, value) in asks {
        let header = known.header_with(name, Some(value));
        tokens.push(known.under(&header));
        tokens.push(attacker.sign(&header, known.claims().to_string()));
    }
    let kid = &known.own.kid;
    // Twice the same member: readers differ on which counts.
    for header in [
        format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}","alg":"none"}}"#),
        format!(r#"{{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"JWT","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"x","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","\u0061lg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"ALG":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"[{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}]"#),
        "{}".to_owned(),
        "null".to_owned(),
        String::new(),
        "{".to_owned(),
        "[".repeat(1_000),
    ] {
        tokens.push(known.under(header));
    }
    tokens
}

fn types(known: &Known<'_>) -> Vec<String> {
    let names =
        ["JWT", "jwt", "at+JWT", "AT+JWT", "application/at+jwt", "at+jwt+x", "id+jwt", "logout+jwt", "dpop+jwt", ""];
    let values = names.iter().map(|it| json!(it)).chain([json!(null), json!(["at+jwt"]), json!(1)]);
    let mut tokens: Vec<String> = values.map(|it| known.under(known.header_with("typ", Some(it)))).collect();
    tokens.push(known.under(known.header_with("typ", None)));
    tokens
}

fn structures(known: &Known<'_>) -> Vec<String> {
    let [h, c, s] = known.parts();
    let good = known.good;
    let json = format!(r#"{{"payload":"{c}","protected":"{h}","signature":"{s}"}}"#);
    let general = format!(r#"{{"payload":"{c}","signatures":[{{"protected":"{h}","signature":"{s}"}}]}}"#);
    let encrypted = BASE64URL.encode(r#"{"alg":"dir","enc":"A256GCM","typ":"at+jwt"}"#);
    let mut tokens = vec![
        format!("{c}.{h}.{s}"),
        format!("{s}.{c}.{h}"),
        format!("{h}.{s}.{c}"),
        format!("{h}.{c}"),
        format!("{h}.{c}."),
        format!("{h}..{s}"),
        format!(".{c}.{s}"),
        format!("{h}.{h}.{s}"),
        h.to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        "...".to_owned(),
        format!(".{good}"),
        format!("{good}."),
        format!("{good}.{s}"),
        format!("{h}.{c}.{c}.{s}"),
        format!("{good}.{good}"),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("Bearer {good}"),
        format!("\"{good}\""),
        good.replace('.', ":"),
        good.replace('.', "%2E"),
        json.clone(),
        general,
        BASE64URL.encode(good),
        BASE64URL.encode(json),
        // An encrypted token has five parts.
        format!("{encrypted}..AAAAAAAAAAAAAAAA.{c}.AAAAAAAAAAAAAAAAAAAAAA"),
        format!("{h}.{c}.{s}.{c}.{s}"),
    ];
    // A token whose claims are a token, signed by the edge's key and by another.
    for inner in [good, known.other] {
        tokens.push(known.own.sign(known.own.header(), inner));
        tokens.push(known.under(known.header_with("cty", Some(json!("JWT")))));
        tokens.push(Mint::new([7; 32]).sign(known.own.header(), inner));
    }
    tokens
}

/// Other ways to write the same bytes.
fn encodings(known: &Known<'_>) -> Vec<String> {
    let parts = known.parts();
    let with = |nth: usize, part: String| {
        let mut parts = parts.map(str::to_owned);
        parts[nth] = part;
        parts.join(".")
    };
    let mut tokens = Vec::new();
    for (nth, part) in parts.into_iter().enumerate() {
        for padding in ["=", "==", "A", "%3D"] {
            tokens.push(with(nth, format!("{part}{padding}")));
        }
        // Around the whole token, white space belongs to the header.
        if nth > 0 {
            tokens.push(with(nth, format!(" {part}")));
        }
        if nth < 2 {
            tokens.push(with(nth, format!("{part}\t")));
        }
        tokens.push(with(nth, format!("{}*{}", &part[..4], &part[4..])));
        tokens.push(with(nth, format!("{} {}", &part[..4], &part[4..])));
        tokens.push(with(nth, part.to_uppercase()));
        tokens.push(with(nth, part[1..].to_owned()));
        // The last character's spare bits say nothing; only one way to write them is right.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(part.chars().last().unwrap()).unwrap();
        let other = alphabet.as_bytes()[last ^ 1] as char;
        tokens.push(with(nth, format!("{}{other}", &part[..part.len() - 1])));
    }
    // The same in the standard alphabet, signed as such.
    let standard = base64::prelude::BASE64_STANDARD;
    let signed = [known.own.header(), known.claims().to_string()].map(|it| standard.encode(it)).join(".");
    tokens.push(known.own.sign_text(&signed));
    tokens.push(known.own.sign_text(&format!("{}={}", parts[0], &format!(".{}", parts[1]))));
    tokens.push(known.own.sign_text(&format!("{}.{}=", parts[0], parts[1])));
    tokens
}

fn tampered(known: &Known<'_>) -> Vec<String> {
    let [header, _, signature] = known.parts();
    let other = mint::claims(known.other);
    let changes = [
        ("sub", other["sub"].clone()),
        ("sid", other["sid"].clone()),
        ("exp", json!(i64::MAX)),
        ("iat", json!(0)),
        ("ver", json!(2)),
        ("scope", json!("keys:write")),
        ("client_id", json!("other")),
        ("amr", json!(["mfa"])),
        ("acr", json!("aal3")),
        ("auth_time", json!(i64::MAX)),
        ("operator", json!(true)),
        ("jti", json!("another")),
    ];
    let changed = changes.into_iter().map(|(name, value)| {
        let mut claims = known.claims();
        claims[name] = value;
        format!("{header}.{}.{signature}", BASE64URL.encode(claims.to_string()))
    });
    let swapped = [(known.good, known.other), (known.other, known.good)].map(|(one, other)| {
        let (signed, _) = one.rsplit_once('.').unwrap();
        format!("{signed}.{}", other.rsplit('.').next().unwrap())
    });
    changed.chain(swapped).collect()
}

/// Signed with the edge's own key, over what are no claims of a token of ours.
fn claims(known: &Known<'_>) -> Vec<String> {
    let good = known.claims().to_string();
    let twice = |name: &str| format!("{{\"{name}\":{},{}", known.claims()[name], &good[1..]);
    let deep = format!("{}{}", "[".repeat(1_200), "]".repeat(1_200));
    let mut texts: Vec<Vec<u8>> = ["", "null", "1", "\"x\"", "[]", "{}", "{", "true", &deep, &good[..good.len() - 1]]
        .map(|it| it.as_bytes().to_vec())
        .to_vec();
    texts.extend(
        ["iss", "aud", "sub", "exp", "iat", "nbf", "sid", "ver", "scope", "client_id"].map(|it| twice(it).into()),
    );
    texts.push(format!("{good}{good}").into());
    texts.push(format!("[{good}]").into());
    texts.push([&[0xef, 0xbb, 0xbf], good.as_bytes()].concat());
    texts.push([good.as_bytes(), &[0xff]].concat());
    texts.push(good.replace("\"pwd\"", "\"\\ud800\"").into());
    texts.iter().map(|it| known.own.sign(known.own.header(), it)).collect()
}
