//! Numbers as people write and read them: `17e12`, `17T`, `35%`; four significant digits at most.

use crate::OutlookError;

/// Reads a number: plain, with an exponent, with `%`, or with `M`, `B` or `T` for millions, billions and
/// trillions (10¹²).
///
/// # Errors
/// [`OutlookError::Number`]; also for what is not finite.
pub fn parse(text: &str) -> Result<f64, OutlookError> {
    let wrong = || OutlookError::Number { text: text.chars().take(40).collect() };
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'%') => (&text[..text.len() - 1], 0.01),
        Some(b'M') => (&text[..text.len() - 1], 1e6),
        Some(b'B') => (&text[..text.len() - 1], 1e9),
        Some(b'T') => (&text[..text.len() - 1], 1e12),
        _ => (text, 1.0),
    };
    let digits = digits.trim();
    // `inf`, `nan` and the like are words, not numbers.
    if !digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return Err(wrong());
    }
    let value = digits.parse::<f64>().map_err(|_| wrong())? * factor;
    value.is_finite().then_some(value).ok_or_else(wrong)
}

/// US dollars: `2.53T`, `307B`, `1.6M`.
#[must_use]
pub fn dollars(value: f64) -> String {
    let size = value.abs();
    if size >= 0.999_5e12 {
        format!("{}T", significant(value / 1e12))
    } else if size >= 0.999_5e9 {
        format!("{}B", significant(value / 1e9))
    } else if size >= 0.999_5e6 {
        format!("{}M", significant(value / 1e6))
    } else {
        significant(value)
    }
}

/// The same of a round figure, without the zeros that say nothing: `17T`, `2T`.
#[must_use]
pub fn round_dollars(value: f64) -> String {
    let text = dollars(value);
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => text.split_at(at),
        _ => (text.as_str(), ""),
    };
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    format!("{digits}{unit}")
}

/// A chance for people: `41 %`; never a 0 or 100 that is only rounded.
#[must_use]
pub fn chance(probability: f64) -> String {
    if probability > 0.0 && probability < 0.005 {
        "under 1 %".to_string()
    } else if (0.995..1.0).contains(&probability) {
        "over 99 %".to_string()
    } else {
        format!("{:.0} %", probability * 100.0)
    }
}

/// A share in percent: `4.1 %`.
#[must_use]
pub fn share(value: f64) -> String {
    format!("{} %", plain(value * 100.0))
}

/// A plain number with three significant digits, without trailing zeros.
#[must_use]
pub fn plain(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

/// A probability: two decimals, and never a 0 or 1 that is only rounded.
#[must_use]
pub fn probability(value: f64) -> String {
    if value > 0.0 && value < 0.005 {
        "<.01".to_string()
    } else if value < 1.0 && value > 0.995 {
        ">.99".to_string()
    } else {
        let text = format!("{value:.2}");
        text.strip_prefix('0').map(str::to_string).unwrap_or(text)
    }
}

/// Three significant digits.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_string() } else { value.to_string() };
    }
    // The exponent after rounding, so that 9.999 reads as 10.0.
    let rounded = format!("{value:.2e}");
    let exponent: i32 = rounded.split('e').nth(1).and_then(|e| e.parse().ok()).unwrap_or(0);
    let decimals = usize::try_from((2 - exponent).clamp(0, 12)).unwrap_or(0);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::{chance, dollars, parse, plain, probability, round_dollars, share};

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let all = [
            ("17e12", 17e12),
            ("17T", 17e12),
            ("0.3B", 3e8),
            ("35%", 0.35),
            ("-2.5 %", -0.025),
            ("1", 1.0),
        ];
        for (text, value) in all {
            let read = parse(text).expect(text);
            assert!((read - value).abs() <= value.abs() * 1e-12, "{text}");
        }
        for wrong in ["", "T", "%", "inf", "NaN", "1e400", "1,5", "0x10", "1 2", "١", "17t"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn figures_have_three_digits_and_their_unit() {
        assert_eq!(dollars(17e12), "17.0T");
        assert_eq!(dollars(2.534e12), "2.53T");
        assert_eq!(dollars(9.999e11), "1.00T");
        assert_eq!(dollars(306_662_000_000.0), "307B");
        assert_eq!(dollars(1.6e6), "1.60M");
        assert_eq!(round_dollars(17e12), "17T");
        assert_eq!(round_dollars(1.5e9), "1.5B");
        assert_eq!(round_dollars(200e9), "200B");
        assert_eq!(round_dollars(40.0), "40");
        assert_eq!(share(0.0412), "4.12 %");
        assert_eq!(plain(0.5), "0.5");
        assert_eq!(plain(1200.0), "1200");
        assert_eq!(plain(0.0), "0");
    }

    #[test]
    fn a_probability_is_never_rounded_to_certainty() {
        assert_eq!(chance(0.414), "41 %");
        assert_eq!(chance(0.0001), "under 1 %");
        assert_eq!(chance(0.9999), "over 99 %");
        assert_eq!((chance(0.0), chance(1.0)), ("0 %".to_string(), "100 %".to_string()));
        assert_eq!(probability(0.0812), ".08");
        assert_eq!(probability(0.001), "<.01");
        assert_eq!(probability(0.9999), ">.99");
        assert_eq!(probability(0.0), ".00");
        assert_eq!(probability(1.0), "1.00");
    }
}
