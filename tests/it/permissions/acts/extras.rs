//! What no body takes: a value for each column of the schema, for each field of an answer, and for what else an attacker
//! would try.

use super::run::{Act, Takes};
use nest_tests::TestEdge;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where in a body extras stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Everywhere,
    /// In the objects within it.
    Within,
    AtTop,
}

/// Fields, and which of them each route takes.
pub(super) struct Extras {
    fields: BTreeMap<String, Value>,
    document: Value,
}

impl Extras {
    pub(super) fn none() -> Self {
        let document = serde_json::from_str(&edge_core::document::json()).unwrap();
        Self { fields: BTreeMap::new(), document }
    }

    /// All that there are.
    pub(super) async fn all() -> Self {
        let mut all = Self::none();
        all.fields = columns().await;
        assert!(all.fields.len() > 80, "the schema lacks most of its columns: {:?}", all.fields);
        let answered = all.answered();
        assert!(answered.len() > 80, "the document lacks most of its answers: {answered:?}");
        all.fields.extend(answered);
        all.fields.extend(coveted());
        all
    }

    /// The body of `act` with every field that it does not take.
    pub(super) fn laden(&self, act: &Act<'_>, place: Place) -> Value {
        let mut body = act.body.clone();
        let schema = self.schema(act);
        self.lay(&mut body, "", schema, act, place);
        body
    }

    fn lay(&self, value: &mut Value, at: &str, schema: Option<&Value>, act: &Act<'_>, place: Place) {
        if let Value::Array(items) = value {
            let schema = schema.map(|it| &self.resolved(it)["items"]);
            items.iter_mut().for_each(|it| self.lay(it, at, schema, act, place));
        }
        let Value::Object(fields) = value else { return };
        let known = schema.map(|it| self.properties(it)).unwrap_or_default();
        for (name, value) in fields.iter_mut() {
            self.lay(value, &format!("{at}{name}."), known.get(name).copied(), act, place);
        }
        let here = if at.is_empty() { Place::AtTop } else { Place::Within };
        if ![here, Place::Everywhere].contains(&place) {
            return;
        }
        for (name, extra) in &self.fields {
            let taken = match act.takes {
                Takes::These(names) => names.contains(&format!("{at}{name}").as_str()),
                Takes::Documented => known.contains_key(name),
            };
            if !taken && !fields.contains_key(name) {
                fields.insert(name.clone(), extra.clone());
            }
        }
    }

    /// What the script says that the route takes is what the document says.
    pub(super) fn check_document(&self, act: &Act<'_>) {
        let Takes::These(takes) = act.takes else { return };
        let Some(schema) = self.schema(act) else { return };
        let takes: BTreeSet<String> = takes.iter().map(|it| (*it).to_owned()).collect();
        let left_out = self.left_out(&act.body, "", schema);
        assert_eq!(takes, left_out, "beside what is sent, {} {} takes the latter", act.method, act.path);
    }

    /// Fields that the document has and the body has not.
    fn left_out(&self, value: &Value, at: &str, schema: &Value) -> BTreeSet<String> {
        if let Value::Array(items) = value {
            let schema = &self.resolved(schema)["items"];
            return items.iter().flat_map(|it| self.left_out(it, at, schema)).collect();
        }
        let Value::Object(fields) = value else { return BTreeSet::new() };
        let within = |(name, schema): (&String, &Value)| match fields.get(name) {
            Some(value) => self.left_out(value, &format!("{at}{name}."), schema),
            None => BTreeSet::from([format!("{at}{name}")]),
        };
        self.properties(schema).into_iter().flat_map(within).collect()
    }

    /// What the document says of the body of `act`.
    fn schema(&self, act: &Act<'_>) -> Option<&Value> {
        let path = &self.document["paths"][format!("{}{}", act.prefix(), act.path)];
        let operation = &path[act.method.as_str().to_ascii_lowercase()];
        assert!(operation.is_object(), "{} {} is not documented", act.method, act.path);
        let content = operation["requestBody"]["content"].as_object()?;
        content.values().next().map(|it| &it["schema"])
    }

