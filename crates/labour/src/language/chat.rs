//! Chats: what is asked, checked, written as the network was taught to read it, taken apart.
//!
//! A network is taught with a template (Jinja, inside the GGUF file) that puts marks around each
//! turn. The marks are words too: who could write them into a message could speak for the machine's
//! owner. So a message that contains a mark is read word by word, and never as a mark.

use minijinja::syntax::SyntaxConfig;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};

use crate::LabourError;
use crate::llama::{Model, Token};

/// The most messages in a chat.
pub const MAX_MESSAGES: usize = 256;
/// The most bytes of all messages together, and of a request.
pub const MAX_BYTES: usize = 64 << 10;
/// The most texts that end an answer.
pub const MAX_STOPS: usize = 4;
/// The most bytes of one of them.
pub const MAX_STOP_BYTES: usize = 64;
/// Tokens of an answer if nobody says how many.
pub const USUAL_TOKENS: usize = 256;

/// Steps that a template may take.
const TEMPLATE_FUEL: u64 = 1_000_000;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who tells the machine how to behave.
    System,
    /// Who asks.
    User,
    /// The machine.
    Assistant,
}

impl Role {
    /// As templates and requests write it.
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What is asked of the machine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The chat so far, oldest first.
    pub messages: Vec<Message>,
    /// The most tokens of the answer, [`USUAL_TOKENS`] if not said.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// 0: always the likeliest token, so that the answer can be computed again byte for byte. Up to
    /// 2: the likelier, the oftener, evened out by this much.
    #[serde(default)]
    pub temperature: f64,
    /// Choose among the likeliest tokens that have this probability together, above 0 to 1.
    #[serde(default = "one")]
    pub top_p: f64,
    /// Where chance starts: the same seed gives the same answer.
    #[serde(default)]
    pub seed: u64,
    /// Texts that end the answer, and do not belong to it.
    #[serde(default)]
    pub stop: Vec<String>,
}

fn one() -> f64 {
    1.0
}

impl ChatRequest {
    /// One question, answered greedily.
    pub fn ask(question: impl Into<String>) -> Self {
        ChatRequest {
            messages: vec![Message { role: Role::User, content: question.into() }],
            max_tokens: None,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
        }
    }

    /// Reads a request from JSON.
    ///
    /// # Errors
    /// [`LabourError::BadChat`], an input error.
    pub fn from_json(json: &[u8]) -> Result<Self, LabourError> {
        // A character may be written as `\u0061`.
        if json.len() > 6 * MAX_BYTES {
            return Err(bad(format!("the request has {} bytes", json.len())));
        }
        serde_json::from_slice(json).map_err(|e| bad(e.to_string()))
    }

    /// The first thing that is wrong with it.
    pub(super) fn check(&self) -> Result<(), LabourError> {
        let bytes: usize = self.messages.iter().map(|m| m.content.len()).sum();
        let stop = |stop: &String| !(1..=MAX_STOP_BYTES).contains(&stop.len());
        if !(1..=MAX_MESSAGES).contains(&self.messages.len()) {
            return Err(bad(format!(
                "there are {} messages; send 1 to {MAX_MESSAGES}",
                self.messages.len()
            )));
        }
        if bytes > MAX_BYTES {
            return Err(bad(format!("the messages have {bytes} bytes; send at most {MAX_BYTES}")));
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            return Err(bad(format!("temperature {} is not in 0 to 2", self.temperature)));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(bad(format!("top_p {} is not above 0 and at most 1", self.top_p)));
        }
        if self.max_tokens == Some(0) {
            return Err(bad("max_tokens is 0; ask for at least one".into()));
        }
        if self.stop.len() > MAX_STOPS || self.stop.iter().any(stop) {
            return Err(bad(format!(
                "at most {MAX_STOPS} stops of 1 to {MAX_STOP_BYTES} bytes are accepted"
            )));
        }
        Ok(())
    }
}

fn bad(reason: String) -> LabourError {
    LabourError::BadChat { reason }
}

/// How a network wants chats to be written.
pub(super) struct Template {
    environment: Environment<'static>,
    marks: Vec<String>,
    begin: String,
    end: String,
    adds_begin: bool,
}

/// The template's name in its environment.
const NAME: &str = "chat";

/// Stands for message number `index` while marks are told from words. Private-use characters, which
/// templates leave alone; a message that has them itself is plain text wherever it stands.
fn stand_in(index: usize) -> String {
    format!("\u{f8f0}{index}\u{f8f1}")
}

impl Template {
    /// Takes the template of a network; turns in ChatML, the commonest, if it has none.
    pub(super) fn of(model: &Model) -> Result<Self, LabourError> {
        const CHATML: &str = "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + \
             m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{{ '<|im_start|>assistant\n' }}";
        let mut environment = Environment::new();
        environment.set_fuel(Some(TEMPLATE_FUEL));
        // As the templates' authors run them.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| LabourError::Language {
            doing: "set the chat template's syntax",
            message: e.to_string(),
        })?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| {
            Err::<(), _>(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        let source = model.template().unwrap_or_else(|| CHATML.to_owned());
        environment.add_template_owned(NAME, source).map_err(|e| LabourError::Language {
            doing: "read the network's chat template",
            message: e.to_string(),
        })?;
        let (begin, end) = model.bounds();
        let (begin, end) = (begin.unwrap_or_default(), end.unwrap_or_default());
        let adds_begin = model.adds_begin();
        Ok(Template { environment, marks: model.marks(), begin, end, adds_begin })
    }

    fn render(&self, messages: &[Message]) -> Result<String, LabourError> {
        let messages: Vec<minijinja::Value> = messages
            .iter()
            .map(|m| context! { role => m.role.name(), content => m.content.as_str() })
            .collect();
        let template = self.environment.get_template(NAME).and_then(|template| {
            template.render(context! {
                messages => messages,
                add_generation_prompt => true,
                bos_token => self.begin.as_str(),
                eos_token => self.end.as_str(),
            })
        });
        template.map_err(|e| bad(format!("the network's chat template refuses it: {e}")))
    }

    /// The tokens of a chat, up to where the answer begins.
    pub(super) fn tokens(
        &self,
        model: &Model,
        messages: &[Message],
    ) -> Result<Vec<Token>, LabourError> {
        let marked = |m: &Message| {
            m.content.contains('\u{f8f0}') || self.marks.iter().any(|mark| m.content.contains(mark))
        };
        // A template that writes the beginning itself must not get a second one.
        let begins = |text: &str| {
            self.adds_begin && (self.begin.is_empty() || !text.starts_with(&self.begin))
        };
        if !messages.iter().any(marked) {
            let text = self.render(messages)?;
            return model.tokens(&text, begins(&text), true);
        }
        let stood_in: Vec<Message> = (0..)
            .zip(messages)
            .map(|(index, m)| Message { role: m.role, content: stand_in(index) })
            .collect();
        let text = self.render(&stood_in)?;
        let mut tokens = Vec::new();
        let mut rest = text.as_str();
        let mut begin = begins(rest);
        for (index, message) in messages.iter().enumerate() {
            // A template may leave a message out, but it does not change their order.
            let Some((before, after)) = rest.split_once(&stand_in(index)) else { continue };
            tokens.extend(model.tokens(before, begin, true)?);
            tokens.extend(model.tokens(message.content.trim(), false, false)?);
            (rest, begin) = (after, false);
        }
        tokens.extend(model.tokens(rest, begin, true)?);
        Ok(tokens)
    }
}
