//! All that is stored, without what differs from run to run.

use nest_tests::TestEdge;
use serde_json::{Map, Value};

/// How Stripe's ids begin, which are random.
const OF_STRIPE: [&str; 9] = ["prod_", "cs_", "cus_", "pi_", "pm_", "ch_", "price_", "bpc_", "evt_"];

/// Every row, with names in the place of ids, and whether it is set in the place of a time or a secret.
pub(super) async fn stored(edge: TestEdge) -> Vec<String> {
    let db = edge.db.clone();
    // What is written behind answers is written then.
    edge.stop().await;
    let client = db.connect().await;
    let names = "select id::text, email from users union all select id::text, name from orgs";
    let names: Vec<(String, String)> =
        client.query(names, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let tables = "
        select table_name::text from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE'
            and table_name not in ('refinery_schema_history', 'contract_notes', 'audit_head', 'audit_anchors')";
    let mut all = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        for row in client.query(&format!("select to_jsonb(t)::text from {table} t"), &[]).await.unwrap() {
            let mut row: Value = serde_json::from_str(row.get(0)).unwrap();
            for (column, value) in row.as_object_mut().unwrap() {
                *value = plain(column, value, &names);
            }
            all.push(format!("{table} {row}"));
        }
    }
    all.sort_unstable();
    all
}

/// A stored value, without what differs from run to run.
fn plain(column: &str, value: &Value, names: &[(String, String)]) -> Value {
    // Chaining goes on behind the answers.
    if ["seq", "mac"].contains(&column) || (column == "id" && value.is_number()) {
        return Value::Null;
    }
    // How long something took, and a clock in a number.
    if column.ends_with("_ms") || (column == "at" && value.is_number()) {
        return Value::Null;
    }
    let all = |fields: &Map<String, Value>| {
        fields.iter().map(|(name, value)| (name.clone(), plain(name, value, names))).collect::<Value>()
    };
    let text = match value {
        Value::String(text) => text,
        Value::Object(fields) => return all(fields),
        other => return other.clone(),
    };
    if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
        return all(&fields);
    }
    let mut text = text.clone();
    for (id, name) in names {
        text = text.replace(id, name).replace(&id.replace('-', ""), name);
    }
    let random = ["password_hash", "request_id", "prefix", "last_four", "base_url"].contains(&column)
        || text.starts_with("\\x")
        || text.starts_with("http://127.0.0.1:")
        || OF_STRIPE.iter().any(|it| text.contains(it))
        || text.get(..3).is_some_and(|it| it == "202") && text.contains('T')
        || uuid::Uuid::try_parse(text.rsplit([':', '_']).next().unwrap_or_default()).is_ok();
    if random { "set".into() } else { text.into() }
}
