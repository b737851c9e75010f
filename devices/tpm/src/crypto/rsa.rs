//! RSA over `crypto-bigint`'s numbers of fixed sizes.

use alloc::vec::Vec;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{BoxedUint, NonZero, Odd, U64, Uint};
use zeroize::{Zeroize, Zeroizing};

/// Divisors that a candidate is tried with are below.
const SIEVE: usize = 1 << 12;

fn odd<const L: usize>(bytes: &[u8]) -> Option<Odd<Uint<L>>> {
    (bytes.len() == L * 8).then(|| Odd::new(Uint::from_be_slice(bytes)).into_option()).flatten()
}

fn bytes<const L: usize>(number: &Uint<L>) -> Vec<u8> {
    number.to_be_bytes().as_ref().to_vec()
}

/// A public key's operation.
pub(super) fn public<const W: usize>(modulus: &[u8], exponent: u32, input: &[u8]) -> Option<Vec<u8>> {
    let modulus = odd::<W>(modulus)?;
    let input = Uint::<W>::from_be_slice((input.len() == W * 8).then_some(input)?);
    if input >= *modulus {
        return None;
    }
    // A modulus is public.
    let params = FixedMontyParams::new_vartime(modulus);
    Some(bytes(&power(&FixedMontyForm::new(&input, &params), exponent).retrieve()))
}

fn power<const W: usize>(base: &FixedMontyForm<W>, exponent: u32) -> FixedMontyForm<W> {
    // A public exponent may show in the time.
    base.pow_bounded_exp(&U64::from_u32(exponent), 32 - exponent.leading_zeros())
}

/// The inverse of a small exponent modulo `prime - 1`, by the inverse of that modulo the exponent.
fn private_exponent<const L: usize>(prime: &Uint<L>, exponent: u32) -> Option<Uint<L>> {
    let order = prime.wrapping_sub(&Uint::ONE);
    let divisor = NonZero::new(Uint::<1>::from_u32(exponent)).into_option()?;
    let rest = order.div_rem(&divisor).1;
    let inverse = rest.invert_mod(&divisor).into_option()?;
    // order * factor + 1 is a multiple of the exponent.
    let factor = divisor.wrapping_sub(&inverse);
    let (low, high) = order.widening_mul(&factor);
    let (low, carry) = low.carrying_add(&Uint::ONE, crypto_bigint::Limb::ZERO);
    let high = high.wrapping_add(&Uint::<1>::from_word(carry.0));
    divide_wide(&low, &high, exponent)
}

/// `(high * 2^bits + low) / divisor`, where the quotient fits.
fn divide_wide<const L: usize>(low: &Uint<L>, high: &Uint<1>, divisor: u32) -> Option<Uint<L>> {
    let divisor = u128::from(divisor);
    let mut rest = u128::from(high.as_words().first().copied()?);
    let mut words = *low.as_words();
    for word in words.iter_mut().rev() {
        // In halves, so that the dividend is below 2^64 and the time is the same for each.
        let value = *word;
        let upper = (rest << 32) | u128::from(value >> 32);
        let lower = ((upper % divisor) << 32) | u128::from(value & 0xffff_ffff);
        *word = (((upper / divisor) as u64) << 32) | ((lower / divisor) as u64);
        rest = lower % divisor;
    }
    Some(Uint::from_words(words))
}

/// One prime's part of the Chinese remainder.
fn part<const L: usize, const W: usize>(
    prime: Odd<Uint<L>>,
    exponent: u32,
    input: &Uint<W>,
) -> Option<FixedMontyForm<L>> {
    let mut private = private_exponent(prime.as_ref(), exponent)?;
    let rest = input.div_rem(prime.as_nz_ref()).1;
    // In constant time, unlike the modulus's parameters: the prime is secret.
    let result = FixedMontyForm::new(&rest, &FixedMontyParams::new(prime)).pow(&private);
    private.zeroize();
    Some(result)
}

