//! The gate of a feed-forward block, in one pass, and without a thread pool, whose wake-up takes longer than the work.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops;

/// SiLU of the first half of each row times its second half: (tokens, 2 x width) to (tokens, width).
pub(super) fn swiglu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1_no_bwd(&Swiglu) } else { ops::swiglu(x) }
}

struct Swiglu;

impl CustomOp1 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu-rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets().filter(|_| columns > 0) else {
            bail!("rows must be contiguous: {layout:?}");
        };
        let mut product = Vec::with_capacity((end - start) / 2);
        for row in storage.as_slice::<f32>()?[start..end].chunks_exact(columns) {
            let (gate, up) = row.split_at(columns / 2);
            product.extend(gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up));
        }
        Ok((CpuStorage::F32(product), (rows, columns / 2).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_are_computed_as_candle_does() {
        for (rows, columns) in [(1, 2), (9, 40), (65, 8)] {
            let x = Tensor::randn(0.0_f32, 2.0, (rows, columns), &Device::Cpu).unwrap();
            let off = (swiglu(&x).unwrap() - ops::swiglu(&x).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            // The same formula in f32.
            assert!(off.to_scalar::<f32>().unwrap() < 1e-6);
        }
    }
}
