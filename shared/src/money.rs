//! Money: whole numbers of a unit that is small enough for the price of a token.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use std::{fmt, str::FromStr};

/// Digits after the point.
const DECIMALS: usize = 9;

/// Billionths of a US dollar. JSON has them as dollars: it gives a text, such as `"12.5"`, and takes a text or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

/// The text is no amount that can be told in billionths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is a decimal number of dollars, from 0 to 9000000000, with at most 9 digits after the point")]
pub struct AmountError;

/// The largest amount, in dollars.
const MOST: i64 = 9_000_000_000;

impl FromStr for Nanos {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
            return Err(AmountError);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError)?;
        let nanos: i64 = format!("{decimals:0<DECIMALS$}").parse().map_err(|_| AmountError)?;
        let amount = whole.checked_mul(1_000_000_000).and_then(|it| it.checked_add(nanos)).ok_or(AmountError)?;
        if amount > MOST * 1_000_000_000 { Err(AmountError) } else { Ok(Self(amount)) }
    }
}

/// In dollars, without needless zeros.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, nanos) = (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        let decimals = format!("{nanos:09}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            decimals => write!(f, "{sign}{whole}.{decimals}"),
        }
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Dollars)
    }
}

struct Dollars;

impl Visitor<'_> for Dollars {
    type Value = Nanos;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number of dollars, as a text or a number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Nanos, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, dollars: u64) -> Result<Nanos, E> {
        dollars.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, dollars: i64) -> Result<Nanos, E> {
        dollars.to_string().parse().map_err(E::custom)
    }

    // A number with a point reaches us as a binary fraction. Its shortest text is what was written, as long as that has
    // no more digits than such a fraction holds for sure.
    fn visit_f64<E: serde::de::Error>(self, dollars: f64) -> Result<Nanos, E> {
        let text = dollars.to_string();
        if text.bytes().filter(u8::is_ascii_digit).count() > 15 {
            return Err(E::custom("an amount of so many digits is exact only as a text"));
        }
        text.parse().map_err(E::custom)
    }
}

impl utoipa::PartialSchema for Nanos {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::schema::text("^[0-9]{1,10}([.][0-9]{1,9})?$")
    }
}

impl utoipa::ToSchema for Nanos {
    fn name() -> std::borrow::Cow<'static, str> {
        "Dollars".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_exact_to_the_billionth_or_refused() {
        for (json, nanos) in [
            ("0", Some(0)),
            ("1", Some(1_000_000_000)),
            ("0.1", Some(100_000_000)),
            ("1e-9", Some(1)),
            ("12.50", Some(12_500_000_000)),
            ("100000.000000001", Some(100_000_000_000_001)),
            (r#""0.1""#, Some(100_000_000)),
            (r#""9000000000""#, Some(9_000_000_000_000_000_000)),
            (r#""1234567890.123456789""#, Some(1_234_567_890_123_456_789)),
            ("1234567890.123456789", None),
            (r#""9000000000.000000001""#, None),
            ("9223372036854775807", None),
            ("1e300", None),
            ("0.0000000001", None),
            (r#""0.0000000001""#, None),
            ("-1", None),
            ("-0.5", None),
            (r#""-1""#, None),
            (r#""+1""#, None),
            (r#""1e3""#, None),
            (r#""1,5""#, None),
            (r#"".5""#, None),
            (r#""1.""#, None),
            (r#""""#, None),
            (r#"" 1""#, None),
            (r#""١""#, None),
            ("null", None),
            ("true", None),
        ] {
            assert_eq!(serde_json::from_str::<Nanos>(json).ok().map(|it| it.0), nanos, "{json}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_its_text(nanos in 0..=MOST * 1_000_000_000) {
            prop_assert_eq!(Nanos(nanos).to_string().parse(), Ok(Nanos(nanos)));
            let json = serde_json::to_string(&Nanos(nanos)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Nanos>(&json).unwrap(), Nanos(nanos));
        }
    }
}