/// A private key's operation: blinded, by the Chinese remainder, and checked.
pub(super) fn private<const L: usize, const W: usize>(
    modulus_bytes: &[u8],
    exponent: u32,
    prime: &[u8],
    input_bytes: &[u8],
    blind: &[u8],
) -> Option<Vec<u8>> {
    let (modulus, p) = (odd::<W>(modulus_bytes)?, odd::<L>(prime)?);
    // Divided each time: a sensitive area has one of the primes (part 1, annex B).
    let q = odd::<L>(&other_prime::<L, W>(modulus_bytes, prime)?)?;
    let input = Uint::<W>::from_be_slice((input_bytes.len() == W * 8).then_some(input_bytes)?);
    if input >= *modulus || blind.len() != W * 8 {
        return None;
    }
    let params = FixedMontyParams::new_vartime(modulus);
    let blind = FixedMontyForm::new(&Uint::<W>::from_be_slice(blind), &params);
    // Only a multiple of one of the primes has none, which a random number is not.
    let unblind = blind.invert().into_option()?;
    let blinded = FixedMontyForm::new(&input, &params).mul(&power(&blind, exponent)).retrieve();
    let (mut of_p, mut of_q) = (part(p, exponent, &blinded)?, part(q, exponent, &blinded)?.retrieve());
    let inverse = FixedMontyForm::new(&q.as_ref().div_rem(p.as_nz_ref()).1, of_p.params()).invert();
    let rest = FixedMontyForm::new(&of_q.div_rem(p.as_nz_ref()).1, of_p.params());
    let mut factor = of_p.sub(&rest).mul(&inverse.into_option()?).retrieve();
    let (low, high) = factor.widening_mul(q.as_ref());
    let joined = Zeroizing::new([bytes(&high), bytes(&low)].concat());
    let sum = Uint::<W>::from_be_slice(&joined).wrapping_add(&of_q.resize::<W>());
    let result = FixedMontyForm::new(&sum, &params).mul(&unblind);
    of_p.zeroize();
    of_q.zeroize();
    factor.zeroize();
    // A fault in one of the halves would give the primes away.
    (power(&result, exponent).retrieve() == input).then(|| bytes(&result.retrieve()))
}

/// The product of two primes.
pub(super) fn product<const L: usize>(p: &[u8], q: &[u8]) -> Option<Vec<u8>> {
    let (p, q) = (odd::<L>(p)?, odd::<L>(q)?);
    let (low, high) = p.as_ref().widening_mul(q.as_ref());
    Some([bytes(&high), bytes(&low)].concat())
}

/// The quotient of a modulus and a prime, if there is no rest.
pub(super) fn other_prime<const L: usize, const W: usize>(modulus: &[u8], prime: &[u8]) -> Option<Vec<u8>> {
    let (modulus, prime) = (odd::<W>(modulus)?, odd::<L>(prime)?);
    let (quotient, rest) = modulus.as_ref().div_rem(prime.as_nz_ref());
    let other = quotient.resize::<L>();
    // A number that does not divide the modulus is no part of this key.
    let is_whole = bool::from(rest.is_zero()) && other.resize::<W>() == quotient;
    is_whole.then(|| bytes(&other))
}

/// The remainders of a number by all odd divisors that are prime, below the sieve's bound.
fn remainders<const L: usize>(number: &Uint<L>) -> Vec<(u32, u32)> {
    let mut is_composite = alloc::vec![false; SIEVE];
    let mut all = Vec::new();
    for divisor in (3..SIEVE).step_by(2) {
        if is_composite.get(divisor) == Some(&false) {
            // Odd multiples alone, as even numbers are not looked at.
            is_composite.iter_mut().skip(divisor * 3).step_by(divisor * 2).for_each(|mark| *mark = true);
            let words = number.as_words().iter().rev();
            let rest = words.fold(0u64, |rest, word| {
                // In halves, so that a remainder with 32 bits behind it fits into a word.
                let upper = ((rest << 32) | (word >> 32)) % divisor as u64;
                ((upper << 32) | (word & 0xffff_ffff)) % divisor as u64
            });
            all.push((divisor as u32, rest as u32));
        }
    }
    all
}

