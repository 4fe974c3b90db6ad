//! From a call's fields to what the engine takes, or to a refusal that says what is wrong.

use super::error::Error;
use crate::{
    models::{Entry, chat::ChatModel},
    sampling::Sampling,
};
use std::collections::BTreeMap;

/// Most stop texts of a call, as OpenAI has it.
const MOST_STOPS: usize = 4;

/// A call's sampling fields, as they came.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<u32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) logit_bias: Option<BTreeMap<String, f32>>,
    pub(super) seed: Option<i64>,
}

/// Checks `fields`; those left out are the model's own. `dice` seeds a call that names no seed.
pub(super) fn sampling(fields: &Fields, entry: &Entry, dice: u64) -> Result<Sampling, Error> {
    Ok(Sampling {
        temperature: within("temperature", fields.temperature.unwrap_or(entry.temperature), 0.0, 2.0)?,
        top_p: within("top_p", fields.top_p.unwrap_or(entry.top_p), 0.0, 1.0)?,
        // 0 stands for no limit in the servers that have this field.
        top_k: fields.top_k.filter(|it| *it > 0).map(|it| it as usize),
        frequency_penalty: within("frequency_penalty", fields.frequency_penalty.unwrap_or(0.0), -2.0, 2.0)?,
        presence_penalty: within("presence_penalty", fields.presence_penalty.unwrap_or(0.0), -2.0, 2.0)?,
        bias: bias(fields.logit_bias.as_ref())?,
        seed: fields.seed.map_or(dice, i64::cast_unsigned),
    })
}

/// Checks stop texts.
pub(super) fn stops(stops: Vec<String>) -> Result<Vec<String>, Error> {
    if stops.len() > MOST_STOPS {
        return Err(Error::invalid("stop", format!("stop has {} texts; {MOST_STOPS} are allowed", stops.len())));
    }
    Ok(stops)
}

/// How long the answer to a prompt of `prompt` tokens may get: what was asked for, or all that the context leaves.
pub(super) fn answer_tokens(model: &ChatModel, prompt: usize, asked: Option<u64>) -> Result<usize, Error> {
    let context = model.context;
    if asked == Some(0) {
        return Err(Error::invalid("max_tokens", "max_tokens must be at least 1"));
    }
    let left = context.saturating_sub(prompt);
    let answer = asked.unwrap_or(left.max(1) as u64);
    match usize::try_from(answer) {
        Ok(answer) if answer <= left => Ok(answer),
        _ => Err(Error::ContextLength { context, prompt, answer }),
    }
}

fn within(param: &'static str, value: f32, least: f32, most: f32) -> Result<f32, Error> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(param, format!("{param} must be between {least} and {most}")))
}

fn bias(bias: Option<&BTreeMap<String, f32>>) -> Result<BTreeMap<u32, f32>, Error> {
    let bias = bias.into_iter().flatten().map(|(token, bias)| {
        let token = token.parse().map_err(|_| Error::invalid("logit_bias", format!("{token:?} is not a token id")))?;
        Ok((token, within("logit_bias", *bias, -100.0, 100.0)?))
    });
    bias.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::CATALOGUE;

    fn check(change: impl FnOnce(&mut Fields)) -> Result<Sampling, Error> {
        let mut fields = Fields::default();
        change(&mut fields);
        sampling(&fields, &CATALOGUE[0], 9)
    }

    #[test]
    fn fields_left_out_are_the_models() {
        let sampling = check(|_| ()).unwrap();
        assert_eq!((sampling.temperature, sampling.top_p, sampling.seed), (0.2, 0.9, 9));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        type Change = fn(&mut Fields);
        let cases: [(&str, Change); 8] = [
            ("temperature", |it| it.temperature = Some(2.1)),
            ("temperature", |it| it.temperature = Some(f32::NAN)),
            ("top_p", |it| it.top_p = Some(-0.1)),
            ("top_p", |it| it.top_p = Some(1.1)),
            ("frequency_penalty", |it| it.frequency_penalty = Some(3.0)),
            ("presence_penalty", |it| it.presence_penalty = Some(-3.0)),
            ("logit_bias", |it| it.logit_bias = Some([("x".to_owned(), 1.0)].into())),
            ("logit_bias", |it| it.logit_bias = Some([("5".to_owned(), 101.0)].into())),
        ];
        for (param, change) in cases {
            assert!(matches!(check(change), Err(Error::Invalid { param: found, .. }) if found == param), "{param}");
        }
        assert!(stops(vec![String::new(); 5]).is_err());
    }

    #[test]
    fn seeds_may_be_negative() {
        assert_eq!(check(|it| it.seed = Some(-1)).unwrap().seed, u64::MAX);
    }
}
