//! The inner loop of a quantized matrix: one row times `N` inputs, for each kind of processor.
//!
//! Every version adds the same products, each in an order of its own that does not depend on `N`.

#![allow(unsafe_code)]

use half::f16;

/// Weights of a block.
pub(super) const BLOCK: usize = 32;

/// A block of 8-bit weights.
pub(super) type Q8 = [i8; BLOCK];

/// A block of 4-bit weights: byte `i` holds weight `i` in its low half and weight `i + 16` in its high half.
pub(super) type Q4 = [u8; BLOCK / 2];

/// The blocks of a row.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    /// GGUF's Q8_0: a weight is its number times the block's scale.
    Q8(&'a [Q8], &'a [f16]),
    /// GGUF's Q4_1: a weight is its number times the block's scale, plus the block's least weight.
    Q4(&'a [Q4], &'a [[f16; 2]]),
}

/// An input in blocks.
pub(super) type Input<'a> = &'a [[f32; BLOCK]];

/// What the processor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Any processor.
    Portable,
    /// x86 with AVX2, FMA and F16C. Made only by [`Kernel::all`], where the processor has them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86 with AVX-512 too. As above.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The fastest that this processor can run.
    pub(super) fn best() -> Self {
        Self::all().pop().unwrap_or(Self::Portable)
    }

    /// All that this processor can run, the slowest first.
    pub(super) fn all() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            kernels.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f") {
                kernels.push(Self::Avx512);
            }
        }
        kernels
    }

    /// The products of one row with `N` inputs of as many blocks.
    #[inline]
    pub(super) fn dot<const N: usize>(self, row: Row<'_>, inputs: [Input<'_>; N]) -> [f32; N] {
        let (blocks, scales) = match row {
            Row::Q8(quants, scales) => (quants.len(), scales.len()),
            Row::Q4(quants, scales) => (quants.len(), scales.len()),
        };
        // The vector loops read without looking.
        assert!(scales == blocks && inputs.iter().all(|it| it.len() == blocks), "a row and its inputs differ");
        match (self, row) {
            (Self::Portable, row) => inputs.map(|input| portable(row, input)),
            // SAFETY: these kernels exist only where the processor has the instructions; lengths are checked above.
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, Row::Q8(quants, scales)) => unsafe { x86::q8_avx2(quants, scales, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, Row::Q4(quants, scales)) => unsafe { x86::q4_avx2(quants, scales, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, Row::Q8(quants, scales)) => unsafe { x86::q8_avx512(quants, scales, inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, Row::Q4(quants, scales)) => unsafe { x86::q4_avx512(quants, scales, inputs) },
        }
    }
}

impl Row<'_> {
    /// The weights of one block.
    pub(super) fn block(self, at: usize) -> [f32; BLOCK] {
        match self {
            Row::Q8(quants, scales) => {
                let scale = scales[at].to_f32();
                quants[at].map(|it| f32::from(it) * scale)
            }
            Row::Q4(quants, scales) => {
                let [scale, least] = scales[at].map(f16::to_f32);
                let half = BLOCK / 2;
                std::array::from_fn(|weight| {
                    let byte = quants[at][weight % half];
                    let number = if weight < half { byte & 0x0F } else { byte >> 4 };
                    f32::from(number) * scale + least
                })
            }
        }
    }
}

fn portable(row: Row<'_>, input: Input<'_>) -> f32 {
    /// Sums that the compiler may keep in one vector register.
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    for (at, input) in input.iter().enumerate() {
        let weights = row.block(at);
        for (weights, input) in weights.as_chunks::<LANES>().0.iter().zip(input.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sums[lane] += weights[lane] * input[lane];
            }
        }
    }
    sums.iter().sum()
}

