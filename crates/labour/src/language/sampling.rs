//! Which token comes next.
//!
//! Greedy: the likeliest; of equal ones, the lower number. Else by chance: with logits `x` and
//! temperature `T`, `p ∝ exp((x − max)/T)`; of the tokens in falling order of `p`, those are kept
//! that reach `top_p` together (A. Holtzman et al., *The Curious Case of Neural Text Degeneration*,
//! ICLR 2020, §3.1); one of them is drawn. Computed in `f64`. Tokens less likely than e⁻²⁰ times the
//! likeliest (2·10⁻⁹) are never drawn, which spares sorting tens of thousands of them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::chat::ChatRequest;
use crate::llama::Token;

/// exp(−20) and less is not drawn.
const DEPTH: f64 = 20.0;

/// Chooses tokens for one answer.
pub(super) struct Sampler {
    temperature: f64,
    top_p: f64,
    chance: ChaCha8Rng,
}

impl Sampler {
    pub(super) fn new(request: &ChatRequest) -> Self {
        Sampler {
            temperature: request.temperature,
            top_p: request.top_p,
            chance: ChaCha8Rng::seed_from_u64(request.seed),
        }
    }

    /// The next token; none if no logit is a number.
    pub(super) fn choose(&mut self, logits: &[f32]) -> Option<Token> {
        let (best, max) = likeliest(logits)?;
        if self.temperature <= 0.0 {
            return Some(best);
        }
        let power = |x: f32| (f64::from(x) - f64::from(max)) / self.temperature;
        let mut likely: Vec<(Token, f64)> = (0..)
            .zip(logits)
            .map(|(token, &x)| (token, power(x)))
            .filter(|(_, power)| *power > -DEPTH)
            .map(|(token, power)| (token, power.exp()))
            .collect();
        likely.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let all: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let mut kept = 0;
        let mut together = 0.0;
        while kept < likely.len() && (kept == 0 || together < self.top_p * all) {
            together += likely[kept].1;
            kept += 1;
        }
        let mut drawn = self.chance.random::<f64>() * together;
        for (token, weight) in &likely[..kept] {
            drawn -= weight;
            if drawn < 0.0 {
                return Some(*token);
            }
        }
        // Rounding may leave a rest; it belongs to the last.
        likely[..kept].last().map(|(token, _)| *token)
    }
}

/// The likeliest token; none if no logit is a number.
pub(super) fn greedy(logits: &[f32]) -> Option<Token> {
    likeliest(logits).map(|(token, _)| token)
}

/// Logits that are looked at together: as many as a processor's widest registers hold.
const TOGETHER: usize = 16;

/// The first of the highest logits. Numbers that are none count nothing.
fn likeliest(logits: &[f32]) -> Option<(Token, f32)> {
    // Every token of every chat comes by here, with tens of thousands of logits. So the height is found
    // first, in lanes that do not wait for each other, and then whose it is.
    let higher = |most: f32, x: f32| if x.is_finite() && x > most { x } else { most };
    let mut lanes = [f32::NEG_INFINITY; TOGETHER];
    let (whole, rest) = logits.as_chunks::<TOGETHER>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = higher(*lane, x);
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &x| higher(most, x));
    // Where no logit is a number, none is as high as this.
    let first = logits.iter().position(|&x| x.is_finite() && x == max)?;
    Some((Token::try_from(first).ok()?, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_p: f64, seed: u64) -> Sampler {
        Sampler::new(&ChatRequest { temperature, top_p, seed, ..ChatRequest::ask("?") })
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        let logits = [0.0, 3.0, f32::NAN, 3.0, -1.0];
        assert_eq!(sampler(0.0, 1.0, 0).choose(&logits), Some(1));
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[f32::NAN]), None);
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[f32::INFINITY, f32::NEG_INFINITY]), None);
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[]), None);
    }

    #[test]
    fn the_likeliest_is_found_wherever_it_stands() {
        for count in [1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 5 * TOGETHER + 3] {
            for at in 0..count {
                let mut logits = vec![-7.5; count];
                logits[at] = -0.25;
                // As high, and later; not a number, and earlier.
                logits[at + 1..].iter_mut().step_by(3).for_each(|x| *x = -0.25);
                logits[..at].iter_mut().step_by(2).for_each(|x| *x = f32::INFINITY);
                assert_eq!(likeliest(&logits), Some((at as Token, -0.25)), "{at} of {count}");
            }
        }
    }

    #[test]
    fn chance_follows_the_probabilities_and_the_seed() {
        // p = 3/4 and 1/4 at temperature 1.
        let logits = [3_f32.ln(), 0.0];
        let mut chance = sampler(1.0, 1.0, 7);
        let mut again = sampler(1.0, 1.0, 7);
        let drawn: Vec<_> = (0..4000).map(|_| chance.choose(&logits).unwrap()).collect();
        let first = drawn.iter().filter(|token| **token == 0).count();
        assert!((2900..3100).contains(&first), "{first} of 4000");
        assert!(drawn.iter().all(|token| again.choose(&logits) == Some(*token)));
    }

    #[test]
    fn only_the_kernel_that_reaches_top_p_is_drawn_from() {
        let logits = [3_f32.ln(), 0.0, -5.0];
        let mut narrow = sampler(1.0, 0.7, 1);
        assert!((0..200).all(|_| narrow.choose(&logits) == Some(0)));
        let mut wider = sampler(1.0, 0.9, 1);
        let drawn: Vec<_> = (0..200).map(|_| wider.choose(&logits).unwrap()).collect();
        assert!(drawn.contains(&1) && !drawn.contains(&2));
    }
}
