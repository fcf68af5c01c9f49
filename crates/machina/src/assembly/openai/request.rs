//! What is asked, read from OpenAI's form.
//!
//! What would change the answer and is not done here is refused by name; what would not (`user`,
//! `metadata`, `store` and the like) is left aside.

use labour::ChatRequest;
use labour::language::{Message, Role};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Encoding, Telling};
use super::refusal::Refusal;

/// The most texts of one request for embeddings.
pub const MAX_TEXTS: usize = 256;
/// The most tokens of all of them together.
pub const MAX_TOKENS: usize = 8_192;

/// A request for a chat's answer.
#[derive(Debug)]
pub struct ChatCompletion {
    /// Who is asked.
    pub model: String,
    /// What is asked.
    pub chat: ChatRequest,
    /// How the answer is wanted.
    pub telling: Telling,
}

#[derive(Deserialize)]
struct ChatForm {
    model: String,
    messages: Vec<MessageForm>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    stop: Option<Stop>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct MessageForm {
    role: String,
    content: Option<Content>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// What changes an answer and is not done, and the values that ask for nothing.
const UNDONE: [(&str, &[&str]); 14] = [
    ("n", &["1"]),
    ("tools", &["[]"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
    ("functions", &["[]"]),
    ("function_call", &["\"none\"", "\"auto\""]),
    ("response_format", &["{\"type\":\"text\"}"]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("presence_penalty", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("logit_bias", &["{}"]),
    ("modalities", &["[\"text\"]"]),
    ("audio", &[]),
    ("web_search_options", &[]),
];

fn undone(others: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, nothing) in UNDONE {
        let Some(value) = others.get(name).filter(|value| !value.is_null()) else { continue };
        if !nothing.contains(&value.to_string().as_str()) {
            let said = format!("`{name}` is not done here; leave it out");
            return Err(Refusal::unsupported(name, said));
        }
    }
    Ok(())
}

fn unreadable(error: &serde_json::Error) -> Refusal {
    Refusal::bad(None, format!("the request cannot be read: {error}"))
}

impl ChatCompletion {
    /// Reads a request.
    pub fn read(json: &[u8]) -> Result<ChatCompletion, Refusal> {
        let form: ChatForm = serde_json::from_slice(json).map_err(|e| unreadable(&e))?;
        undone(&form.others)?;
        let mut messages = Vec::new();
        for message in form.messages {
            messages.push(message.read()?);
        }
        let stop = match form.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Several(stops)) => stops,
        };
        let telling = if form.stream == Some(true) {
            let wish = form.stream_options.and_then(|options| options.include_usage);
            Telling::Stream { with_usage: wish == Some(true) }
        } else {
            Telling::Whole
        };
        let chat = ChatRequest {
            messages,
            max_tokens: form.max_completion_tokens.or(form.max_tokens),
            // Greedy unless asked otherwise, so that an answer can be computed again.
            temperature: form.temperature.unwrap_or(0.0),
            top_p: form.top_p.unwrap_or(1.0),
            seed: form.seed.map_or(0, i64::cast_unsigned),
            stop,
        };
        Ok(ChatCompletion { model: form.model, chat, telling })
    }
}

impl MessageForm {
    fn read(self) -> Result<Message, Refusal> {
        let messages = Some("messages");
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let other: String = other.chars().take(40).collect();
                let said = format!(
                    "messages by `{other}` are not read here; by system, user and assistant they are"
                );
                return Err(Refusal::bad(messages, said));
            }
        };
        let calls = |name| self.others.get(name).is_some_and(|value| !value.is_null());
        if calls("tool_calls") || calls("function_call") {
            return Err(Refusal::bad(messages, "calls of tools are not read here"));
        }
        let content = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let mut whole = Vec::new();
                for part in parts {
                    match (part.kind.as_str(), part.text) {
                        ("text", Some(text)) => whole.push(text),
                        _ => {
                            return Err(Refusal::bad(
                                messages,
                                "only parts of type `text` are read here",
                            ));
                        }
                    }
                }
                whole.join("\n")
            }
            None => return Err(Refusal::bad(messages, "a message has no content")),
        };
        Ok(Message { role, content })
    }
}

/// A request for embeddings.
#[derive(Debug)]
pub struct Embeddings {
    /// Who is asked.
    pub model: String,
    /// The texts.
    pub texts: Vec<String>,
    /// How the vectors are wanted.
    pub encoding: Encoding,
}

#[derive(Deserialize)]
struct EmbeddingsForm {
    model: String,
    input: Input,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
    /// Numbers of tokens, in a vocabulary that is not ours.
    Other(serde::de::IgnoredAny),
}

