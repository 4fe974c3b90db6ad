//! `price_versions` and `prices`.

use super::{
    cache::{Priced, Table},
    publish::ListedPrice,
};
use crate::{
    Store,
    audit::Entry,
    auth::Operator,
    sql::{SqlError, row, sql},
};
use serde_json::{Value, json};
use shared::{id::UserId, money::Nanos, price::Price, time::Timestamp};

row! {
    struct NewestRow {
        version: Option<i64>,
        model: Option<String>,
        input: Option<i64>,
        output: Option<i64>,
        cached_input: Option<i64>,
        reasoning: Option<i64>,
        request: Option<i64>,
        audio_minute: Option<i64>,
        upstream_input: Option<i64>,
        upstream_output: Option<i64>,
        upstream_cached_input: Option<i64>,
        upstream_reasoning: Option<i64>,
        upstream_request: Option<i64>,
        upstream_audio_minute: Option<i64>,
    }
}

row! {
    pub(super) struct ListedRow {
        pub(super) version: i64,
        pub(super) created_at: Timestamp,
        pub(super) note: String,
        model: String,
        input: Option<i64>,
        output: Option<i64>,
        cached_input: Option<i64>,
        reasoning: Option<i64>,
        request: Option<i64>,
        audio_minute: Option<i64>,
        upstream_input: Option<i64>,
        upstream_output: Option<i64>,
        upstream_cached_input: Option<i64>,
        upstream_reasoning: Option<i64>,
        upstream_request: Option<i64>,
        upstream_audio_minute: Option<i64>,
    }
}

row! {
    struct Version {
        version: i64,
    }
}

sql! {
    // One row without a model when nothing was published, or what was is known.
    NEWEST(Option<i64>) -> NewestRow = "
        select newest.version, model, input_nanos as input, output_nanos as output,
            cached_input_nanos as cached_input, reasoning_nanos as reasoning, request_nanos as request,
            audio_minute_nanos as audio_minute, upstream_input_nanos as upstream_input,
            upstream_output_nanos as upstream_output, upstream_cached_input_nanos as upstream_cached_input,
            upstream_reasoning_nanos as upstream_reasoning, upstream_request_nanos as upstream_request,
            upstream_audio_minute_nanos as upstream_audio_minute
        from (select max(version) as version from price_versions) newest
        left join prices on prices.version = newest.version and newest.version is distinct from $1::int8";

    LISTED() -> ListedRow = "
        select prices.version, (extract(epoch from listed.created_at) * 1000)::int8 as created_at, listed.note, model,
            input_nanos as input, output_nanos as output, cached_input_nanos as cached_input,
            reasoning_nanos as reasoning, request_nanos as request, audio_minute_nanos as audio_minute,
            upstream_input_nanos as upstream_input, upstream_output_nanos as upstream_output,
            upstream_cached_input_nanos as upstream_cached_input, upstream_reasoning_nanos as upstream_reasoning,
            upstream_request_nanos as upstream_request, upstream_audio_minute_nanos as upstream_audio_minute
        from price_versions listed join prices on prices.version = listed.version
        where listed.version = (select max(version) from price_versions)
        order by model";

    PUBLISH(String, String, Option<UserId>, Timestamp, Entry) -> Version = "
        select publish_prices($1::text::json, $2::text, $3::text::uuid, to_timestamp($4::int8 / 1000.0), $5::text)
            as version";
}

/// A price whose six parts are columns; none where the first is not there.
fn price([input, output, cached_input, reasoning, request, audio_minute]: [Option<i64>; 6]) -> Option<Price> {
    Some(Price {
        input: Nanos(input?),
        output: Nanos(output?),
        cached_input: cached_input.map(Nanos),
        reasoning: reasoning.map(Nanos),
        request: Nanos(request.unwrap_or_default()),
        audio_minute: Nanos(audio_minute.unwrap_or_default()),
    })
}

macro_rules! prices_of {
    ($row:expr) => {
        (
            price([$row.input, $row.output, $row.cached_input, $row.reasoning, $row.request, $row.audio_minute]),
            price([
                $row.upstream_input,
                $row.upstream_output,
                $row.upstream_cached_input,
                $row.upstream_reasoning,
                $row.upstream_request,
                $row.upstream_audio_minute,
            ]),
        )
    };
}

impl ListedRow {
    pub(super) fn listed(self) -> ListedPrice {
        let (price, upstream) = prices_of!(self);
        ListedPrice { model: self.model, price: price.unwrap_or_default(), upstream }
    }
}

/// A row as `publish_prices` reads it.
pub(super) fn row_of(listed: &ListedPrice) -> Value {
    let ListedPrice { model, price, upstream } = listed;
    let nanos = |it: Option<Nanos>| it.map(|it| it.0);
    json!({
        "model": model,
        "input_nanos": price.input.0,
        "output_nanos": price.output.0,
        "cached_input_nanos": nanos(price.cached_input),
        "reasoning_nanos": nanos(price.reasoning),
        "request_nanos": price.request.0,
        "audio_minute_nanos": price.audio_minute.0,
        "upstream_input_nanos": upstream.map(|it| it.input.0),
        "upstream_output_nanos": upstream.map(|it| it.output.0),
        "upstream_cached_input_nanos": nanos(upstream.and_then(|it| it.cached_input)),
        "upstream_reasoning_nanos": nanos(upstream.and_then(|it| it.reasoning)),
        "upstream_request_nanos": upstream.map(|it| it.request.0),
        "upstream_audio_minute_nanos": upstream.map(|it| it.audio_minute.0),
    })
}

impl Store {
    /// The newest table; none when there is none, or it is the `known` one.
    pub(super) async fn newest_prices(&self, known: Option<i64>) -> Result<Option<Table>, SqlError> {
        let rows = self.all(&NEWEST, (known,)).await?;
        let Some(version) = rows.first().and_then(|it| it.version) else { return Ok(None) };
        let models = rows.into_iter().filter_map(|row| {
            let (price, upstream) = prices_of!(row);
            Some((row.model?, Priced { price: price?, upstream }))
        });
        let table = Table::new(version, models.collect());
        Ok(Some(table).filter(|it| known != Some(it.version)))
    }

    pub(super) async fn listed_prices(&self) -> Result<Vec<ListedRow>, SqlError> {
        self.all(&LISTED, ()).await
    }

    pub(super) async fn publish_prices(
        &self,
        rows: String,
        note: String,
        operator: &Operator,
        entry: Entry,
    ) -> Result<i64, SqlError> {
        let params = (rows, note, operator.user_id(), operator.now(), entry);
        Ok(self.first(&PUBLISH, params).await?.map_or(0, |row| row.version))
    }
}
