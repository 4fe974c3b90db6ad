//! Attention of one token over all that were before, on the CPU.
//!
//! candle's general product copies the keys into panels first, which for a single token costs more than the product;
//! here keys and values are read where they lie, once, in the order of the positions.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// Sums that add up separately, so that they may live in vector registers.
const LANES: usize = 8;

/// The values mixed by how well each key fits the query.
///
/// `queries`: (kv_heads, group, head_dim), scaled; `keys`, `values`: (kv_heads, positions, head_dim), maybe parts of
/// longer buffers; gives (kv_heads, group, head_dim). `head_dim` is a multiple of 8.
pub(super) fn attend_one(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
    queries.contiguous()?.apply_op3_no_bwd(keys, values, &AttendOne)
}

struct AttendOne;

impl CustomOp3 for AttendOne {
    fn name(&self) -> &'static str {
        "attend-one"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_at: &Layout,
        keys: &CpuStorage,
        keys_at: &Layout,
        values: &CpuStorage,
        values_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (kv_heads, group, dim) = queries_at.shape().dims3()?;
        let Some((start, end)) = queries_at.contiguous_offsets().filter(|_| dim % LANES == 0) else {
            bail!("queries do not lie as they should: {queries_at:?}");
        };
        let queries = &queries.as_slice::<f32>()?[start..end];
        let (keys, values) = (keys.as_slice::<f32>()?, values.as_slice::<f32>()?);
        let mut mixed = vec![0.0; queries.len()];
        let heads = queries.chunks_exact(group * dim).zip(mixed.chunks_exact_mut(group * dim));
        for (head, (queries, mixed)) in heads.enumerate() {
            let keys = head_of(keys, keys_at, head, (kv_heads, dim))?;
            let values = head_of(values, values_at, head, (kv_heads, dim))?;
            attend(dim, queries, keys, values, mixed);
        }
        Ok((CpuStorage::F32(mixed), queries_at.shape().clone()))
    }
}

/// The rows of one head.
fn head_of<'a>(all: &'a [f32], at: &Layout, head: usize, (kv_heads, dim): (usize, usize)) -> Result<&'a [f32]> {
    match (at.dims(), at.stride()) {
        ([heads, positions, width], [stride, row, 1]) if (*heads, *width, *row) == (kv_heads, dim, dim) => {
            let start = at.start_offset() + head * stride;
            Ok(&all[start..start + positions * dim])
        }
        _ => bail!("keys or values do not lie as they should: {at:?}"),
    }
}

fn attend(dim: usize, queries: &[f32], keys: &[f32], values: &[f32], mixed: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the instructions.
        #[allow(unsafe_code)]
        return unsafe { attend_avx2(dim, queries, keys, values, mixed) };
    }
    // Every 64-bit ARM has the fused product.
    attend_with::<{ cfg!(target_arch = "aarch64") }>(dim, queries, keys, values, mixed);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn attend_avx2(dim: usize, queries: &[f32], keys: &[f32], values: &[f32], mixed: &mut [f32]) {
    attend_with::<true>(dim, queries, keys, values, mixed);
}

/// Inlined, so that it is compiled for the instructions of its caller.
#[inline(always)]
fn attend_with<const FUSED: bool>(dim: usize, queries: &[f32], keys: &[f32], values: &[f32], mixed: &mut [f32]) {
    let (group, positions) = (queries.len() / dim, keys.len() / dim);
    let mut scores = vec![0.0_f32; group * positions];
    for (position, key) in keys.chunks_exact(dim).enumerate() {
        for (of_query, query) in queries.chunks_exact(dim).enumerate() {
            scores[of_query * positions + position] = dot::<FUSED>(query, key);
        }
    }
    for scores in scores.chunks_exact_mut(positions) {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scores.iter_mut().for_each(|it| *it = (*it - largest).exp());
        let sum: f32 = scores.iter().sum();
        scores.iter_mut().for_each(|it| *it /= sum);
    }
    for (position, value) in values.chunks_exact(dim).enumerate() {
        for (of_query, mixed) in mixed.chunks_exact_mut(dim).enumerate() {
            add_scaled::<FUSED>(mixed, scores[of_query * positions + position], value);
        }
    }
}

#[inline(always)]
fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] = product::<FUSED>(a[lane], b[lane], sums[lane]);
        }
    }
    sums.iter().sum()
}

#[inline(always)]
fn add_scaled<const FUSED: bool>(sum: &mut [f32], scale: f32, values: &[f32]) {
    for (sum, values) in sum.as_chunks_mut::<LANES>().0.iter_mut().zip(values.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sum[lane] = product::<FUSED>(values[lane], scale, sum[lane]);
        }
    }
}

/// Where there is no fused instruction, `mul_add` is a slow call.
#[inline(always)]
fn product<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::ops;

    #[test]
    fn one_token_attends_as_general_products_do() {
        for (kv_heads, group, dim, positions) in [(1, 1, 8, 1), (3, 3, 64, 300), (2, 4, 128, 77)] {
            let random = |shape| Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).unwrap();
            let queries = random((kv_heads, group, dim));
            // Parts of longer buffers, as in use.
            let [keys, values] = [(); 2].map(|()| {
                let buffer = Tensor::zeros((kv_heads, 400, dim), DType::F32, &Device::Cpu).unwrap();
                buffer.slice_set(&random((kv_heads, positions, dim)), 1, 0).unwrap();
                buffer.narrow(1, 0, positions).unwrap()
            });
            let scores = queries.matmul(&keys.t().unwrap()).unwrap();
            let expected = ops::softmax_last_dim(&scores).unwrap().matmul(&values).unwrap();
            let ours = attend_one(&queries, &keys, &values).unwrap();
            let off = (ours - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            // Sums of f32 in another order; scores of up to 40 in the exponent make 1e-6 of them 1e-5.
            assert!(off < 1e-4, "{off}");
        }
    }
}
