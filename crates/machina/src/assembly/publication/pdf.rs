//! The accounts on paper: A4, the standard fonts that every reader has, no file embedded.
//!
//! The standard fonts know Western European letters; what they lack is printed as `?`, and the page
//! of the running economy has it whole.

use money::Timestamp;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use web::{AccountsView, LineView, MeasureView, ProducerView, ValueView};

/// A4, in points.
const PAGE: (f32, f32) = (595.0, 842.0);
const MARGIN: f32 = 56.0;
const BODY: f32 = 9.5;
const LINE: f32 = 15.0;
const HEAD: f32 = 13.0;
const TITLE: f32 = 22.0;
/// Parties and pairs printed; more are on the page of the running economy.
const ROWS: usize = 200;
/// Characters of a reason in one line.
const REASON: usize = 62;

/// The document.
pub fn pdf(view: &AccountsView, made_at: Timestamp) -> Vec<u8> {
    let mut paper = Paper::new();
    paper.text(Face::Strong, TITLE, MARGIN, "The economy");
    paper.down(24.0);
    let period = view.period.map_or_else(
        || "before the first trade".to_string(),
        |(first, last)| format!("{first} to {last}"),
    );
    paper.line(&period, "");
    paper.line(&format!("made {made_at}"), "");
    paper.down(8.0);
    paper.line("Gross domestic product", &view.gdp.to_string());

    for (title, lines) in [
        ("By production", &view.production),
        ("By expenditure", &view.expenditure),
        ("By income", &view.income),
    ] {
        account(&mut paper, title, lines, view);
    }
    producers(&mut paper, "Sectors", &view.sectors);
    producers(&mut paper, "Parties", &view.parties);
    paper.head("Who pays whom");
    for hiring in view.hirings.iter().take(ROWS) {
        let pair = format!("{} to {}", hiring.payer, hiring.payee);
        paper.line(&pair, &hiring.amount.number());
    }
    for (title, figures) in [
        ("Labour", &view.labour),
        ("Money", &view.money),
        ("Capital", &view.capital),
        ("Prices", &view.prices),
        ("Network", &view.network),
    ] {
        measures(&mut paper, title, figures);
    }
    if !view.overrides.is_empty() {
        paper.head("Counted otherwise than declared");
        paper.line("trades that count so now", &view.overridden.to_string());
        for one in &view.overrides {
            let what = format!("{} to {}, by {} {}", one.from, one.to, one.by, one.at);
            paper.line(&what, &one.amount.number());
            // Whole, over as many lines as it takes.
            let told: Vec<char> = format!("{}: {}", one.trade, one.reason).chars().collect();
            for line in told.chunks(REASON) {
                paper.line(&format!("  {}", line.iter().collect::<String>()), "");
            }
        }
    }
    paper.finish()
}

fn account(paper: &mut Paper, title: &str, lines: &[LineView], view: &AccountsView) {
    paper.head(title);
    for line in lines {
        paper.line(&format!("{} {}", line.name, line.symbol), &line.amount.number());
    }
    paper.line("= GDP", &view.gdp.number());
}

fn producers(paper: &mut Paper, title: &str, rows: &[ProducerView]) {
    paper.head(title);
    paper.columns("", ["output", "used up", "value added"].map(String::from));
    for row in rows.iter().take(ROWS) {
        let figures = [row.output, row.intermediate, row.value_added];
        paper.columns(&format!("{} ({})", row.name, row.about), figures.map(|f| f.number()));
    }
}

fn measures(paper: &mut Paper, title: &str, figures: &[MeasureView]) {
    paper.head(title);
    for figure in figures {
        let value = match &figure.value {
            ValueView::Amount(amount) => amount.number(),
            ValueView::Text(text) => text.clone(),
        };
        paper.line(figure.name, &value);
    }
}

#[derive(Clone, Copy)]
enum Face {
    Plain,
    Strong,
    /// Figures: every digit as wide as the next, so that columns align.
    Figures,
}

