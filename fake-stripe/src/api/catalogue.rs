//! Products, and their prices.

use super::{
    Call, Route, currency, given,
    list::{chosen, page, page_of},
    metadata,
};
use crate::{
    form::Form,
    object::{number, text},
    refusal::Refusal,
    world::World,
};
use serde_json::{Value, json};

const PRODUCT: &[&str] = &[
    "active",
    "default_price",
    "default_price_data",
    "description",
    "id",
    "images",
    "marketing_features",
    "metadata",
    "name",
    "shippable",
    "statement_descriptor",
    "tax_code",
    "type",
    "unit_label",
    "url",
];

const PRICE: &[&str] = &[
    "active",
    "billing_scheme",
    "currency",
    "lookup_key",
    "metadata",
    "nickname",
    "product",
    "product_data",
    "recurring",
    "tax_behavior",
    "transfer_lookup_key",
    "unit_amount",
    "unit_amount_decimal",
];

pub(super) const ROUTES: &[Route] = &[
    ("POST", "/v1/products", PRODUCT, create_product),
    ("GET", "/v1/products", page!("active", "created", "ids", "type", "url"), list_products),
    ("GET", "/v1/products/*", &[], get_product),
    ("POST", "/v1/products/*", PRODUCT, update_product),
    ("DELETE", "/v1/products/*", &[], delete_product),
    ("POST", "/v1/prices", PRICE, create_price),
    (
        "GET",
        "/v1/prices",
        page!("active", "created", "currency", "lookup_keys", "product", "recurring", "type"),
        list_prices,
    ),
    ("GET", "/v1/prices/*", &[], get_price),
    (
        "POST",
        "/v1/prices/*",
        &["active", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key"],
        update_price,
    ),
];

fn create_product(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let name = call.form.need("name")?.to_owned();
    if let Some(id) = call.form.text("id")
        && world.objects.find("product", id).is_some()
    {
        return Err(Refusal::new("Product already exists.").code("resource_already_exists"));
    }
    let id = world.new_product(&name, call.form.text("id"));
    let fields = product_fields(world, call, &id)?;
    world.set(&id, fields);
    world.emit("product.created", &id);
    Ok(world.copy(&id))
}

fn product_fields(world: &World, call: &Call, id: &str) -> Result<Value, Refusal> {
    let before = world.copy(id);
    let mut fields =
        given(call, &["default_price", "description", "name", "statement_descriptor", "tax_code", "unit_label", "url"]);
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    fields.insert("updated".to_owned(), world.now().into());
    if let Some(active) = call.form.truth("active")? {
        fields.insert("active".to_owned(), active.into());
    }
    Ok(fields.into())
}

fn list_products(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let ids = call.form.texts("ids");
    let mut all = chosen(world.objects.all("product"), call, &["active", "type", "url"])?;
    all.retain(|it| ids.is_empty() || ids.iter().any(|id| it["id"] == id.as_str()));
    page_of(&all, call)
}

fn get_product(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("product", call.id, "id").cloned()
}

fn update_product(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("product", call.id, "id")?;
    let fields = product_fields(world, call, call.id)?;
    world.update(call.id, fields, "product.updated");
    Ok(world.copy(call.id))
}

fn delete_product(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("product", call.id, "id")?;
    if world.objects.all("price").iter().any(|it| it["product"] == call.id) {
        return Err(Refusal::new("This product cannot be deleted because it has one or more user-created prices."));
    }
    world.emit("product.deleted", call.id);
    world.set(call.id, json!({ "deleted": true }));
    Ok(json!({ "id": call.id, "object": "product", "deleted": true }))
}

fn create_price(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let form = call.form;
    let product = match form.text("product") {
        Some(product) => text(world.objects.get("product", product, "product")?, "id").to_owned(),
        None => {
            let name = form.need("product_data.name").map_err(|_| Refusal::missing("product"))?.to_owned();
            let product = world.new_product(&name, None);
            world.emit("product.created", &product);
            product
        }
    };
    let lookup_key = free_lookup_key(world, form, "")?;
    let id = world.new_price(form, &product)?;
    let mut fields = given(call, &["nickname"]);
    fields.insert("lookup_key".to_owned(), lookup_key);
    fields.insert("metadata".to_owned(), metadata(form, &Value::Null));
    fields.insert("active".to_owned(), form.truth("active")?.unwrap_or(true).into());
    world.set(&id, fields.into());
    world.emit("price.created", &id);
    Ok(world.copy(&id))
}

fn list_prices(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let keys = call.form.texts("lookup_keys");
    let mut all = chosen(world.objects.all("price"), call, &["active", "currency", "product", "type"])?;
    all.retain(|it| keys.is_empty() || keys.iter().any(|key| it["lookup_key"] == key.as_str()));
    for name in ["interval", "meter", "usage_type"] {
        if let Some(wanted) = call.form.text(&format!("recurring.{name}")) {
            all.retain(|it| it["recurring"][name] == wanted);
        }
    }
    page_of(&all, call)
}

fn get_price(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    world.objects.get("price", call.id, "id").cloned()
}

fn update_price(world: &mut World, call: &Call) -> Result<Value, Refusal> {
    let before = world.objects.get("price", call.id, "id")?.clone();
    let mut fields = given(call, &["nickname", "tax_behavior"]);
    if call.form.has("lookup_key") {
        fields.insert("lookup_key".to_owned(), free_lookup_key(world, call.form, call.id)?);
    }
    if let Some(active) = call.form.truth("active")? {
        fields.insert("active".to_owned(), active.into());
    }
    fields.insert("metadata".to_owned(), metadata(call.form, &before["metadata"]));
    world.update(call.id, fields.into(), "price.updated");
    Ok(world.copy(call.id))
}

/// The lookup key that is asked for, taken from who has it where the call says so.
fn free_lookup_key(world: &mut World, form: &Form, own: &str) -> Result<Value, Refusal> {
    let Some(key) = form.text("lookup_key") else { return Ok(Value::Null) };
    let holds = |it: &&&Value| it["lookup_key"] == key && it["id"] != own;
    let holder = world.objects.all("price").iter().find(holds).map(|it| text(it, "id").to_owned());
    if let Some(holder) = holder {
        if form.truth("transfer_lookup_key")? != Some(true) {
            let message = format!("A price (`{holder}`) already uses that lookup key.");
            return Err(Refusal::new(message).code("resource_already_exists").param("lookup_key"));
        }
        world.update(&holder, json!({ "lookup_key": null }), "price.updated");
    }
    Ok(key.into())
}

impl World {
    /// A product of which nobody is told yet.
    pub(crate) fn new_product(&mut self, name: &str, id: Option<&str>) -> String {
        let now = self.now();
        self.add(json!({
            "id": id,
            "object": "product",
            "active": true,
            "attributes": [],
            "default_price": null,
            "description": null,
            "images": [],
            "livemode": false,
            "marketing_features": [],
            "metadata": {},
            "name": name,
            "package_dimensions": null,
            "shippable": null,
            "statement_descriptor": null,
            "tax_code": null,
            "type": "service",
            "unit_label": null,
            "updated": now,
            "url": null,
        }))
    }

    /// A price by the fields of `price`, or of `price_data`.
    pub(crate) fn new_price(&mut self, form: &Form, product: &str) -> Result<String, Refusal> {
        let currency = currency(form)?;
        let decimal = match (form.integer("unit_amount")?, form.text("unit_amount_decimal")) {
            (Some(whole), None) => whole.to_string(),
            (None, Some(decimal)) => decimal.to_owned(),
            _ => return Err(Refusal::missing("unit_amount")),
        };
        if price_units(&decimal).is_none_or(|it| it < 0) {
            return Err(Refusal::new(format!("Invalid decimal: {decimal}")).param("unit_amount_decimal"));
        }
        let recurring = recurring(self, form)?;
        let kind = if recurring.is_null() { "one_time" } else { "recurring" };
        Ok(self.add(json!({
            "object": "price",
            "active": true,
            "billing_scheme": "per_unit",
            "currency": currency,
            "custom_unit_amount": null,
            "livemode": false,
            "lookup_key": null,
            "metadata": {},
            "nickname": null,
            "product": product,
            "recurring": recurring,
            "tax_behavior": form.text("tax_behavior").unwrap_or("unspecified"),
            "tiers_mode": null,
            "transform_quantity": null,
            "type": kind,
            "unit_amount": decimal.parse::<i64>().ok(),
            "unit_amount_decimal": decimal,
        })))
    }
}

fn recurring(world: &World, form: &Form) -> Result<Value, Refusal> {
    if !form.has("recurring") {
        return Ok(Value::Null);
    }
    form.need("recurring.interval")?;
    let interval = form.one_of("recurring.interval", &["day", "week", "month", "year"])?;
    let usage = form.one_of("recurring.usage_type", &["licensed", "metered"])?.unwrap_or("licensed");
    match form.text("recurring.meter") {
        None if usage == "metered" => {
            let message = "Creating a metered price without a meter is no longer supported: see billing/meters.";
            return Err(Refusal::new(message).param("recurring[meter]"));
        }
        Some(meter) => drop(world.objects.get("billing.meter", meter, "recurring[meter]")?),
        None => {}
    }
    Ok(json!({
        "interval": interval,
        "interval_count": form.integer("recurring.interval_count")?.unwrap_or(1),
        "meter": form.value("recurring.meter"),
        "trial_period_days": null,
        "usage_type": usage,
    }))
}

/// The decimal places that a unit's amount may have.
const PLACES: u32 = 12;

/// A decimal amount in cents, in 10^-12 cents.
fn price_units(decimal: &str) -> Option<i128> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let places = u32::try_from(fraction.len()).ok().filter(|it| *it <= PLACES)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    digits.checked_mul(10_i128.pow(PLACES - places))
}

