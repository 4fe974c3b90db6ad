//! Our arithmetic against other implementations of the same models, on the real weights.

use crate::served::MODELS;
use candle_core::{Device, Tensor, quantized::gguf_file};
use candle_transformers::models::quantized_llama::ModelWeights;
use gpu_node::models::{self, Crew, chat::ChatModel, find, llama::Llama, minilm};
use std::{fs::File, path::PathBuf, sync::Arc};

const TEXT: &str = "The history of Rome is long. It begins, as legend has it, with two brothers who were raised by a wolf; \
    one of them gave the city its name, and its people went on to rule the shores of the whole sea.";

fn chat() -> (ChatModel, Llama, PathBuf) {
    let entry = find("smollm2-135m-instruct").unwrap();
    let (front, llama) = models::load_chat(&MODELS, entry, &Device::Cpu, Arc::new(Crew::new(2))).unwrap();
    (front, llama, MODELS.path(entry, &entry.files[0]))
}

fn best(logits: &[f32]) -> u32 {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Two implementations of one model, fed the same tokens one by one.
///
/// candle's stock model rounds activations to 8 bits before each product, ours does not; SmolLM2's activations have
/// outliers that this costs dearly, up to a cosine of 0.93 at single tokens. A wrong position, mask, head or norm would
/// show at all tokens, and as cosines near 0: so the median must be above 0.99 and the least above 0.8.
/// (With `CANDLE_DEQUANTIZE_ALL` set, which turns the rounding off, the least was 0.993 over a chat prompt.)
#[test]
fn logits_agree_with_the_stock_model() {
    let (front, mut ours, path) = chat();
    let mut file = File::open(path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    let mut stock = ModelWeights::from_gguf(content, &mut file, &Device::Cpu).unwrap();
    let tokens = front.tokenizer.encode(TEXT, false).unwrap().get_ids().to_vec();
    let mut cosines = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let stock = stock.forward(&Tensor::new(&[[*token]], &Device::Cpu).unwrap(), at).unwrap();
        let stock: Vec<f32> = stock.squeeze(0).unwrap().to_vec1().unwrap();
        let ours = ours.step(&[*token]).unwrap();
        cosines.push(cosine(&stock, &ours));
    }
    cosines.sort_unstable_by(f64::total_cmp);
    let (least, median) = (cosines[0], cosines[cosines.len() / 2]);
    assert!(least > 0.8 && median > 0.99, "least {least}, median {median}");
}

/// How a prompt is cut into chunks is not part of its meaning: one at a time, in odd pieces, or at once.
///
/// Products of weights are the same to the bit; attention is candle's general product, which adds in another order for
/// one row than for many: differences of 1e-5 of a logit, that the layers above may make 1e-3.
#[test]
fn chunks_of_a_prompt_do_not_matter() {
    let (front, mut llama, _) = chat();
    let tokens = front.tokenizer.encode(TEXT, false).unwrap().get_ids().to_vec();
    let mut run = |size: usize| {
        llama.clear();
        tokens.chunks(size).fold(Vec::new(), |_, chunk| llama.step(chunk).unwrap())
    };
    let whole = run(tokens.len());
    for size in [1, 7, 32] {
        let chunked = run(size);
        assert!(cosine(&whole, &chunked) > 0.99999, "{size}: {}", cosine(&whole, &chunked));
        assert_eq!(best(&whole), best(&chunked), "{size}");
    }
}

/// SmolLM2's `tokenizer.json` splits digits one by one and puts no space before a text.
#[test]
fn text_is_split_as_the_authors_split_it() {
    let (front, ..) = chat();
    let tokens = |text: &str| front.tokenizer.encode(text, false).unwrap().get_tokens().to_vec();
    assert_eq!(
        tokens("<|im_start|>user\nHello 123 world<|im_end|>\n"),
        ["<|im_start|>", "user", "Ċ", "Hello", "Ġ", "1", "2", "3", "Ġworld", "<|im_end|>", "Ċ"]
    );
    for text in ["Hello", " leading", "tabs\t and\n\nlines", "漢字 and éà", "a  b   c", "🦀"] {
        let ids = front.tokenizer.encode(text, false).unwrap();
        let bytes: Vec<u8> = ids.get_ids().iter().flat_map(|it| front.bytes.of(*it).to_vec()).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let (_, mut llama, _) = chat();
    let context = llama.shape().context;
    assert_eq!(context, 8192);
    assert!(llama.step(&vec![5; context + 1]).is_err());
}

/// Embeddings from BERT's formulas written out in numpy in f64 (exact erf, mean of the last hidden states, normalized),
/// over the same weights.
///
/// Ours adds f32 over 384 to 1536 terms in six layers: 1e-5 is an order above what that loses.
#[test]
fn embeddings_agree_with_the_reference() {
    let (front, weights) = minilm::load(&MODELS, find("all-minilm-l6-v2").unwrap(), &Device::Cpu).unwrap();
    let reference: Vec<(String, Vec<f32>)> = serde_json::from_str(include_str!("minilm.json")).unwrap();
    for (text, expected) in reference {
        let tokens = front.tokenizer.encode(text.as_str(), true).unwrap().get_ids().to_vec();
        let embedding = weights.embed(&tokens).unwrap();
        let off = embedding.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{text}: {off}");
    }
}
