//! What of a message is worked on: a file, or a request of data or words.

use ::a2a::{A2AError, Message, PartContent};
use http::HeaderValue;
use serde_json::Value;

use super::Agent;
use super::tasks::Input;

/// The longest media type of a part, in bytes; what says more is of none.
const LONGEST_TYPE: usize = 255;

/// What of a message a skill works on.
#[derive(Debug, Clone)]
pub enum Reads {
    /// A file, in a part with `raw`.
    File {
        /// Whole numbers that a message may set by a part with data, as `{ "top": 3 }`: they become the
        /// target's query.
        numbers: Vec<String>,
    },
    /// A request in JSON: in a part with `data` or `raw`, or made of the message's words.
    Request {
        /// The request that words make, but for them. A request as data that does not name its `model`
        /// means this one's.
        form: Value,
        /// Where in it the words belong, as a JSON pointer (RFC 6901).
        words_at: &'static str,
    },
}

impl Agent {
    /// What a message brings to work on; `None` for mere words.
    pub(super) fn input(&self, message: &Message) -> Result<Option<Input>, A2AError> {
        let (mut file, mut data, mut words) = (None, None, Vec::new());
        for part in &message.parts {
            match &part.content {
                PartContent::Text(text) => words.push(text.trim()),
                PartContent::Url(_) => {
                    let mut error = A2AError::content_type_not_supported();
                    error.message =
                        "nothing is fetched from elsewhere: send the bytes, as a part with `raw`"
                            .into();
                    return Err(error);
                }
                PartContent::Data(_) if data.is_some() => {
                    return Err(A2AError::invalid_params("a message has one part with data"));
                }
                PartContent::Data(said) => {
                    data = Some(payments::a2a::whole_numbers(said.clone()));
                }
                PartContent::Raw(_) if file.is_some() => {
                    return Err(A2AError::invalid_params(
                        "a task is of one file: send one message for each",
                    ));
                }
                PartContent::Raw(bytes) => file = Some((part, bytes)),
            }
        }
        let target = self.skill.target.clone();
        let input = match &self.skill.reads {
            Reads::File { numbers } => {
                let query = data.map(|data| query(numbers, &data)).transpose()?.unwrap_or_default();
                let Some((part, bytes)) = file else { return Ok(None) };
                let media_type = match &part.media_type {
                    Some(said)
                        if said.len() <= LONGEST_TYPE && HeaderValue::from_str(said).is_ok() =>
                    {
                        said.clone()
                    }
                    _ => "application/octet-stream".into(),
                };
                let target = if query.is_empty() { target } else { format!("{target}?{query}") };
                Input { target, media_type, body: bytes.clone().into() }
            }
            Reads::Request { form, words_at } => {
                let words = words.join("\n");
                let body = match (file, data) {
                    (Some(_), Some(_)) => {
                        let said = "a request comes as data or as a file, not as both";
                        return Err(A2AError::invalid_params(said));
                    }
                    (Some((_, bytes)), None) => bytes.clone(),
                    (None, Some(asked)) => named(asked, form)?.to_string().into_bytes(),
                    (None, None) if words.is_empty() || message.task_id.is_some() => {
                        return Ok(None);
                    }
                    (None, None) => worded(form, words_at, words).to_string().into_bytes(),
                };
                Input { target, media_type: "application/json".into(), body: body.into() }
            }
        };
        let most = self.most();
        if input.body.len() > most {
            let mut error = A2AError::content_type_not_supported();
            error.message = format!("a file of {} bytes is more than {most}", input.body.len());
            return Err(error);
        }
        Ok(Some(input))
    }
}

/// A query of the whole numbers that a part with data sets, of those that it may.
fn query(numbers: &[String], data: &Value) -> Result<String, A2AError> {
    let known = || format!("a part with data may set {}", numbers.join(", "));
    let said = data.as_object().ok_or_else(|| A2AError::invalid_params(known()))?;
    let mut query = Vec::new();
    for (name, value) in said {
        let whole = value.as_u64().filter(|_| numbers.contains(name));
        let whole = whole.ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            A2AError::invalid_params(format!("{}, to whole numbers; not `{name}`", known()))
        })?;
        query.push(format!("{name}={whole}"));
    }
    Ok(query.join("&"))
}

/// A request that came as data, of this form's model if it names none.
fn named(mut asked: Value, form: &Value) -> Result<Value, A2AError> {
    let members = asked.as_object_mut().ok_or_else(|| {
        A2AError::invalid_params("a request as a part with data is an object of JSON")
    })?;
    if let Some(model) = form.get("model") {
        members.entry("model").or_insert_with(|| model.clone());
    }
    Ok(asked)
}

/// The request that words make.
fn worded(form: &Value, words_at: &str, words: String) -> Value {
    let mut asked = form.clone();
    if let Some(place) = asked.pointer_mut(words_at) {
        *place = words.into();
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_data_make_a_request_of_the_machines_own_model() {
        let form =
            serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": "" }] });
        let asked = worded(&form, "/messages/0/content", "Say \"hi\".".into());
        assert_eq!(
            asked["messages"][0],
            serde_json::json!({ "role": "user", "content": "Say \"hi\"." })
        );
        assert_eq!(asked["model"], "m");
        let named = |asked| super::named(asked, &form);
        assert_eq!(named(serde_json::json!({ "input": 1 })).unwrap()["model"], "m");
        assert_eq!(named(serde_json::json!({ "model": "n" })).unwrap()["model"], "n");
        assert!(named(serde_json::json!(["m"])).is_err());
    }
}
