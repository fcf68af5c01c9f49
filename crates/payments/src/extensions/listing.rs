//! `bazaar`: how an offer wants to be found, and what a facilitator takes of that.
//!
//! Source: `specs/extensions/bazaar.md`. A seller describes its offer in the quote ([`Listing`]);
//! buyers echo that in their payments; a facilitator that settles such a payment lists the offer
//! ([`Entry::read`], [`crate::facilitator::discovery`]).
//!
//! All of an entry comes from strangers. What would be wrong in a catalogue is refused or left out:
//! addresses other than plain `http` and `https` ones, query and fragment, control characters, more
//! than `MAX_DESCRIPTION` bytes of description, members of `info` that the extension does not
//! know, a description that its own schema does not allow. Icons are not listed: whoever shows one
//! fetches an address that a stranger chose.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::schema::MAX_DEPTH;
use super::{DIALECT, conforms, declaration};
use crate::documents;
use crate::offer::Offer;
use crate::wire::{PaymentPayload, PaymentRequirements};

/// The extension's name.
pub const NAME: &str = "bazaar";

/// The most that an entry's `info` and `schema` may have, in bytes of JSON.
const MAX_DESCRIPTION: usize = 8 * 1024;
/// The longest address that is listed.
const MAX_URL: usize = 512;
/// The longest text for people that is listed, in characters; longer ones are cut.
const MAX_TEXT: usize = 400;
/// The longest service name and tag.
const MAX_NAME: usize = 32;
/// The most tags.
const MAX_TAGS: usize = 5;

const QUERY_METHODS: [&str; 3] = ["GET", "HEAD", "DELETE"];
const BODY_METHODS: [&str; 3] = ["POST", "PUT", "PATCH"];
const BODY_TYPES: [&str; 3] = ["json", "form-data", "text"];
const TRANSPORTS: [&str; 2] = ["streamable-http", "sse"];

/// How an offer wants to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The service that it belongs to: at most 32 printable ASCII characters.
    pub service_name: Option<String>,
    /// What it is about: at most five, each of at most 32 printable ASCII characters.
    pub tags: Vec<String>,
    /// An example of a request's body, and its type: `json`, `form-data` or `text`. Only for offers
    /// whose method has a body.
    pub body: Option<(&'static str, Value)>,
    /// Examples of query parameters.
    pub query: Map<String, Value>,
    /// An example of the answer.
    pub output: Option<Value>,
}

impl Listing {
    pub(super) fn declaration(&self, offer: &Offer) -> Value {
        let mut input = Map::new();
        input.insert("type".into(), "http".into());
        input.insert("method".into(), offer.method.as_str().into());
        let mut required = vec!["type", "method"];
        let mut methods = QUERY_METHODS;
        if BODY_METHODS.contains(&offer.method.as_str()) {
            methods = BODY_METHODS;
            let (kind, example) = self.body.clone().unwrap_or(("text", Value::from("")));
            input.insert("bodyType".into(), kind.into());
            input.insert("body".into(), example);
            required.extend(["bodyType", "body"]);
        }
        if !self.query.is_empty() {
            input.insert("queryParams".into(), Value::Object(self.query.clone()));
        }
        let mut output = Map::new();
        let json = offer.media_type.ends_with("json");
        output.insert("type".into(), if json { "json" } else { "text" }.into());
        output.insert("format".into(), offer.media_type.as_str().into());
        if let Some(example) = &self.output {
            output.insert("example".into(), example.clone());
        }
        let schema = json!({
            "$schema": DIALECT,
            "type": "object",
            "properties": {
                "input": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string", "const": "http" },
                        "method": { "type": "string", "enum": methods },
                        "bodyType": { "type": "string", "enum": BODY_TYPES },
                        "body": {},
                        "queryParams": { "type": "object" },
                        "headers": { "type": "object" },
                    },
                    "required": required,
                    "additionalProperties": false,
                },
                "output": {
                    "type": "object",
                    "properties": { "type": { "type": "string" }, "example": {} },
                    "required": ["type"],
                },
            },
            "required": ["input"],
        });
        declaration(json!({ "input": input, "output": output }), schema)
    }
}

