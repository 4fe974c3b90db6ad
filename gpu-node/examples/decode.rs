//! Measures load, prefill and decode of the chat model: `cargo run -p gpu-node --example decode [THREADS [MODELS_DIR]]`.
//!
//! Greedy, one stream, after one warm-up; the prompt is arbitrary text, since speed does not depend on what it says.

use candle_core::Device;
use gpu_node::{
    engine::{available_cores, size_pools},
    models::{self, CATALOGUE, Crew, Options, Store},
};
use std::{error::Error, sync::Arc, time::Instant};

const PROMPT_TOKENS: usize = 256;
const ANSWER_TOKENS: usize = 128;
const CHUNK: usize = 32;
const ROUNDS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.first().map_or(Ok(available_cores()), |it| it.parse())?;
    size_pools(threads)?;
    let folder =
        arguments.get(1).map(Into::into).or_else(models::shared_cache).ok_or("name a folder for the models")?;
    let (store, entry) = (Store::new(folder), &CATALOGUE[0]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(models::pull(&store, entry, &Options::default(), &|_| ()))?;

    let started = Instant::now();
    let (front, mut llama) = models::load_chat(&store, entry, &Device::Cpu, Arc::new(Crew::new(threads)))?;
    println!("{}, {threads} threads; loaded in {:.2} s", entry.id, started.elapsed().as_secs_f64());
    let text = "The quick brown fox jumps over the lazy dog, and the story goes on from there. ".repeat(40);
    let prompt = front.tokenizer.encode(text, false).map_err(|it| it.to_string())?.get_ids()[..PROMPT_TOKENS].to_vec();

    for round in 0..ROUNDS {
        llama.clear();
        let started = Instant::now();
        let mut logits = Vec::new();
        for chunk in prompt.chunks(CHUNK) {
            logits = llama.step(chunk)?;
        }
        let prefill = PROMPT_TOKENS as f64 / started.elapsed().as_secs_f64();
        let started = Instant::now();
        for _ in 0..ANSWER_TOKENS {
            let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |it| it.0);
            logits = llama.step(&[best as u32])?;
        }
        let decode = ANSWER_TOKENS as f64 / started.elapsed().as_secs_f64();
        let warm_up = if round == 0 { " (warm-up)" } else { "" };
        println!("prefill {prefill:.0} tokens/s, decode {decode:.1} tokens/s{warm_up}");
    }
    Ok(())
}
