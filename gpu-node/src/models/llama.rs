//! The Llama family from GGUF: RMSNorm before each block, rotary positions, grouped-query attention, SwiGLU.
//!
//! Unlike candle's stock model it keeps K and V in buffers made once, at the model's full context, and writes into
//! them; multiplies a group's queries with their shared keys without copying these; keeps a tied embedding
//! quantized; and knows no positions but the context's.

use super::{
    attention::attend_one,
    gguf::{Gguf, Projection},
    swiglu::swiglu,
};
use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{ops, rotary_emb::rope_i};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

/// A loaded model with the keys and values of one sequence.
pub struct Llama {
    embedding: Projection,
    layers: Vec<Layer>,
    norm: Norm,
    /// None when the embedding is the head too.
    head: Option<Projection>,
    rotary: Rotary,
    shape: Shape,
    device: Device,
    /// Tokens whose keys and values are in the buffers.
    filled: usize,
}

/// The numbers that define a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Most tokens of a sequence.
    pub context: usize,
    /// Tokens that the model knows.
    pub vocabulary: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    blocks: usize,
}

struct Layer {
    attention_norm: Norm,
    qkv: Projection,
    output: Projection,
    feed_forward_norm: Norm,
    gate_up: Projection,
    down: Projection,
    /// (kv_heads, context, head_dim), filled up to `Llama::filled`.
    keys: Tensor,
    values: Tensor,
}

struct Norm {
    weight: Tensor,
    epsilon: f32,
}

/// Cosines and sines of all positions: (context, head_dim / 2).
struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Llama {
    /// Loads the weights of `file` onto `device`.
    pub fn load(file: &Gguf, device: &Device) -> Result<Self> {
        match file.text("general.architecture")?.as_deref() {
            Some("llama") => {}
            other => bail!("the file holds the architecture {other:?}; this reads `llama`"),
        }
        let shape = Shape::read(file)?;
        let epsilon = file.real("llama.attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5);
        let rotary = Rotary::new(file, &shape, device)?;
        let embedding = file.projection(&["token_embd.weight"])?;
        let head = file.has("output.weight").then(|| file.projection(&["output.weight"])).transpose()?;
        let layers = (0..shape.blocks).into_par_iter().map(|at| Layer::load(file, at, &shape, epsilon, device));
        let layers = layers.collect::<Result<_>>()?;
        let norm = Norm { weight: file.dense("output_norm.weight")?, epsilon };
        Ok(Self { embedding, layers, norm, head, rotary, shape, device: device.clone(), filled: 0 })
    }

    /// The model's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Forgets the sequence.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends `tokens` to the sequence without asking what comes next.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<()> {
        self.append(tokens).map(drop)
    }

    /// Appends `tokens` to the sequence; gives the logits of the token after them, one for each of the vocabulary.
    pub fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let hidden = self.append(tokens)?;
        let last = hidden.narrow(0, tokens.len() - 1, 1)?;
        self.head.as_ref().unwrap_or(&self.embedding).forward(&self.norm.forward(&last)?)?.squeeze(0)?.to_vec1()
    }

    /// Errs when the sequence would outgrow the context. Gives (tokens, width).
    fn append(&mut self, tokens: &[u32]) -> Result<Tensor> {
        let (start, count) = (self.filled, tokens.len());
        if count == 0 || start + count > self.shape.context {
            bail!("{start} + {count} tokens do not fit a context of {}", self.shape.context);
        }
        let mut x = self.embedding.select(tokens, &self.device)?;
        let rotary = self.rotary.at(start, count)?;
        let mask = if count > 1 { Some(causal_mask(start, count, &self.device)?) } else { None };
        for layer in &self.layers {
            x = (layer.attend(&layer.attention_norm.forward(&x)?, start, &rotary, mask.as_ref(), &self.shape)? + x)?;
            x = (layer.feed_forward(&layer.feed_forward_norm.forward(&x)?)? + x)?;
        }
        self.filled = start + count;
        Ok(x)
    }
}

impl Shape {
    fn read(file: &Gguf) -> Result<Self> {
        let (width, heads) = (file.number("llama.embedding_length")?, file.number("llama.attention.head_count")?);
        let shape = Self {
            context: file.number("llama.context_length")?,
            vocabulary: match file.content().tensor_infos.get("token_embd.weight") {
                Some(info) => info.shape.dims2()?.0,
                None => bail!("the file has no `token_embd.weight`"),
            },
            width,
            heads,
            kv_heads: file.optional_number("llama.attention.head_count_kv")?.unwrap_or(heads),
            head_dim: match file.optional_number("llama.attention.key_length")? {
                Some(it) => it,
                None => width / heads.max(1),
            },
            blocks: file.number("llama.block_count")?,
        };
        let rotated = file.optional_number("llama.rope.dimension_count")?.unwrap_or(shape.head_dim);
        if shape.heads == 0 || shape.kv_heads == 0 || !shape.heads.is_multiple_of(shape.kv_heads) {
            bail!("{} heads cannot share {} key-value heads", shape.heads, shape.kv_heads);
        }
        if rotated != shape.head_dim {
            bail!("rotating {rotated} of {} dimensions of a head is not supported", shape.head_dim);
        }
        if file.optional_number("llama.expert_count")?.unwrap_or(0) > 1 {
            bail!("mixtures of experts are not supported");
        }
        Ok(shape)
    }
}