/// What a facilitator lists: an offer as those who paid for it described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where it is, without query and fragment; the path may have `:parameters`.
    pub resource: String,
    /// `http` or `mcp`.
    pub kind: String,
    /// The request's method, or the tool's name.
    pub call: String,
    /// How to pay for it.
    pub accepts: PaymentRequirements,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The service that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The extension's content, as it was echoed.
    pub bazaar: Value,
}

impl Entry {
    /// What a payment says about the offer that it pays for; `None` if it says nothing. The
    /// requirements must be what was settled, not what the payment claims.
    ///
    /// # Errors
    /// Why it is not listed, in words.
    pub fn read(
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Option<Result<Entry, String>> {
        let said = payment.extensions.as_ref()?.get(NAME)?;
        Some(Entry::check(said, payment, requirements))
    }

    fn check(
        said: &Value,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<Entry, String> {
        // Counted before it is written out, since nesting costs more than it shows.
        if depth(said) > MAX_DEPTH || said.to_string().len() > MAX_DESCRIPTION {
            return Err(format!("it is larger than {MAX_DESCRIPTION} bytes, or nested too deep"));
        }
        if has_control(said) {
            return Err("it has control characters".into());
        }
        let info = said.get("info").ok_or("it has no `info`")?;
        let schema = said.get("schema").ok_or("it has no `schema`")?;
        let input = info.get("input").and_then(Value::as_object).ok_or("it has no `info.input`")?;
        let (kind, call) = read_input(input)?;
        conforms(info, schema)?;
        let resource = payment.resource.as_ref().ok_or("the payment names no resource")?;
        let template = said.get("routeTemplate").and_then(Value::as_str).filter(|t| is_route(t));
        let template = template.filter(|_| kind == "http");
        let mut bazaar = Map::new();
        bazaar.insert("info".into(), info.clone());
        bazaar.insert("schema".into(), schema.clone());
        if let Some(template) = template {
            bazaar.insert("routeTemplate".into(), template.into());
        }
        Ok(Entry {
            resource: address(&resource.url, template)?,
            kind: kind.into(),
            call,
            accepts: sane(requirements)?,
            description: resource.description.as_deref().and_then(text),
            mime_type: resource.mime_type.as_deref().and_then(text),
            service_name: resource.service_name.clone().filter(|n| is_name(n)),
            tags: tags(resource.tags.as_deref().unwrap_or_default()),
            bazaar: Value::Object(bazaar),
        })
    }

    /// What tells entries apart: the address, what is called there, and who is paid. A stranger who
    /// lists somebody else's address gets an entry beside it, not in its place.
    pub fn key(&self) -> [u8; 32] {
        let payee = self.accepts.pay_to.to_ascii_lowercase();
        documents::digest(&[
            self.resource.as_bytes(),
            self.kind.as_bytes(),
            self.call.as_bytes(),
            payee.as_bytes(),
        ])
    }
}

/// What kind of input it is, and what is called.
fn read_input(input: &Map<String, Value>) -> Result<(&'static str, String), String> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let only = |known: &[&str]| match input.keys().find(|name| !known.contains(&name.as_str())) {
        Some(_) => Err("`info.input` has members that the extension does not know".to_string()),
        None => Ok(()),
    };
    let object = |name: &str| match input.get(name) {
        None | Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(format!("`info.input.{name}` is no object")),
    };
    match text("type") {
        Some("http") => {
            only(&["type", "method", "bodyType", "body", "queryParams", "headers", "pathParams"])?;
            for name in ["queryParams", "headers", "pathParams"] {
                object(name)?;
            }
            let method = text("method").unwrap_or_default();
            let body = match input.get("bodyType") {
                None => false,
                Some(kind) if BODY_TYPES.contains(&kind.as_str().unwrap_or_default()) => true,
                Some(_) => return Err("`info.input.bodyType` is none that is known".into()),
            };
            let good = match body {
                true => BODY_METHODS.contains(&method) && input.contains_key("body"),
                false => QUERY_METHODS.contains(&method),
            };
            match good {
                true => Ok(("http", method.to_string())),
                false => Err("`info.input.method` is none that goes with its body".into()),
            }
        }
        Some("mcp") => {
            only(&["type", "toolName", "description", "inputSchema", "transport", "example"])?;
            object("example")?;
            let tool = text("toolName").filter(|t| !t.is_empty() && t.len() <= 128);
            let tool = tool.ok_or("`info.input.toolName` is none")?;
            if !input.get("inputSchema").is_some_and(Value::is_object) {
                return Err("`info.input.inputSchema` is none".into());
            }
            match input.get("transport") {
                None => Ok(("mcp", tool.to_string())),
                Some(t) if TRANSPORTS.contains(&t.as_str().unwrap_or_default()) => {
                    Ok(("mcp", tool.to_string()))
                }
                Some(_) => Err("`info.input.transport` is none that is known".into()),
            }
        }
        _ => Err("`info.input.type` is neither `http` nor `mcp`".into()),
    }
}

/// An address as it is listed.
fn address(url: &str, template: Option<&str>) -> Result<String, String> {
    const BAD: &str = "the resource is no plain address of http or https";
    if url.len() > MAX_URL {
        return Err(format!("the resource's address is longer than {MAX_URL} bytes"));
    }
    let mut url: reqwest::Url = url.parse().map_err(|_| BAD)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.host_str().is_some();
    if !plain {
        return Err(BAD.into());
    }
    url.set_query(None);
    url.set_fragment(None);
    match template {
        Some(template) => Ok(format!("{}{template}", url.origin().ascii_serialization())),
        None => Ok(url.to_string()),
    }
}

/// Whether it is a path with `:parameters`, and stays one however often it is decoded.
fn is_route(template: &str) -> bool {
    const MOST_PASSES: usize = 5;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_/:.-~%".contains(&b);
    if template.len() < 2
        || template.len() > MAX_URL
        || !template.starts_with('/')
        || !template.bytes().all(plain)
    {
        return false;
    }
    let mut decoded = template.to_string();
    for _ in 0..MOST_PASSES {
        let Some(next) = percent_decoded(&decoded) else { return false };
        if next == decoded {
            return !decoded.contains("..") && !decoded.contains("://");
        }
        decoded = next;
    }
    false
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |b: u8| char::from(b).to_digit(16);
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// The terms without what a seller may have put beside them.
fn sane(terms: &PaymentRequirements) -> Result<PaymentRequirements, String> {
    const MAX_EXTRA: usize = 1024;
    let extra = terms.extra.clone().map(Value::Object);
    if extra
        .as_ref()
        .is_some_and(|e| depth(e) > MAX_DEPTH || has_control(e) || e.to_string().len() > MAX_EXTRA)
    {
        return Err("its terms are too large".into());
    }
    let short = |text: &str| text.len() <= 128 && !text.chars().any(char::is_control);
    let texts = [&terms.scheme, &terms.network, &terms.amount, &terms.asset, &terms.pay_to];
    match texts.into_iter().all(|t| short(t)) {
        true => Ok(terms.clone()),
        false => Err("its terms are too large".into()),
    }
}

/// A text for people, without control characters and not too long.
fn text(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    Some(plain).filter(|t| !t.trim().is_empty())
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

fn tags(said: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for tag in said.iter().take(64).filter(|t| is_name(t)) {
        if kept.len() < MAX_TAGS && !kept.iter().any(|k| k.eq_ignore_ascii_case(tag)) {
            kept.push(tag.clone());
        }
    }
    kept
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_control(value: &Value) -> bool {
    let bad = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    match value {
        Value::Object(members) => members.iter().any(|(name, v)| bad(name) || has_control(v)),
        Value::Array(items) => items.iter().any(has_control),
        Value::String(text) => bad(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stay_paths() {
        for good in ["/users/:id", "/a/b.c-d~e", "/%61"] {
            assert!(is_route(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "users",
            "/a/../b",
            "/%2e%2e/b",
            "/%252e%252e",
            "/a://b",
            "/%",
            "/ä",
            "/a b",
            "/%25252525252e",
        ] {
            assert!(!is_route(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_plain() {
        let plain = |url: &str| address(url, None);
        assert_eq!(plain("https://a.example/x?key=1#y").unwrap(), "https://a.example/x");
        assert_eq!(
            address("https://a.example/users/7", Some("/users/:id")).unwrap(),
            "https://a.example/users/:id"
        );
        for bad in ["", "x", "ftp://a/", "data:text/html,x", "https://u:p@a/", "javascript:1"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert!(plain(&format!("https://a/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn tags_are_few_short_and_different() {
        let said = ["a", "A", "", "b\n", &"x".repeat(33), "c", "d", "e", "f", "g"];
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(tags(&said), ["a", "c", "d", "e", "f"]);
    }
}
