//! What operators publish, and see.

use super::{
    sql::{ListedRow, row_of},
    wrong,
};
use crate::{Error, Store, auth::Operator, billing::BillingError, sql::SqlError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{price::Price, time::Timestamp};
use std::collections::HashSet;
use utoipa::ToSchema;

/// Models in a table at most.
const MOST: usize = 2_000;

/// A whole table of prices.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrices {
    /// What is new, for whoever reads the list of versions.
    #[serde(default)]
    pub note: String,
    /// At least one model.
    pub data: Vec<ListedPrice>,
}

/// A model, what it costs, and what the upstream takes from us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListedPrice {
    pub model: String,
    pub price: Price,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Price>,
}

/// The newest version.
#[derive(Clone, Debug, Serialize)]
pub struct PriceList {
    /// Its number, when it was published, and the note; none before the first.
    pub published: Option<(i64, Timestamp, String)>,
    pub data: Vec<ListedPrice>,
}

/// The newest prices, by the names of models.
pub async fn list(store: &Store) -> Result<PriceList, SqlError> {
    let rows = store.listed_prices().await?;
    let published = rows.first().map(|it| (it.version, it.created_at, it.note.clone()));
    Ok(PriceList { published, data: rows.into_iter().map(ListedRow::listed).collect() })
}

/// Publishes a table as the next version, and says which that is. Edges notice within seconds.
pub async fn publish(store: &Store, operator: &Operator, new: &NewPrices) -> Result<i64, Error> {
    check(new)?;
    let rows: Vec<_> = new.data.iter().map(row_of).collect();
    let detail = json!({ "models": new.data.len(), "note": new.note });
    let entry = operator.entry("billing.prices_published").detail(&detail);
    let rows = serde_json::to_string(&rows).expect("prices are plain data");
    Ok(store.publish_prices(rows, new.note.clone(), operator, entry).await?)
}

fn check(new: &NewPrices) -> Result<(), BillingError> {
    if new.note.chars().count() > 500 {
        return Err(BillingError::Field { field: "note", message: "`note` has at most 500 characters".to_owned() });
    }
    if !(1..=MOST).contains(&new.data.len()) {
        return Err(wrong(format!("a table has 1 to {MOST} models")));
    }
    let mut seen = HashSet::new();
    for ListedPrice { model, .. } in &new.data {
        if !crate::nodes::is_model_id(model) {
            return Err(wrong("a model's id has 1 to 256 printable characters without spaces"));
        }
        if !seen.insert(model) {
            return Err(wrong(format!("the model `{model}` stands there twice")));
        }
    }
    Ok(())
}

/// How many whole percent of a price are left of it, rounded down; none where there is no price or nothing to take off.
pub(super) fn margin_percent(price: i64, upstream: Option<i64>) -> Option<i64> {
    let (price, upstream) = (i128::from(price), i128::from(upstream?));
    if price <= 0 {
        return None;
    }
    i64::try_from(((price - upstream) * 100).div_euclid(price)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::money::Nanos;

    #[test]
    fn a_margin_is_what_the_upstream_leaves() {
        for (price, upstream, percent) in [
            (100, Some(60), Some(40)),
            (100, Some(100), Some(0)),
            (100, Some(150), Some(-50)),
            (3, Some(2), Some(33)),
            (3, Some(4), Some(-34)),
            (1, Some(i64::MAX), None),
            (i64::MAX, Some(0), Some(100)),
            (0, Some(0), None),
            (100, None, None),
        ] {
            assert_eq!(margin_percent(price, upstream), percent, "{price} {upstream:?}");
        }
    }

    #[test]
    fn a_table_names_each_model_once() {
        let listed = |model: &str| ListedPrice { model: model.to_owned(), price: Price::default(), upstream: None };
        let table =
            |models: &[&str]| NewPrices { note: String::new(), data: models.iter().map(|it| listed(it)).collect() };
        assert!(check(&table(&["a", "b"])).is_ok());
        for wrong in [table(&[]), table(&["a", "a"]), table(&["a b"]), table(&[""])] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
        assert!(check(&NewPrices { note: "x".repeat(501), ..table(&["a"]) }).is_err());
    }

    #[test]
    fn a_table_reads_dollars() {
        let json =
            r#"{"data":[{"model":"m","price":{"input":"0.05","output":0.08},"upstream":{"input":"0.01","output":0}}]}"#;
        let new: NewPrices = serde_json::from_str(json).unwrap();
        assert!(
            serde_json::from_str::<NewPrices>(&json.replace("output", "outputs")).is_err(),
            "no part is overlooked"
        );
        assert_eq!(new.data[0].price.input, Nanos(50_000_000));
        assert_eq!(new.data[0].price.output, Nanos(80_000_000));
        assert_eq!(new.data[0].upstream.unwrap().input, Nanos(10_000_000));
    }
}
