//! Counting what an answer contains: bytes, or the tokens that a language model reports.
//!
//! Nothing is estimated; an answer that does not tell costs the most that one request may cost. A model's own count is read from the JSON of the answer, or from the last
//! event or line of a stream that has one:
//!
//! | who | where |
//! |---|---|
//! | OpenAI's API and what imitates it | `usage.total_tokens`, or prompt and completion added |
//! | Anthropic's API | `usage.input_tokens` + `usage.output_tokens`, the latest of each |
//! | Ollama | `prompt_eval_count` + `eval_count` |

use std::sync::{Arc, Mutex};

use axum::body::Body;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::Per;

/// The longest line of a stream, and the longest whole answer, that is searched for a count.
const MAX_SEARCHED: usize = 4 * 1024 * 1024;

/// Counts an answer's body as it passes.
#[derive(Debug)]
pub struct Meter {
    per: Per,
    bytes: u64,
    /// What has come since the last end of a line.
    line: Vec<u8>,
    /// Whether the line grew beyond what is searched.
    lost: bool,
    lines: u64,
    /// The whole body while it may still be one JSON text.
    whole: Option<Vec<u8>>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    total: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
}

#[derive(Deserialize)]
struct Said {
    usage: Option<Usage>,
    message: Option<Message>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

/// Anthropic's first event has the usage one level deeper.
#[derive(Deserialize)]
struct Message {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<u64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Meter {
    /// A meter at nothing.
    pub fn new(per: Per) -> Meter {
        let whole = (per == Per::Token).then(Vec::new);
        let (line, counts) = (Vec::new(), Counts::default());
        Meter { per, bytes: 0, line, lost: false, lines: 0, whole, counts }
    }

    /// Counts a piece of the body.
    pub fn pass(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.per != Per::Token {
            return;
        }
        match &mut self.whole {
            Some(whole) if whole.len() + piece.len() <= MAX_SEARCHED => {
                whole.extend_from_slice(piece);
            }
            whole => *whole = None,
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > MAX_SEARCHED {
                self.lost = true;
                self.line.clear();
            }
            if !self.lost {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.lines += 1;
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.lost) {
            let text = line.trim_ascii();
            self.look(text.strip_prefix(b"data:").unwrap_or(text));
        }
    }

    fn look(&mut self, json: &[u8]) {
        // Most events of a stream have no count; to look for the word is cheaper than to parse.
        let has = |word: &[u8]| json.windows(word.len()).any(|window| window == word);
        if !has(b"usage") && !has(b"eval_count") {
            return;
        }
        let Ok(said) = serde_json::from_slice::<Said>(json.trim_ascii()) else { return };
        let counts = &mut self.counts;
        counts.read = said.prompt_eval_count.or(counts.read);
        counts.written = said.eval_count.or(counts.written);
        for usage in [said.message.and_then(|m| m.usage), said.usage].into_iter().flatten() {
            counts.total = usage.total_tokens.or(counts.total);
            counts.read = usage.prompt_tokens.or(usage.input_tokens).or(counts.read);
            counts.written = usage.completion_tokens.or(usage.output_tokens).or(counts.written);
        }
    }

    /// How many units have passed; `None` if the answer does not tell how many tokens it took.
    pub fn units(&mut self) -> Option<u64> {
        match self.per {
            Per::Request => Some(1),
            Per::Kilobyte => Some(self.bytes.div_ceil(1_000)),
            Per::Token => {
                if !self.line.is_empty() {
                    self.end_line();
                }
                if let Some(whole) = self.whole.take()
                    && self.lines > 1
                    && self.counts == Counts::default()
                {
                    self.look(&whole); // Pretty-printed.
                }
                let Counts { total, read, written } = self.counts;
                total.or_else(|| match (read, written) {
                    (None, None) => None,
                    (read, written) => Some(read.unwrap_or(0).saturating_add(written.unwrap_or(0))),
                })
            }
        }
    }
}

/// What has passed through a body, to be asked when it has ended.
#[derive(Debug, Clone)]
pub struct Count(Arc<Mutex<Meter>>);

impl Count {
    /// As [`Meter::units`].
    pub fn units(&self) -> Option<u64> {
        self.0.lock().expect("nothing panics under this lock").units()
    }
}

/// The same body, counted as it passes.
pub fn counted(body: Body, per: Per) -> (Body, Count) {
    let count = Count(Arc::new(Mutex::new(Meter::new(per))));
    let meter = count.clone();
    let body = body.into_data_stream().inspect(move |piece| {
        if let Ok(piece) = piece {
            meter.0.lock().expect("nothing panics under this lock").pass(piece);
        }
    });
    (Body::from_stream(body), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(body: &str) -> Option<u64> {
        let mut meter = Meter::new(Per::Token);
        meter.pass(body.as_bytes());
        meter.units()
    }

    #[test]
    fn each_way_of_telling_tokens_is_read() {
        for (body, expected) in [
            (
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
                7,
            ),
            (
                "{\n  \"usage\": {\n    \"prompt_tokens\": 3,\n    \"completion_tokens\": 4\n  }\n}\n",
                7,
            ),
            (r#"{"content":[],"usage":{"input_tokens":10,"output_tokens":5}}"#, 15),
            (
                "data: {\"delta\":\"a\"}\n\ndata: {\"usage\":{\"total_tokens\":9}}\n\ndata: [DONE]\n\n",
                9,
            ),
            (
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n",
                40,
            ),
            (
                "{\"response\":\"a\",\"done\":false}\n{\"done\":true,\"prompt_eval_count\":26,\"eval_count\":290}\n",
                316,
            ),
        ] {
            assert_eq!(tokens(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_does_not_tell_is_not_estimated() {
        for body in ["", "hello", "{\"usage\":{}}", "{\"usage\":null}", "data: usage\n\n"] {
            assert_eq!(tokens(body), None, "{body}");
        }
    }

    #[test]
    fn begun_kilobytes_count() {
        for (length, units) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            let mut meter = Meter::new(Per::Kilobyte);
            meter.pass(&vec![0; length]);
            assert_eq!(meter.units(), Some(units));
        }
    }

    #[test]
    fn a_line_without_end_costs_no_more_memory_than_is_searched() {
        let mut meter = Meter::new(Per::Token);
        for _ in 0..10 {
            meter.pass(&vec![b'x'; MAX_SEARCHED / 2]);
        }
        assert!(meter.line.capacity() <= 2 * MAX_SEARCHED && meter.whole.is_none());
        meter.pass(b"\n{\"usage\":{\"total_tokens\":3}}\n");
        assert_eq!(meter.units(), Some(3));
    }

    proptest! {
        #[test]
        fn how_the_body_is_cut_changes_nothing(cuts in prop::collection::vec(0usize..160, 0..8)) {
            let body = b"data: {\"delta\":\"a\"}\n\ndata: {\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":12}}\n\ndata: [DONE]\n\n";
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(body.len())).collect();
            cuts.sort_unstable();
            let mut meter = Meter::new(Per::Token);
            let mut from = 0;
            for cut in cuts {
                meter.pass(&body[from..cut]);
                from = cut;
            }
            meter.pass(&body[from..]);
            prop_assert_eq!(meter.units(), Some(42));
        }
    }
}
