//! GGUF files: metadata with types, and weights in a quantization that is fast here.

use super::{crew::Crew, matrix::Matrix};
use candle_core::{
    Device, Result, Tensor, bail,
    quantized::{GgmlDType, QMatMul, QTensor, gguf_file},
};
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A GGUF file whose header has been read.
pub struct Gguf {
    content: gguf_file::Content,
    path: PathBuf,
    device: Device,
    crew: Arc<Crew>,
}

impl Gguf {
    /// Reads the header of the file at `path`; its weights will live on `device`, and on a CPU `crew` multiplies them.
    pub fn open(path: &Path, device: &Device, crew: Arc<Crew>) -> Result<Self> {
        let content = gguf_file::Content::read(&mut BufReader::with_capacity(1 << 20, File::open(path)?))?;
        Ok(Self { content, path: path.to_owned(), device: device.clone(), crew })
    }

    /// The header, as candle has it.
    pub fn content(&self) -> &gguf_file::Content {
        &self.content
    }

    /// A whole number of the metadata. GGUF writers choose its width as they like.
    pub fn number(&self, key: &str) -> Result<usize> {
        self.optional_number(key)?.ok_or_else(|| candle_core::Error::Msg(format!("the file has no `{key}`")))
    }

    /// As [`Self::number`], for a key that may be absent.
    pub fn optional_number(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.content.metadata.get(key) else { return Ok(None) };
        let number = match value {
            gguf_file::Value::I32(it) => u64::try_from(*it).ok(),
            gguf_file::Value::I64(it) => u64::try_from(*it).ok(),
            value => value.to_u64().ok(),
        };
        match number.and_then(|it| usize::try_from(it).ok()) {
            Some(number) => Ok(Some(number)),
            None => bail!("`{key}` is not a whole number: {value:?}"),
        }
    }

    /// A real number of the metadata.
    pub fn real(&self, key: &str) -> Result<Option<f32>> {
        self.content.metadata.get(key).map(gguf_file::Value::to_f32).transpose()
    }

    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.content.metadata.get(key).map(|it| it.to_string().cloned()).transpose()
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A tensor in f32.
    pub fn dense(&self, name: &str) -> Result<Tensor> {
        self.stored(name)?.dequantize(&self.device)
    }

    /// Matrices that take the same input, as one.
    pub fn projection(&self, names: &[&str]) -> Result<Projection> {
        let parts = names.iter().map(|name| self.stored(name)).collect::<Result<Vec<_>>>()?;
        Projection::new(parts, &self.device, &self.crew)
    }

    // Each tensor is read through a file of its own, so that several can be loaded at once.
    fn stored(&self, name: &str) -> Result<QTensor> {
        self.content.tensor(&mut File::open(&self.path)?, name, &self.device)
    }
}

/// Matrices over one input, applied together.
pub enum Projection {
    /// On the CPU, multiplied by our own kernel: the rows of all matrices in one.
    Fused(Matrix),
    /// What candle has a kernel for, one after the other.
    Candle(Vec<QMatMul>),
}

impl Projection {
    fn new(parts: Vec<QTensor>, device: &Device, crew: &Arc<Crew>) -> Result<Self> {
        if device.is_cpu() && parts.iter().all(|it| is_small_block(it.dtype())) {
            // Q4_1 has a kernel of its own, if all parts are; everything else becomes Q8_0.
            let parts = if parts.iter().all(|it| it.dtype() == GgmlDType::Q4_1) {
                parts
            } else {
                parts.into_iter().map(transcode).collect::<Result<Vec<_>>>()?
            };
            return Ok(Self::Fused(Matrix::new(&parts, crew.clone())?));
        }
        Ok(Self::Candle(parts.into_iter().map(QMatMul::from_qtensor).collect::<Result<_>>()?))
    }

