//! Amounts, times and strangers' text, as they stand on a page.
//!
//! Amounts of one asset always have the same number of decimals, so that columns align at the
//! point; the zeros that say nothing are printed quieter. Text from outside loses its control and
//! direction characters and whatever exceeds its length, before maud escapes it.

use maud::{Markup, html};
use money::{Amount, Timestamp};

/// Longest name shown, in characters.
pub const NAME: usize = 48;
/// Longest title, label or account shown, in characters.
pub const TITLE: usize = 96;
/// Longest sentence, URL or hash shown, in characters.
pub const SENTENCE: usize = 280;

/// Text of a stranger: without control and direction characters, at most `longest` characters.
///
/// A right-to-left override in a name could turn the words around it; a line break could end an
/// event of the live stream early.
pub fn plain(text: &str, longest: usize) -> String {
    let mut kept = String::new();
    for (count, character) in text.chars().filter(|c| !is_unruly(*c)).enumerate() {
        if count == longest {
            kept.push('…');
            break;
        }
        kept.push(character);
    }
    kept
}

fn is_unruly(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{061C}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

/// A name, set apart from the direction of the text around it.
pub fn name(text: &str) -> Markup {
    let shown = plain(text, NAME);
    html! { bdi.name { @if shown.trim().is_empty() { "unnamed" } @else { (shown) } } }
}

/// A hash or signature by its two ends: `0x1a2b…9f0e`; whole on hover, and for copying.
pub fn ends(hex: &str) -> Markup {
    let whole = plain(hex, SENTENCE);
    let count = whole.chars().count();
    if count <= 14 {
        return html! { code { (whole) } };
    }
    let head: String = whole.chars().take(8).collect();
    let tail: String = whole.chars().skip(count - 6).collect();
    html! { code title=(whole) { (head) "…" (tail) } }
}

/// An amount with its asset's code.
pub fn money(amount: Amount) -> Markup {
    html! { data.money value=(amount.minor()) { (number(amount)) " " span.code { (amount.asset().code()) } } }
}

/// An amount where the code stands elsewhere (a column's head, a chart's title).
pub fn bare(amount: Amount) -> Markup {
    html! { data.money value=(amount.minor()) { (number(amount)) } }
}

/// The digits: grouped by three before the point, at the asset's full scale after it, the zeros
/// at the end in their own element.
fn number(amount: Amount) -> Markup {
    let scale = usize::from(amount.asset().scale());
    let digits = format!("{:0>width$}", amount.minor().unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let said = fraction.trim_end_matches('0');
    let quiet = &fraction[said.len()..];
    let sign = if amount.is_negative() { "−" } else { "" };
    html! {
        (sign) (grouped(whole))
        @if !said.is_empty() { "." (said) }
        @if !quiet.is_empty() { span.quiet { @if said.is_empty() { "." } (quiet) } }
    }
}

/// Digits in groups of three: `1,204,000`.
pub fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, in the right number: `1 trade`, `1,204 trades`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(&number.to_string()), if number == 1 { one } else { many })
}

/// A probability, to a tenth of a percent: `95.1 %`. Rounds half up.
pub fn percent(ppm: u32) -> String {
    let tenths = (u64::from(ppm.min(1_000_000)) + 500) / 1000;
    format!("{}.{}\u{202F}%", tenths / 10, tenths % 10)
}

/// How large `part` is in `whole`, in thousandths, within 0 and 1000.
pub fn permille(part: i128, whole: i128) -> u16 {
    if whole <= 0 || part <= 0 {
        return 0;
    }
    if part >= whole {
        return 1000;
    }
    // `part < whole`; where the product would not fit, give up digits that no bar can show.
    let share = match part.checked_mul(1000) {
        Some(product) => product / whole,
        None => part / (whole / 1000),
    };
    u16::try_from(share.min(1000)).unwrap_or(1000)
}

/// The time of day, in UTC: `14:03:22`. The whole moment is on hover and for programs.
pub fn time_of_day(at: Timestamp) -> Markup {
    let whole = at.to_string();
    let (_, clock) = halves(&whole);
    html! { time datetime=(whole) title=(whole) { (clock) } }
}

