//! Quantized matrices on the CPU: weights of 8 or 4 bits in blocks of 32, inputs in f32.
//!
//! candle's own kernels round the inputs to 8 bits as well. Small models with large outliers, such as SmolLM2, lose by
//! that: its answer to the capital of France turns from Paris to nonsense. Decoding waits for weights from memory, not
//! for arithmetic, so exact inputs cost nothing there; prompts share each unpacked weight among several tokens.
//! A row of the result does not depend on how many rows are computed together.

use super::{
    crew::{Crew, Parts},
    kernel::{BLOCK, Input, Kernel, Q4, Q8, Row},
};
use candle_core::{
    CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail,
    quantized::{GgmlDType, QTensor},
};
use half::f16;
use std::{ops::Range, sync::Arc};

/// A matrix of (rows, columns) and who multiplies it.
pub struct Matrix {
    weights: Arc<Weights>,
    crew: Arc<Crew>,
}

struct Weights {
    rows: usize,
    columns: usize,
    blocks: Blocks,
    kernel: Kernel,
}

/// The blocks of all rows.
enum Blocks {
    Q8(Vec<Q8>, Vec<f16>),
    Q4(Vec<Q4>, Vec<[f16; 2]>),
}

/// A product under way: rows of the matrix are the items.
struct Product {
    weights: Arc<Weights>,
    /// (inputs, columns).
    inputs: Vec<f32>,
}

impl Matrix {
    /// The rows of `tensors`, all Q8_0 or all Q4_1 and with the same columns, as one matrix.
    pub fn new(tensors: &[QTensor], crew: Arc<Crew>) -> Result<Self> {
        let columns = tensors.first().map_or(Ok(0), |it| it.shape().dims2().map(|it| it.1))?;
        let mut blocks = match tensors.first().map(QTensor::dtype) {
            Some(GgmlDType::Q8_0) => Blocks::Q8(Vec::new(), Vec::new()),
            Some(GgmlDType::Q4_1) => Blocks::Q4(Vec::new(), Vec::new()),
            other => bail!("a matrix of {other:?} is not multiplied here"),
        };
        let mut rows = 0;
        for tensor in tensors {
            let (more, same) = tensor.shape().dims2()?;
            if same != columns || columns % BLOCK != 0 {
                bail!("{more} x {same} is no part of a matrix of {columns} columns in blocks of {BLOCK}");
            }
            rows += more;
            let bytes = tensor.data()?;
            match (&mut blocks, tensor.dtype()) {
                (Blocks::Q8(quants, scales), GgmlDType::Q8_0) => {
                    for block in bytes.as_chunks::<{ 2 + size_of::<Q8>() }>().0 {
                        scales.push(f16::from_le_bytes([block[0], block[1]]));
                        quants.push(std::array::from_fn(|at| block[2 + at].cast_signed()));
                    }
                }
                (Blocks::Q4(quants, scales), GgmlDType::Q4_1) => {
                    for block in bytes.as_chunks::<{ 4 + size_of::<Q4>() }>().0 {
                        scales
                            .push([f16::from_le_bytes([block[0], block[1]]), f16::from_le_bytes([block[2], block[3]])]);
                        quants.push(std::array::from_fn(|at| block[4 + at]));
                    }
                }
                (_, other) => bail!("{other:?} can't be mixed with another quantization"),
            }
        }
        Ok(Self { weights: Arc::new(Weights { rows, columns, blocks, kernel: Kernel::best() }), crew })
    }

    /// Some rows in f32: (tokens, columns).
    pub fn select(&self, rows: &[u32]) -> Result<Tensor> {
        let columns = self.weights.columns;
        let mut values = Vec::with_capacity(rows.len() * columns);
        for &row in rows {
            if row as usize >= self.weights.rows {
                bail!("row {row} of {}", self.weights.rows);
            }
            let row = self.weights.row(row as usize);
            values.extend((0..columns / BLOCK).flat_map(|at| row.block(at)));
        }
        Tensor::from_vec(values, (rows.len(), columns), &Device::Cpu)
    }

    /// `x`: (tokens, columns); gives (tokens, rows).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1_no_bwd(self)
    }
}

impl Weights {
    fn row(&self, row: usize) -> Row<'_> {
        let length = self.columns / BLOCK;
        let blocks = row * length..(row + 1) * length;
        match &self.blocks {
            Blocks::Q8(quants, scales) => Row::Q8(&quants[blocks.clone()], &scales[blocks]),
            Blocks::Q4(quants, scales) => Row::Q4(&quants[blocks.clone()], &scales[blocks]),
        }
    }
}