impl Layer {
    fn load(file: &Gguf, at: usize, shape: &Shape, epsilon: f32, device: &Device) -> Result<Self> {
        let name = |part: &str| format!("blk.{at}.{part}.weight");
        let cache = (shape.kv_heads, shape.context, shape.head_dim);
        Ok(Self {
            attention_norm: Norm { weight: file.dense(&name("attn_norm"))?, epsilon },
            qkv: file.projection(&[&name("attn_q"), &name("attn_k"), &name("attn_v")])?,
            output: file.projection(&[&name("attn_output")])?,
            feed_forward_norm: Norm { weight: file.dense(&name("ffn_norm"))?, epsilon },
            gate_up: file.projection(&[&name("ffn_gate"), &name("ffn_up")])?,
            down: file.projection(&[&name("ffn_down")])?,
            // On a CPU the allocator hands out zero pages, which take memory only when a sequence reaches them.
            keys: Tensor::zeros(cache, DType::F32, device)?,
            values: Tensor::zeros(cache, DType::F32, device)?,
        })
    }

    /// `x`: (tokens, width), the first of them at position `start`.
    fn attend(
        &self,
        x: &Tensor,
        start: usize,
        rotary: &Rotary,
        mask: Option<&Tensor>,
        shape: &Shape,
    ) -> Result<Tensor> {
        let Shape { heads, kv_heads, head_dim, .. } = *shape;
        let (count, group) = (x.dim(0)?, heads / kv_heads);
        let qkv = self.qkv.forward(x)?;
        // Queries and keys are rotated together; (1, heads, tokens, head_dim), which for one token is no copy.
        let rotated = qkv
            .narrow(1, 0, (heads + kv_heads) * head_dim)?
            .reshape((1, count, heads + kv_heads, head_dim))?
            .transpose(1, 2)?
            .contiguous()?;
        let rotated = rope_i(&rotated, &rotary.cos, &rotary.sin)?.squeeze(0)?;
        let keys = rotated.narrow(0, heads, kv_heads)?;
        let values = qkv
            .narrow(1, (heads + kv_heads) * head_dim, kv_heads * head_dim)?
            .reshape((count, kv_heads, head_dim))?
            .transpose(0, 1)?
            .contiguous()?;
        self.keys.slice_set(&keys, 1, start)?;
        self.values.slice_set(&values, 1, start)?;

        // The queries that share a key head lie side by side: a batch of (group x tokens) rows for each key head.
        let queries = (rotated.narrow(0, 0, heads)?.reshape((kv_heads, group * count, head_dim))?
            * (head_dim as f64).powf(-0.5))?;
        let keys = self.keys.narrow(1, 0, start + count)?;
        let values = self.values.narrow(1, 0, start + count)?;
        let mixed = match mask {
            None if queries.device().is_cpu() => attend_one(&queries, &keys, &values)?,
            mask => {
                let mut scores = queries.matmul(&keys.t()?)?;
                if let Some(mask) = mask {
                    scores = scores
                        .reshape((kv_heads, group, count, start + count))?
                        .broadcast_add(mask)?
                        .reshape((kv_heads, group * count, start + count))?;
                }
                ops::softmax_last_dim(&scores)?.matmul(&values)?
            }
        };
        let mixed = mixed.reshape((heads, count, head_dim))?.transpose(0, 1)?.reshape((count, heads * head_dim))?;
        self.output.forward(&mixed)
    }

    fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&swiglu(&self.gate_up.forward(x)?)?)
    }
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.epsilon)
    }
}

impl Rotary {
    fn new(file: &Gguf, shape: &Shape, device: &Device) -> Result<Self> {
        let base = file.real("llama.rope.freq_base")?.unwrap_or(10_000.0);
        let half = shape.head_dim / 2;
        let mut frequencies: Vec<f32> =
            (0..half).map(|at| base.powf(-((2 * at) as f32) / shape.head_dim as f32)).collect();
        // Llama 3.1 and later stretch the slow frequencies; the converter stores the divisors.
        if file.has("rope_freqs.weight") {
            for (frequency, divisor) in frequencies.iter_mut().zip(file.dense("rope_freqs.weight")?.to_vec1::<f32>()?) {
                *frequency /= divisor;
            }
        }
        let positions =
            Tensor::arange(0, shape.context as u32, device)?.to_dtype(DType::F32)?.reshape((shape.context, 1))?;
        let angles = positions.matmul(&Tensor::from_vec(frequencies, (1, half), device)?)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()? })
    }

    fn at(&self, start: usize, count: usize) -> Result<Self> {
        Ok(Self { cos: self.cos.narrow(0, start, count)?, sin: self.sin.narrow(0, start, count)? })
    }
}

/// (tokens, positions): minus infinity where a token would look ahead.
fn causal_mask(start: usize, count: usize, device: &Device) -> Result<Tensor> {
    let mut mask = vec![0.0_f32; count * (start + count)];
    for (row, positions) in mask.chunks_mut(start + count).enumerate() {
        positions[start + row + 1..].fill(f32::NEG_INFINITY);
    }
    Tensor::from_vec(mask, (count, start + count), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_sees_itself_and_what_was_before() {
        let inf = f32::NEG_INFINITY;
        let mask: Vec<Vec<f32>> = causal_mask(2, 3, &Device::Cpu).unwrap().to_vec2().unwrap();
        assert_eq!(mask, [[0.0, 0.0, 0.0, inf, inf], [0.0, 0.0, 0.0, 0.0, inf], [0.0; 5]]);
    }
}