impl Embeddings {
    /// Reads a request.
    pub fn read(json: &[u8]) -> Result<Embeddings, Refusal> {
        let form: EmbeddingsForm = serde_json::from_slice(json).map_err(|e| unreadable(&e))?;
        let input = Some("input");
        let texts = match form.input {
            Input::One(text) => vec![text],
            Input::Several(texts) => texts,
            Input::Other(_) => {
                return Err(Refusal::bad(input, "`input` is a text or a list of texts here"));
            }
        };
        if texts.is_empty() || texts.len() > MAX_TEXTS {
            let said = format!("there are {} texts; send 1 to {MAX_TEXTS}", texts.len());
            return Err(Refusal::bad(input, said));
        }
        let encoding = match form.encoding_format.as_deref() {
            None | Some("float") => Encoding::Float,
            Some("base64") => Encoding::Base64,
            Some(_) => {
                let said = "`encoding_format` is `float` or `base64`";
                return Err(Refusal::bad(Some("encoding_format"), said));
            }
        };
        let all = labour::meaning::DIMENSIONS;
        if form.dimensions.is_some_and(|wanted| wanted != all) {
            let said = format!("a vector has {all} dimensions here, and no other number");
            return Err(Refusal::unsupported("dimensions", said));
        }
        Ok(Embeddings { model: form.model, texts, encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        ChatCompletion::read(json.as_bytes()).unwrap_err().json().to_string()
    }

    fn with(member: &str) -> String {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi."}}],{member}}}"#)
    }

    #[test]
    fn what_the_official_clients_send_is_read() {
        let asked = ChatCompletion::read(
            br#"{"model":"m","messages":[{"role":"developer","content":"Be brief."},
                {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
                {"role":"assistant","content":"c","refusal":null,"tool_calls":null}],
                "max_completion_tokens":5,"max_tokens":9,"temperature":0.5,"top_p":0.9,"seed":-1,"stop":"x",
                "stream":true,"stream_options":{"include_usage":true},"n":1,"user":"u","metadata":{},
                "tools":[],"response_format":{"type":"text"},"logprobs":false,"presence_penalty":0}"#,
        )
        .unwrap();
        let roles: Vec<Role> = asked.chat.messages.iter().map(|m| m.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant]);
        assert_eq!(asked.chat.messages[1].content, "a\nb");
        assert_eq!((asked.chat.max_tokens, asked.chat.seed), (Some(5), u64::MAX));
        assert_eq!(asked.chat.stop, ["x"]);
        assert_eq!(asked.telling, Telling::Stream { with_usage: true });
        let plain = ChatCompletion::read(with(r#""stop":["a","b"]"#).as_bytes()).unwrap();
        assert_eq!((plain.chat.temperature, plain.telling), (0.0, Telling::Whole));
        assert_eq!(plain.chat.stop.len(), 2);
    }

    #[test]
    fn what_is_not_done_is_refused_by_its_name() {
        for (member, name) in [
            (r#""n":2"#, "n"),
            (r#""tools":[{"type":"function"}]"#, "tools"),
            (r#""response_format":{"type":"json_object"}"#, "response_format"),
            (r#""logprobs":true"#, "logprobs"),
            (r#""frequency_penalty":0.5"#, "frequency_penalty"),
        ] {
            let said = refused(&with(member));
            assert!(said.contains(&format!(r#""param":"{name}""#)), "{said}");
            assert!(said.contains("unsupported_parameter"), "{said}");
        }
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"model":"m","messages":"Hi."}"#,
            r#"{"model":"m","messages":[{"role":"tool","content":"x","tool_call_id":"1"}]}"#,
            r#"{"model":"m","messages":[{"role":"user","content":null}]}"#,
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            &with(r#""max_tokens":-1"#),
            &with(r#""stop":3"#),
        ] {
            assert!(refused(wrong).contains("invalid_request_error"), "{wrong}");
        }
    }

    #[test]
    fn texts_are_one_or_many_and_nothing_else() {
        let read = |json: &str| Embeddings::read(json.as_bytes());
        assert_eq!(read(r#"{"model":"m","input":"a"}"#).unwrap().texts, ["a"]);
        let many = read(r#"{"model":"m","input":["a","b"],"encoding_format":"base64"}"#).unwrap();
        assert_eq!((many.texts.len(), many.encoding), (2, Encoding::Base64));
        for wrong in [
            r#"{"model":"m","input":[]}"#,
            r#"{"model":"m","input":[1,2]}"#,
            r#"{"model":"m","input":[[1,2]]}"#,
            r#"{"model":"m"}"#,
            r#"{"model":"m","input":"a","dimensions":64}"#,
            r#"{"model":"m","input":"a","encoding_format":"hex"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let many = serde_json::json!({ "model": "m", "input": vec!["a"; MAX_TEXTS + 1] });
        assert!(read(&many.to_string()).is_err());
    }
}