/// Pointers move by `wrapping_add`, and no pointer is turned back into a reference: what the compiler would check of
/// that in development builds costs half the speed.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Input, Q4, Q8};
    use half::f16;
    // Every name in there says what it is.
    #[allow(clippy::wildcard_imports)]
    use std::arch::x86_64::*;

    /// The first value in all lanes, and the second.
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn pair_256(pair: [f16; 2]) -> (__m256, __m256) {
        let bits = u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
        let pair = _mm_cvtph_ps(_mm_cvtsi32_si128(bits.cast_signed()));
        (_mm256_broadcastss_ps(pair), _mm256_broadcastss_ps(_mm_movehdup_ps(pair)))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn sum_256(sum: __m256) -> f32 {
        let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
    }

    /// SAFETY: needs the instructions, and inputs of as many blocks as there are scales and quants.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn q8_avx2<const N: usize>(quants: &[Q8], scales: &[f16], inputs: [Input<'_>; N]) -> [f32; N] {
        let mut quants = quants.as_ptr().cast::<i8>();
        let mut inputs: [*const f32; N] = inputs.map(|it| it.as_ptr().cast());
        let mut sums = [_mm256_setzero_ps(); N];
        for scale in scales {
            let (scale, _) = pair_256([*scale; 2]);
            for _ in 0..4 {
                // SAFETY: a block has 32 weights, an input's block 32 numbers, and each of four rounds takes 8 of both.
                let packed = unsafe { _mm_loadl_epi64(quants.cast()) };
                let weights = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(packed)), scale);
                quants = quants.wrapping_add(8);
                for (input, sum) in inputs.iter_mut().zip(&mut sums) {
                    // SAFETY: as above.
                    *sum = _mm256_fmadd_ps(weights, unsafe { _mm256_loadu_ps(*input) }, *sum);
                    *input = input.wrapping_add(8);
                }
            }
        }
        sums.map(|it| sum_256(it))
    }

    /// SAFETY: as [`q8_avx2`].
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn q4_avx2<const N: usize>(
        quants: &[Q4],
        scales: &[[f16; 2]],
        inputs: [Input<'_>; N],
    ) -> [f32; N] {
        let mut quants = quants.as_ptr().cast::<u8>();
        let mut inputs: [*const f32; N] = inputs.map(|it| it.as_ptr().cast());
        let mut sums = [_mm256_setzero_ps(); N];
        let low = _mm_set1_epi8(0x0F);
        for pair in scales {
            let (scale, least) = pair_256(*pair);
            // SAFETY: a block has 16 bytes.
            let packed = unsafe { _mm_loadu_si128(quants.cast()) };
            quants = quants.wrapping_add(16);
            for half in [_mm_and_si128(packed, low), _mm_and_si128(_mm_srli_epi16::<4>(packed), low)] {
                for eight in [half, _mm_unpackhi_epi64(half, half)] {
                    let weights = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)), scale, least);
                    for (input, sum) in inputs.iter_mut().zip(&mut sums) {
                        // SAFETY: an input's block has 32 numbers, and each of four rounds takes 8.
                        *sum = _mm256_fmadd_ps(weights, unsafe { _mm256_loadu_ps(*input) }, *sum);
                        *input = input.wrapping_add(8);
                    }
                }
            }
        }
        sums.map(|it| sum_256(it))
    }

    #[inline]
    #[target_feature(enable = "avx512f,f16c")]
    fn pair_512(pair: [f16; 2]) -> (__m512, __m512) {
        let bits = u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
        let pair = _mm_cvtph_ps(_mm_cvtsi32_si128(bits.cast_signed()));
        (_mm512_broadcastss_ps(pair), _mm512_broadcastss_ps(_mm_movehdup_ps(pair)))
    }

    /// Adds the products of 32 weights with each input, whose pointers go on.
    ///
    /// SAFETY: needs the instructions, and 32 numbers at each pointer.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_512<const N: usize>(weights: [__m512; 2], inputs: &mut [*const f32; N], sums: &mut [[__m512; 2]; N]) {
        for (input, [even, odd]) in inputs.iter_mut().zip(sums) {
            // SAFETY: as the caller promises.
            let (x, y) = unsafe { (_mm512_loadu_ps(*input), _mm512_loadu_ps(input.wrapping_add(16))) };
            *even = _mm512_fmadd_ps(weights[0], x, *even);
            *odd = _mm512_fmadd_ps(weights[1], y, *odd);
            *input = input.wrapping_add(32);
        }
    }

    /// SAFETY: as [`q8_avx2`].
    #[target_feature(enable = "avx512f,f16c")]
    pub(super) unsafe fn q8_avx512<const N: usize>(quants: &[Q8], scales: &[f16], inputs: [Input<'_>; N]) -> [f32; N] {
        let mut quants = quants.as_ptr().cast::<i8>();
        let mut inputs: [*const f32; N] = inputs.map(|it| it.as_ptr().cast());
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        for scale in scales {
            let (scale, _) = pair_512([*scale; 2]);
            // SAFETY: a block has 32 weights.
            let packed = unsafe { [_mm_loadu_si128(quants.cast()), _mm_loadu_si128(quants.wrapping_add(16).cast())] };
            quants = quants.wrapping_add(32);
            let weights = packed.map(|it| _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(it)), scale));
            // SAFETY: an input's block has 32 numbers.
            unsafe { add_512(weights, &mut inputs, &mut sums) };
        }
        sums.map(|[even, odd]| _mm512_reduce_add_ps(_mm512_add_ps(even, odd)))
    }

    /// SAFETY: as [`q8_avx2`].
    #[target_feature(enable = "avx512f,f16c")]
    pub(super) unsafe fn q4_avx512<const N: usize>(
        quants: &[Q4],
        scales: &[[f16; 2]],
        inputs: [Input<'_>; N],
    ) -> [f32; N] {
        let mut quants = quants.as_ptr().cast::<u8>();
        let mut inputs: [*const f32; N] = inputs.map(|it| it.as_ptr().cast());
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        let low = _mm_set1_epi8(0x0F);
        for pair in scales {
            let (scale, least) = pair_512(*pair);
            // SAFETY: a block has 16 bytes.
            let packed = unsafe { _mm_loadu_si128(quants.cast()) };
            quants = quants.wrapping_add(16);
            let halves = [_mm_and_si128(packed, low), _mm_and_si128(_mm_srli_epi16::<4>(packed), low)];
            let weights = halves.map(|it| _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(it)), scale, least));
            // SAFETY: an input's block has 32 numbers.
            unsafe { add_512(weights, &mut inputs, &mut sums) };
        }
        sums.map(|[even, odd]| _mm512_reduce_add_ps(_mm512_add_ps(even, odd)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCKS: usize = 5;

    fn numbers() -> impl Strategy<Value = Vec<[f32; BLOCK]>> {
        prop::collection::vec(prop::array::uniform32(-3.0_f32..3.0), BLOCKS)
    }

    fn scales() -> impl Strategy<Value = Vec<[f16; 2]>> {
        let scale = (0.0_f32..0.1).prop_map(f16::from_f32);
        prop::collection::vec(prop::array::uniform2(scale), BLOCKS)
    }

    proptest! {
        #[test]
        fn every_kernel_computes_the_exact_product_but_for_rounding(
            eight in prop::collection::vec(prop::array::uniform32(any::<i8>()), BLOCKS),
            four in prop::collection::vec(prop::array::uniform16(any::<u8>()), BLOCKS),
            scales in scales(),
            a in numbers(),
            b in numbers(),
        ) {
            let firsts: Vec<f16> = scales.iter().map(|it| it[0]).collect();
            for row in [Row::Q8(&eight, &firsts), Row::Q4(&four, &scales)] {
                let exact = |input: &[[f32; BLOCK]]| -> f64 {
                    let weights = (0..BLOCKS).flat_map(|at| row.block(at));
                    weights.zip(input.concat()).map(|(weight, input)| f64::from(weight) * f64::from(input)).sum()
                };
                for kernel in Kernel::all() {
                    let [of_a, of_b] = kernel.dot(row, [&a, &b]);
                    // 160 products of up to 40: f32 keeps 24 bits of sums of up to a few thousand.
                    prop_assert!((f64::from(of_a) - exact(&a)).abs() < 0.01, "{:?}", kernel);
                    prop_assert!((f64::from(of_b) - exact(&b)).abs() < 0.01, "{:?}", kernel);
                    // To the bit: what is computed beside an input does not change its product.
                    prop_assert_eq!(kernel.dot(row, [&a]), [of_a]);
                    prop_assert_eq!(kernel.dot(row, [&b, &a, &b, &a]), [of_b, of_a, of_b, of_a]);
                }
            }
        }
    }

    #[test]
    fn a_block_is_unpacked_as_gguf_packs_it() {
        let half = f16::from_f32(0.5);
        let bytes: Q4 = std::array::from_fn(|at| at as u8 | (15 - at as u8) << 4);
        let block = Row::Q4(&[bytes], &[[half, f16::from_f32(-1.0)]]).block(0);
        assert_eq!((block[0], block[3], block[15], block[16], block[31]), (-1.0, 0.5, 6.5, 6.5, -1.0));
        let bytes: Q8 = std::array::from_fn(|at| at as i8 - 16);
        assert_eq!(Row::Q8(&[bytes], &[half]).block(0)[..3], [-8.0, -7.5, -7.0]);
    }
}