impl Face {
    const ALL: [(Face, &'static [u8]); 3] =
        [(Face::Plain, b"Helvetica"), (Face::Strong, b"Times-Bold"), (Face::Figures, b"Courier")];

    fn name(self) -> Name<'static> {
        match self {
            Face::Plain => Name(b"F0"),
            Face::Strong => Name(b"F1"),
            Face::Figures => Name(b"F2"),
        }
    }
}

/// Pages that fill from the top.
struct Paper {
    pages: Vec<Content>,
    /// Distance from the lower edge, of the next line.
    at: f32,
}

impl Paper {
    fn new() -> Paper {
        Paper { pages: vec![Content::new()], at: PAGE.1 - MARGIN - TITLE }
    }

    fn down(&mut self, by: f32) {
        self.at -= by;
        if self.at < MARGIN {
            self.pages.push(Content::new());
            self.at = PAGE.1 - MARGIN - BODY;
        }
    }

    fn text(&mut self, face: Face, size: f32, x: f32, text: &str) {
        let page = self.pages.last_mut().expect("there is always a page");
        page.begin_text();
        page.set_font(face.name(), size);
        page.next_line(x, self.at);
        page.show(Str(&latin(text)));
        page.end_text();
    }

    /// Figures end at `right`: in Courier each character is 0.6 of the size wide.
    fn figures(&mut self, right: f32, text: &str) {
        let width = text.chars().count() as f32 * 0.6 * BODY;
        self.text(Face::Figures, BODY, right - width, text);
    }

    fn head(&mut self, text: &str) {
        // A heading stays with the first two lines under it.
        if self.at - 4.0 * LINE < MARGIN {
            self.at = 0.0;
        }
        self.down(LINE + 6.0);
        self.text(Face::Strong, HEAD, MARGIN, text);
        self.down(LINE);
    }

    fn line(&mut self, name: &str, value: &str) {
        self.text(Face::Plain, BODY, MARGIN, &cut(name, 64));
        self.figures(PAGE.0 - MARGIN, value);
        self.down(LINE);
    }

    fn columns(&mut self, name: &str, values: [String; 3]) {
        self.text(Face::Plain, BODY, MARGIN, &cut(name, 34));
        for (column, value) in values.iter().enumerate() {
            self.figures(PAGE.0 - MARGIN - (2 - column) as f32 * 104.0, value);
        }
        self.down(LINE);
    }

    fn finish(self) -> Vec<u8> {
        let mut next = 1;
        let mut reference = || {
            next += 1;
            Ref::new(next - 1)
        };
        let (catalog, tree) = (reference(), reference());
        let fonts: Vec<Ref> = Face::ALL.iter().map(|_| reference()).collect();
        let places: Vec<(Ref, Ref)> =
            self.pages.iter().map(|_| (reference(), reference())).collect();
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
        pdf.pages(tree)
            .kids(places.iter().map(|(page, _)| *page))
            .count(i32::try_from(places.len()).expect("a few pages"));
        for (content, (page, stream)) in self.pages.into_iter().zip(&places) {
            let mut leaf = pdf.page(*page);
            leaf.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1)).parent(tree).contents(*stream);
            let mut resources = leaf.resources();
            let mut faces = resources.fonts();
            for ((face, _), font) in Face::ALL.iter().zip(&fonts) {
                faces.pair(face.name(), *font);
            }
            faces.finish();
            resources.finish();
            leaf.finish();
            pdf.stream(*stream, &content.finish());
        }
        for ((_, base), font) in Face::ALL.iter().zip(&fonts) {
            pdf.type1_font(*font)
                .base_font(Name(base))
                .encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        pdf.finish()
    }
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_string();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}

/// Text in the standard fonts' encoding (Windows code page 1252, as far as it is Latin-1).
fn latin(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| match character {
            '\u{2212}' | '\u{2013}' => b'-',
            '…' => 0x85,
            '±' => 0xb1,
            '²' => 0xb2,
            ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(character)).unwrap_or(b'?'),
            _ => b'?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_the_fonts_lack_are_seen_to_lack() {
        assert_eq!(latin("aé−\u{4e00}\n"), b"a\xe9-??");
        assert_eq!(cut("abcdef", 4), "abc…");
    }

    #[test]
    fn a_long_report_goes_over_pages() {
        let mut paper = Paper::new();
        for _ in 0..200 {
            paper.line("a", "1");
        }
        assert!((4..=6).contains(&paper.pages.len()), "{}", paper.pages.len());
        let bytes = paper.finish();
        assert!(bytes.starts_with(b"%PDF-") && bytes.windows(5).any(|w| w == b"%%EOF"));
    }
}