    /// A value for each field of each answer.
    fn answered(&self) -> BTreeMap<String, Value> {
        let mut fields = BTreeMap::new();
        let operations = self.document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap());
        for (_, operation) in operations {
            for answer in operation["responses"].as_object().unwrap().values() {
                let contents = answer["content"].as_object().into_iter().flat_map(Map::values);
                contents.for_each(|it| self.collect(&it["schema"], &mut fields, &mut BTreeSet::new()));
            }
        }
        fields
    }

    fn collect<'a>(&'a self, schema: &'a Value, fields: &mut BTreeMap<String, Value>, seen: &mut BTreeSet<&'a str>) {
        if schema["$ref"].as_str().is_some_and(|it| !seen.insert(it)) {
            return;
        }
        for (name, schema) in self.properties(schema) {
            fields.entry(name.clone()).or_insert_with(|| self.value(schema, 0));
            self.collect(schema, fields, seen);
        }
        let items = &self.resolved(schema)["items"];
        if items.is_object() {
            self.collect(items, fields, seen);
        }
    }

    /// Something that `schema` allows.
    fn value(&self, schema: &Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("boolean") => json!(true),
            Some("integer" | "number") => json!(99),
            Some("array") => json!([self.value(&schema["items"], depth + 1)]),
            Some("object") if depth < 3 => {
                let fields = self.properties(schema);
                fields.into_iter().map(|(name, it)| (name.clone(), self.value(it, depth + 1))).collect()
            }
            _ => schema["enum"][0].as_str().map_or(json!("owner"), |it| json!(it)),
        }
    }

    fn properties<'a>(&'a self, schema: &'a Value) -> BTreeMap<&'a String, &'a Value> {
        let schema = self.resolved(schema);
        let mut all: BTreeMap<_, _> = schema["properties"].as_object().into_iter().flatten().collect();
        for parts in ["allOf", "oneOf", "anyOf"] {
            for part in schema[parts].as_array().into_iter().flatten() {
                all.extend(self.properties(part));
            }
        }
        all
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
            Some(pointer) => self.resolved(self.document.pointer(pointer).unwrap()),
            None => schema,
        }
    }
}

/// A value for each column of the schema.
async fn columns() -> BTreeMap<String, Value> {
    let edge = TestEdge::start(&[]).await;
    let columns = "
        select distinct on (column_name) column_name::text, data_type::text from information_schema.columns
        where table_schema = 'public' order by column_name, data_type";
    let value = |kind: &str| match kind {
        "boolean" => json!(true),
        "bigint" | "integer" | "double precision" => json!(99),
        "uuid" => json!("0190163d-8694-739b-9c1a-6b0c1b5c0000"),
        "timestamp with time zone" => json!(0),
        _ => json!("owner"),
    };
    let rows = edge.db.connect().await.query(columns, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), value(row.get(1)))).collect()
}

/// What an attacker would try first.
fn coveted() -> BTreeMap<String, Value> {
    let all = [
        ("role", json!("owner")),
        ("operator", json!(true)),
        ("is_operator", json!(true)),
        ("is_admin", json!(true)),
        ("email_verified", json!(true)),
        ("permissions", json!(["org:delete", "billing:write"])),
        ("scope", json!("all")),
        ("scopes", json!(["models:use"])),
        ("limits", json!({ "requests_per_minute": 99 })),
        ("balance", json!(99)),
        ("org_id", json!("org_0190163d8694739b9c1a6b0c1b5c0000")),
        ("user_id", json!("user_0190163d8694739b9c1a6b0c1b5c0000")),
        ("client_id", json!("client_0190163d8694739b9c1a6b0c1b5c0000")),
        ("key_id", json!("key_0190163d8694739b9c1a6b0c1b5c0000")),
        ("amr", json!(["pwd", "otp", "mfa"])),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
