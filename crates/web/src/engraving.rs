//! The engraver's lines: every machine's seal, and the band at a page's head.
//!
//! Banknotes carry guilloches, interlaced curves that are easy to tell apart and hard to forge.
//! A machine's seal is one, turned from its address alone: the same address gives the same seal
//! everywhere, and two machines of one name still look different. It is decoration, and no proof
//! of identity: the address beside it is.

use maud::{Markup, html};
use money::Party;

/// The seal of an address: two rings of turned ellipses in one of four inks. About 1.5 KB.
pub fn seal(address: &Party) -> Markup {
    let bytes = address.as_bytes();
    let outer = Ring { petals: 9 + bytes[0] % 7, long: 47, short: 13 + bytes[1] % 22 };
    let inner =
        Ring { petals: 6 + bytes[2] % 5, long: 22 + bytes[3] % 9, short: 6 + bytes[4] % 11 };
    let ink = ["green", "blue", "ochre", "red"][usize::from(bytes[5] % 4)];
    html! {
        svg class={ "seal ink-" (ink) } viewBox="-50 -50 100 100" aria-hidden="true" focusable="false" {
            (outer.draw()) (inner.draw())
        }
    }
}

/// The medallion behind the economy's figures.
pub fn medallion() -> Markup {
    html! {
        svg.medallion viewBox="-50 -50 100 100" aria-hidden="true" focusable="false" {
            @for (petals, long, short) in [(18, 49, 31), (12, 33, 13), (9, 16, 7)] {
                (Ring { petals, long, short }.draw())
            }
        }
    }
}

/// One ellipse, turned about its centre until it closes on itself.
struct Ring {
    petals: u8,
    long: u8,
    short: u8,
}

impl Ring {
    fn draw(&self) -> Markup {
        // An ellipse looks the same after half a turn, so the petals share 180°; in tenths of a
        // degree, to stay in integers.
        let step = 1800 / u32::from(self.petals);
        html! {
            g {
                @for petal in 0..u32::from(self.petals) {
                    @let turn = petal * step;
                    ellipse rx=(self.long) ry=(self.short)
                        transform={ "rotate(" (turn / 10) "." (turn % 10) ")" } {}
                }
            }
        }
    }
}

/// Period and height of the band's tile, in its own units.
const PERIOD: i32 = 120;
const HEIGHT: i32 = 36;

/// A strip of interlaced waves as wide as its place.
pub fn band() -> Markup {
    // Two braids of evenly shifted waves, one within the other.
    let outer = (0..6).map(|line| wave(line * PERIOD / 6, 15));
    let waves = outer.chain((0..4).map(|line| wave(line * PERIOD / 4 + 5, 7)));
    html! {
        svg.band aria-hidden="true" focusable="false" height=(HEIGHT) width="100%" {
            defs {
                pattern id="guilloche" width=(PERIOD) height=(HEIGHT) patternUnits="userSpaceOnUse" {
                    @for path in waves { path d=(path) {} }
                }
            }
            rect width="100%" height=(HEIGHT) fill="url(#guilloche)" {}
        }
    }
}

/// A wave about the middle line, from one period before the tile to one after it: half periods as
/// cubic curves, whose handles at 0.3642 of the way make the best sine.
fn wave(shift: i32, rise: i32) -> String {
    let (half, handle, middle) = (PERIOD / 2, PERIOD / 2 - 22, HEIGHT / 2);
    let mut path = format!("M{} {middle}c22 {}", shift - PERIOD, -rise);
    path.push_str(&format!(" {handle} {} {half} 0", -rise));
    for turn in 0..4 {
        let peak = if turn % 2 == 0 { rise } else { -rise };
        path.push_str(&format!("s{handle} {peak} {half} 0"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_seal_and_another_has_another() {
        let seal_of = |byte| seal(&Party::new([byte; 20])).into_string();
        assert_eq!(seal_of(7), seal_of(7));
        assert_ne!(seal_of(7), seal_of(8));
        for byte in [0, 1, 127, 254, 255] {
            assert!(seal_of(byte).len() < 2_500, "{}", seal_of(byte).len());
        }
    }
}