impl CustomOp1 for Matrix {
    fn name(&self) -> &'static str {
        "quantized-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, columns) = layout.shape().dims2()?;
        let Weights { rows, columns: wanted, .. } = *self.weights;
        let Some((start, end)) = layout.contiguous_offsets().filter(|_| columns == wanted) else {
            bail!("{layout:?} does not fit a matrix of {rows} x {wanted}");
        };
        let inputs = storage.as_slice::<f32>()?[start..end].to_vec();
        let product = self.crew.compute(Product { weights: self.weights.clone(), inputs }, rows);
        Ok((CpuStorage::F32(if count == 1 { product } else { transposed(&product, count) }), (count, rows).into()))
    }
}

/// From (rows, count) to (count, rows).
fn transposed(product: &[f32], count: usize) -> Vec<f32> {
    let rows = product.len() / count.max(1);
    let mut transposed = vec![0.0; product.len()];
    for (row, values) in product.chunks_exact(count).enumerate() {
        for (at, value) in values.iter().enumerate() {
            transposed[at * rows + row] = *value;
        }
    }
    transposed
}

impl Parts for Product {
    /// For each row its products with all inputs.
    fn compute(&self, rows: Range<usize>) -> Vec<f32> {
        let (kernel, columns) = (self.weights.kernel, self.weights.columns);
        let (blocks, count) = (columns / BLOCK, self.inputs.len() / columns);
        let inputs = self.inputs.as_chunks::<BLOCK>().0;
        let mut products = Vec::with_capacity(rows.len() * count);
        for row in rows {
            let row = self.weights.row(row);
            let rest = groups::<8>(kernel, row, blocks, inputs, &mut products);
            let rest = groups::<4>(kernel, row, blocks, rest, &mut products);
            groups::<1>(kernel, row, blocks, rest, &mut products);
        }
        products
    }
}

/// Appends the products of `row` with as many inputs as make groups of `N`, which share each unpacked weight; gives the
/// inputs that are left.
fn groups<'a, const N: usize>(
    kernel: Kernel,
    row: Row<'_>,
    blocks: usize,
    inputs: Input<'a>,
    products: &mut Vec<f32>,
) -> Input<'a> {
    let mut groups = inputs.chunks_exact(blocks * N);
    for group in &mut groups {
        let inputs: [Input<'_>; N] = std::array::from_fn(|at| &group[at * blocks..(at + 1) * blocks]);
        products.extend_from_slice(&kernel.dot(row, inputs));
    }
    groups.remainder()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DTYPES: [GgmlDType; 2] = [GgmlDType::Q8_0, GgmlDType::Q4_1];

    fn matrix(rows: usize, columns: usize, dtype: GgmlDType) -> (Matrix, Tensor) {
        let dense = Tensor::randn(0.0_f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
        let quantized = QTensor::quantize(&dense, dtype).unwrap();
        let dense = quantized.dequantize(&Device::Cpu).unwrap();
        (Matrix::new(&[quantized], Arc::new(Crew::new(2))).unwrap(), dense)
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn products_are_those_of_the_dense_matrix() {
        for (rows, columns, dtype) in
            DTYPES.into_iter().flat_map(|it| [(1, 32, it), (7, 64, it), (100, 576, it), (96, 1536, it)])
        {
            let (matrix, dense) = matrix(rows, columns, dtype);
            for count in [1, 2, 4, 7, 33] {
                let x = Tensor::randn(0.0_f32, 1.0, (count, columns), &Device::Cpu).unwrap();
                let expected = values(&x.matmul(&dense.t().unwrap()).unwrap());
                for (ours, expected) in values(&matrix.forward(&x).unwrap()).iter().zip(expected) {
                    // f32 sums of up to 1536 products of about 1, in another order.
                    assert!((ours - expected).abs() < 1e-3, "{dtype:?} {rows} x {columns}, {count}: {ours} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let (matrix, _) = matrix(50, 576, GgmlDType::Q4_1);
        let x = Tensor::randn(0.0_f32, 1.0, (9, 576), &Device::Cpu).unwrap();
        let together = matrix.forward(&x).unwrap();
        for at in 0..9 {
            let alone = matrix.forward(&x.narrow(0, at, 1).unwrap()).unwrap();
            assert_eq!(values(&alone), values(&together.narrow(0, at, 1).unwrap()), "{at}");
        }
    }

    #[test]
    fn selected_rows_are_those_of_the_dense_matrix() {
        for dtype in DTYPES {
            let (matrix, dense) = matrix(10, 64, dtype);
            let rows = dense.index_select(&Tensor::new(&[7_u32, 0, 7], &Device::Cpu).unwrap(), 0).unwrap();
            assert_eq!(values(&matrix.select(&[7, 0, 7]).unwrap()), values(&rows));
            assert!(matrix.select(&[10]).is_err());
        }
    }
}