/// Which of the numbers from a candidate on, in steps of two, no small prime divides.
fn survivors<const L: usize>(candidate: &Uint<L>, steps: usize) -> Vec<bool> {
    let mut survives = alloc::vec![true; steps];
    for (divisor, rest) in remainders(candidate) {
        // The first step at which rest + 2 * step is a multiple of the divisor.
        let missing = (divisor - rest) % divisor;
        let first = if missing.is_multiple_of(2) { missing / 2 } else { (missing + divisor) / 2 };
        let marks = survives.iter_mut().skip(first as usize).step_by(divisor as usize);
        marks.for_each(|mark| *mark = false);
    }
    survives
}

/// Miller and Rabin's test of an odd number to some bases.
fn is_probable_prime<const L: usize>(number: Odd<Uint<L>>, bases: &[u16]) -> bool {
    let params = FixedMontyParams::new_vartime(number);
    let (one, order) = (FixedMontyForm::one(&params), number.as_ref().wrapping_sub(&Uint::ONE));
    let minus_one = one.neg();
    // Of a prime, one has no square roots but one and minus one: the power must become one by way of these.
    let twos = order.trailing_zeros();
    let exponent = order.wrapping_shr(twos);
    bases.iter().all(|base| {
        let base = FixedMontyForm::new(&Uint::from_u64(u64::from(*base)), &params);
        let mut power = base.pow(&exponent);
        if power == one || power == minus_one {
            return true;
        }
        (1..twos).any(|_| {
            power = power.square();
            power == minus_one
        })
    })
}

fn have_no_divisor(order: u64, exponent: u32) -> bool {
    let (mut a, mut b) = (u64::from(exponent), order);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// The search that the trait describes.
pub(super) fn find_prime<const L: usize>(
    candidate: &[u8],
    exponent: u32,
    bases: &[u16],
    steps: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let start = odd::<L>(candidate)?.get();
    let divisor = NonZero::new(Uint::<1>::from_u32(exponent)).into_option()?;
    for (step, _) in survivors(&start, steps).iter().enumerate().filter(|(_, survives)| **survives) {
        let (number, carry) = start.carrying_add(&Uint::from_u64(2 * step as u64), crypto_bigint::Limb::ZERO);
        let rest = number.wrapping_sub(&Uint::ONE).div_rem(&divisor).1;
        // A common divisor would leave the exponent without an inverse, and the key without a private part.
        let is_coprime = have_no_divisor(rest.as_words().first().copied()?, exponent);
        let number = Odd::new(number).into_option()?;
        // A carry would make the number longer than the key asks for.
        if carry.0 == 0 && is_coprime && is_probable_prime(number, bases) {
            return Some(Zeroizing::new(bytes(number.as_ref())));
        }
    }
    None
}

/// A number modulo another one, of as many bits as that has bytes for.
fn rest(modulus: BoxedUint, bytes: &[u8]) -> Option<BoxedUint> {
    let precision = (bytes.len() as u32 * 8).max(modulus.bits_precision()).next_multiple_of(64);
    let mut number = BoxedUint::from_be_slice(bytes, precision).ok()?;
    let rest = number.rem(&NonZero::new(modulus).into_option()?);
    number.zeroize();
    Some(rest)
}

/// The last bytes of a number.
fn last_bytes(number: &BoxedUint, size: usize) -> Option<Zeroizing<Vec<u8>>> {
    let all = Zeroizing::new(number.to_be_bytes().to_vec());
    let start = all.len().checked_sub(size)?;
    Some(Zeroizing::new(all.get(start..)?.to_vec()))
}

/// A number modulo another one, as long as that.
pub(super) fn remainder(modulus: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let number = BoxedUint::from_be_slice(modulus, modulus.len() as u32 * 8).ok()?;
    let mut rest = rest(number, bytes)?;
    let remainder = last_bytes(&rest, modulus.len());
    rest.zeroize();
    remainder
}

/// `bytes` modulo `order - 1`, plus one: a scalar that is not zero.
pub(super) fn scalar(order: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // A remainder by the order less one, and one more: never zero.
    let order_less_one = BoxedUint::from_be_slice(order, order.len() as u32 * 8).ok()?;
    let mut rest = rest(order_less_one.wrapping_sub(BoxedUint::one()), bytes)?;
    let mut sum = rest.wrapping_add(BoxedUint::one());
    let scalar = last_bytes(&sum, order.len());
    rest.zeroize();
    sum.zeroize();
    scalar
}