/// What so many of a price cost, in cents, rounded half up as Stripe rounds a line.
pub(crate) fn amount(price: &Value, quantity: i64) -> i64 {
    let one = 10_i128.pow(PLACES);
    let units = price_units(text(price, "unit_amount_decimal")).unwrap_or_default() * i128::from(quantity);
    i64::try_from((units + one / 2).div_euclid(one)).unwrap_or(i64::MAX)
}

/// A price as the plan that subscription items still carry.
pub(crate) fn plan(price: &Value) -> Value {
    let recurring = &price["recurring"];
    json!({
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": number(price, "created"),
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": false,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": null,
        "transform_usage": null,
        "trial_period_days": null,
        "usage_type": recurring["usage_type"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_rounded_once_and_half_up() {
        for (decimal, quantity, cents) in [
            ("2000", 1, 2_000),
            ("0.0001", 10_000, 1),
            ("0.0001", 4_999, 0),
            ("0.0001", 5_000, 1),
            ("0.000000000001", 1_000_000_000_000, 1),
            ("1.5", 3, 5),
        ] {
            assert_eq!(amount(&json!({ "unit_amount_decimal": decimal }), quantity), cents, "{decimal} x {quantity}");
        }
        assert_eq!(price_units("0.0000000000001"), None, "thirteen places");
        assert_eq!(price_units("many"), None);
    }
}