    /// `x`: (tokens, columns); gives (tokens, rows of all matrices).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        use candle_core::Module as _;
        match self {
            Self::Fused(matrix) => matrix.forward(x),
            Self::Candle(parts) => match parts.as_slice() {
                [one] => one.forward(x),
                parts => Tensor::cat(&parts.iter().map(|it| it.forward(x)).collect::<Result<Vec<_>>>()?, 1),
            },
        }
    }

    /// Some rows of the first matrix in f32, as an embedding is looked up: (tokens, columns).
    pub fn select(&self, rows: &[u32], device: &Device) -> Result<Tensor> {
        match self {
            Self::Fused(matrix) => matrix.select(rows),
            Self::Candle(parts) => parts[0].embedding(&Tensor::new(rows, device)?),
        }
    }
}

/// Quantizations in blocks of 32, which Q8_0 represents with nothing lost but the last half step.
fn is_small_block(dtype: GgmlDType) -> bool {
    use GgmlDType::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
    matches!(dtype, Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0)
}

/// Requantizes to Q8_0; candle has no fast kernel for Q4_1, Q5_0 and Q5_1 on x86.
///
/// Costs memory (8.5 bits a weight for 4.5 to 6) and at most half a step of Q8_0: 1/254 of a block's largest weight.
fn transcode(tensor: QTensor) -> Result<QTensor> {
    if tensor.dtype() == GgmlDType::Q8_0 {
        return Ok(tensor);
    }
    QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Q8_0 rounds to a step of max/127, so it is at most half a step off; f16 scales add 2^-11 of the value.
        #[test]
        fn transcoding_moves_a_weight_by_half_a_step_at_most(weights in prop::collection::vec(-4.0_f32..4.0, 64)) {
            let dense = Tensor::new(weights, &Device::Cpu).unwrap().reshape((2, 32)).unwrap();
            for dtype in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1] {
                let before = QTensor::quantize(&dense, dtype).unwrap();
                let old: Vec<Vec<f32>> = before.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap();
                let after = transcode(before).unwrap();
                prop_assert_eq!(after.dtype(), GgmlDType::Q8_0);
                let new: Vec<Vec<f32>> = after.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap();
                for (old, new) in old.iter().zip(&new) {
                    let largest = old.iter().fold(0.0_f32, |max, it| max.max(it.abs()));
                    for (old, new) in old.iter().zip(new) {
                        prop_assert!((old - new).abs() <= largest * (0.5 / 127.0 + 1.0 / 1024.0), "{old} became {new}");
                    }
                }
            }
        }
    }

    #[test]
    fn projections_give_what_each_matrix_gives() {
        let (device, crew) = (Device::Cpu, Arc::new(Crew::new(1)));
        let matrix = |rows: usize, dtype| {
            QTensor::quantize(&Tensor::randn(0.0_f32, 1.0, (rows, 256), &device).unwrap(), dtype).unwrap()
        };
        let x = Tensor::randn(0.0_f32, 1.0, (3, 256), &device).unwrap();
        for (second, is_ours) in [(GgmlDType::Q8_0, true), (GgmlDType::Q4_1, true), (GgmlDType::Q6K, false)] {
            let (a, b) = (matrix(8, GgmlDType::Q8_0), matrix(4, second));
            let dense = [&a, &b].map(|it| it.dequantize(&device).unwrap());
            let each = [0, 1].map(|at| x.matmul(&dense[at].t().unwrap()).unwrap());
            let expected: Vec<Vec<f32>> = Tensor::cat(&each, 1).unwrap().to_vec2().unwrap();
            let projection = Projection::new(vec![a, b], &device, &crew).unwrap();
            assert_eq!(matches!(projection, Projection::Fused(_)), is_ours);
            let given: Vec<Vec<f32>> = projection.forward(&x).unwrap().to_vec2().unwrap();
            for (expected, given) in expected.concat().iter().zip(given.concat()) {
                // candle's kernel rounds x to 8 bits and transcoding rounds weights again: 1/254 a product of about 1,
                // over 256 products.
                assert!((expected - given).abs() < 0.5, "{second:?}: {expected} {given}");
            }
            let rows: Vec<Vec<f32>> = projection.select(&[5], &device).unwrap().to_vec2().unwrap();
            assert_eq!(rows[0], dense[0].get(5).unwrap().to_vec1::<f32>().unwrap());
        }
    }
}