/// Date and time, in UTC: `2026-11-23 14:03:22`.
pub fn moment(at: Timestamp) -> Markup {
    let whole = at.to_string();
    let (day, clock) = halves(&whole);
    html! { time datetime=(whole) { (day) " " (clock) } }
}

/// RFC 3339 `2026-11-23T14:03:22Z` into its day and its time of day.
fn halves(whole: &str) -> (&str, &str) {
    let (day, clock) = whole.split_once('T').unwrap_or((whole, ""));
    (day, clock.trim_end_matches('Z'))
}

/// How long one thing came after another: `+12 ms`, `+1.4 s`, `+3 min`. Empty if it did not.
pub fn later(at: Timestamp, than: Timestamp) -> String {
    let millis = at.since(than).as_millis();
    match millis {
        0 => String::new(),
        1..=999 => format!("+{millis} ms"),
        1_000..=59_999 => format!("+{}.{} s", millis / 1000, millis % 1000 / 100),
        60_000..=5_999_999 => format!("+{} min", millis / 60_000),
        _ => format!("+{} h", millis / 3_600_000),
    }
}

/// A horizontal bar that is `permille` full. Drawn as SVG, since the page's policy forbids inline
/// styles; for readers that cannot see it, the figure stands beside it.
pub fn bar(permille: u16) -> Markup {
    html! {
        svg.bar viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.rest width="1000" height="8" {}
            rect.full width=(permille.min(1000)) height="8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;

    fn text(markup: Markup) -> String {
        let mut out = String::new();
        let mut inside = false;
        for c in markup.into_string().chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => out.push(c),
                _ => {}
            }
        }
        out
    }

    #[test]
    fn amounts_of_one_asset_have_the_same_decimals() {
        let of = |minor| text(money(Amount::from_minor(Asset::MUSD, minor)));
        assert_eq!(of(0), "0.000000 MUSD");
        assert_eq!(of(1), "0.000001 MUSD");
        assert_eq!(of(1_250_000), "1.250000 MUSD");
        assert_eq!(of(-1_000), "−0.001000 MUSD");
        assert_eq!(of(1_234_567_000_000), "1,234,567.000000 MUSD");
        assert_eq!(of(i128::MIN).chars().filter(char::is_ascii_digit).count(), 39);
    }

    #[test]
    fn an_asset_without_decimals_has_no_point() {
        let yen = Asset::new("YEN", 0);
        assert_eq!(text(bare(Amount::from_minor(yen, 1_200))), "1,200");
    }

    #[test]
    fn shares_stay_within_the_bar() {
        assert_eq!(permille(1, 4), 250);
        assert_eq!(permille(-1, 4), 0);
        assert_eq!(permille(5, 4), 1000);
        assert_eq!(permille(1, 0), 0);
        assert_eq!(permille(i128::MAX / 2, i128::MAX), 500);
        assert_eq!(permille(i128::MAX - 1, i128::MAX), 1000);
    }

    #[test]
    fn unruly_characters_do_not_reach_a_page() {
        assert_eq!(plain("a\u{202E}b\nc\u{0}d", 10), "abcd");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
    }

    #[test]
    fn probabilities_round_to_a_tenth_of_a_percent() {
        assert_eq!(percent(951_499), "95.1\u{202F}%");
        assert_eq!(percent(951_500), "95.2\u{202F}%");
        assert_eq!(percent(u32::MAX), "100.0\u{202F}%");
    }

    #[test]
    fn delays_are_told_in_the_unit_that_fits() {
        let start = Timestamp::from_millis(1_000);
        let after = |ms: u64| later(Timestamp::from_millis(1_000 + ms), start);
        assert_eq!(after(0), "");
        assert_eq!(after(12), "+12 ms");
        assert_eq!(after(1_449), "+1.4 s");
        assert_eq!(after(120_000), "+2 min");
        assert_eq!(after(7_200_000), "+2 h");
    }
}
