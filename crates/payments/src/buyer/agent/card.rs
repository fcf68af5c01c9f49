//! Finding where an agent answers: by its card, or by the address itself.
//!
//! | the address given | what is done |
//! |---|---|
//! | a card's (`…/agent-card.json`, or anything below `/.well-known/`) | it is read |
//! | anything else | the card is looked for below it, at `.well-known/agent-card.json`; where there is none, the address is where the agent answers |
//!
//! A card is a stranger's words, and what it names gets a request of ours. So it may only name **its own
//! place**: the same scheme, host and port, under whatever path. Without that rule a card on the web could
//! have this program knock at doors of its own computer or network. Who knows the other place gives its
//! address itself. All names of this computer are one host here; what is asked is always the host that was
//! given, never the card's word for it.
//!
//! Source: A2A 1.0, "Agent Discovery" and `AgentCard`; cards of earlier versions are refused by name.
//! Bounds: [`LARGEST_CARD`], [`CARD_WAIT`], [`MOST_INTERFACES`]; no redirect is followed.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::header;
use reqwest::Url;
use serde_json::Value;

use super::super::answer::root_cause;
use super::super::{BuyError, Buyer, shown};
use super::{MOST_VALUES, cut};
use crate::a2a::{EXTENSIONS, values};

/// Where a card is, below an agent's address.
const WELL_KNOWN: &str = ".well-known/agent-card.json";
/// The largest card that is read, in bytes.
const LARGEST_CARD: usize = 256 * 1024;
/// How long a card may take.
const CARD_WAIT: Duration = Duration::from_secs(10);
/// How many interfaces, and how many extensions, of a card are looked at.
const MOST_INTERFACES: usize = 64;

/// Where an agent answers, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAgent {
    /// Its name by its card; none where there is no card.
    pub name: Option<String>,
    /// Where it answers JSON-RPC.
    pub endpoint: Url,
    /// Its card says that it streams.
    pub streams: bool,
}

impl Buyer {
    /// Where the agent of this address answers: the address is its card's, or one below which its card
    /// is, or where it answers.
    ///
    /// # Errors
    /// [`BuyError::Unreachable`]; [`BuyError::Agent`] if there is a card by which it cannot be asked, or
    /// none where one was named.
    pub async fn find_agent(&self, address: &Url) -> Result<FoundAgent, BuyError> {
        let refuse = |cause: String| BuyError::Agent { url: shown(address), cause };
        if names_a_card(address) {
            let card = self.read_card(address).await?.map_err(refuse)?;
            return found(&card, address).map_err(refuse);
        }
        let below = below(address);
        match self.read_card(&below).await? {
            Ok(card) => found(&card, &below).map_err(refuse),
            Err(cause) => {
                tracing::debug!(url = %shown(address), cause, "no card there; it is asked itself");
                Ok(FoundAgent { name: None, endpoint: address.clone(), streams: false })
            }
        }
    }

    /// What is at a card's address; the inner error says why that is none.
    async fn read_card(&self, url: &Url) -> Result<Result<Value, String>, BuyError> {
        let unreachable = |cause: String| BuyError::Unreachable { url: shown(url), cause };
        let request = self
            .http
            .get(url.clone())
            .header(header::ACCEPT, "application/json")
            .timeout(CARD_WAIT);
        let answer = request.send().await.map_err(|e| unreachable(root_cause(&e)))?;
        if shown(answer.url()) != shown(url) {
            return Ok(Err("its card's address leads elsewhere".into()));
        }
        let status = answer.status();
        if !status.is_success() {
            return Ok(Err(format!("its card's address answers with status {}", status.as_u16())));
        }
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| unreachable(root_cause(&e)))?;
            if body.len() + chunk.len() > LARGEST_CARD {
                return Ok(Err(format!("its card is larger than {LARGEST_CARD} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if values(&body) > MOST_VALUES {
            return Ok(Err("its card is made of too many values to be read".into()));
        }
        let card = serde_json::from_slice::<Value>(&body).ok();
        let is_card = |card: &Value| {
            card["name"].is_string()
                && (card["supportedInterfaces"].is_array() || card["url"].is_string())
        };
        Ok(card.filter(is_card).ok_or_else(|| "there is no agent's card".into()))
    }
}

fn names_a_card(address: &Url) -> bool {
    let path = address.path();
    path.contains("/.well-known/") || path.ends_with("/agent-card.json")
}

fn below(address: &Url) -> Url {
    let mut card = address.clone();
    card.set_query(None);
    card.set_fragment(None);
    card.set_path(&format!("{}/{WELL_KNOWN}", address.path().trim_end_matches('/')));
    card
}

/// Where the agent of a card answers that was found at `place`.
fn found(card: &Value, place: &Url) -> Result<FoundAgent, String> {
    let list = |value: &Value| {
        value.as_array().into_iter().flatten().take(MOST_INTERFACES).cloned().collect::<Vec<_>>()
    };
    let capabilities = &card["capabilities"];
    let unknown = list(&capabilities["extensions"]).into_iter().find(|extension| {
        extension["required"] == true
            && !extension["uri"].as_str().is_some_and(|uri| EXTENSIONS.contains(&uri))
    });
    if let Some(unknown) = unknown {
        return Err(format!(
            "its card requires the extension {}, which is not spoken here",
            cut(unknown["uri"].as_str().unwrap_or("without a name"))
        ));
    }
    if !card["supportedInterfaces"].is_array() {
        let version = card["protocolVersion"].as_str().unwrap_or("before 1.0");
        return Err(format!("its card is of A2A {}, and 1.0 is spoken here", cut(version)));
    }
    let mut others = Vec::new();
    let mut elsewhere = None;
    for interface in list(&card["supportedInterfaces"]) {
        let text = |member: &str| interface[member].as_str().unwrap_or_default().to_owned();
        let (binding, version) = (text("protocolBinding"), text("protocolVersion"));
        let is_spoken = binding.eq_ignore_ascii_case("JSONRPC")
            && (version.is_empty() || version == "1" || version.starts_with("1."));
        if !is_spoken || !text("tenant").is_empty() {
            let tenant = if text("tenant").is_empty() { "" } else { " for a tenant" };
            others.push(cut(&format!("{binding} {version}{tenant}")));
            continue;
        }
        let Ok(named) = place.join(&text("url")) else { continue };
        if !is_same_place(&named, place) {
            elsewhere.get_or_insert(shown(&named));
            continue;
        }
        let mut endpoint = place.clone();
        endpoint.set_path(named.path());
        endpoint.set_query(named.query());
        endpoint.set_fragment(None);
        return Ok(FoundAgent {
            name: card["name"].as_str().map(cut),
            endpoint,
            streams: capabilities["streaming"] == true,
        });
    }
    Err(match elsewhere {
        Some(named) => format!(
            "its card sends to {}, another place than its own; who knows that place gives its address itself",
            cut(&named)
        ),
        None => format!(
            "its card names no interface by JSON-RPC of A2A 1.0; it names: {}",
            others.into_iter().take(8).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Whether two addresses are of one server; this computer has several names.
fn is_same_place(one: &Url, other: &Url) -> bool {
    let is_here = |url: &Url| match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    one.scheme() == other.scheme()
        && one.port_or_known_default() == other.port_or_known_default()
        && (one.host_str() == other.host_str() || (is_here(one) && is_here(other)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(url: &str) -> Url {
        url.parse().expect("a URL")
    }

    fn card(interfaces: Value) -> Value {
        json!({ "name": "a", "supportedInterfaces": interfaces, "capabilities": { "streaming": true } })
    }

    fn spoken(url: &str) -> Value {
        json!({ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" })
    }

    #[test]
    fn a_card_is_looked_for_where_it_may_be() {
        for (given, is_card, looked) in [
            ("http://a/m/x", false, "http://a/m/x/.well-known/agent-card.json"),
            ("http://a/?q=1#f", false, "http://a/.well-known/agent-card.json"),
            ("http://a/x/", false, "http://a/x/.well-known/agent-card.json"),
            ("http://a/.well-known/agent.json", true, ""),
            ("http://a/x/.well-known/agent-card.json", true, ""),
            ("http://a/cards/agent-card.json", true, ""),
        ] {
            assert_eq!(names_a_card(&at(given)), is_card, "{given}");
            assert!(is_card || below(&at(given)) == at(looked), "{given}");
        }
    }

    #[test]
    fn a_card_leads_to_its_own_place_and_nowhere_else() {
        let from = at("http://localhost:4020/m/x/.well-known/agent-card.json");
        for (named, leads) in [
            ("http://localhost:4020/m/x/a2a", Some("http://localhost:4020/m/x/a2a")),
            ("http://127.0.0.1:4020/rpc?v=1#f", Some("http://localhost:4020/rpc?v=1")),
            ("http://[::1]:4020/", Some("http://localhost:4020/")),
            ("/rpc", Some("http://localhost:4020/rpc")),
            ("http://localhost:8545/", None),
            ("https://localhost:4020/", None),
            ("http://localhost.evil.example:4020/", None),
            ("http://user@evil.example:4020/", None),
            ("http://169.254.169.254/latest", None),
            ("//evil.example/", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
        ] {
            let told = found(&card(json!([spoken(named)])), &from);
            match leads {
                Some(leads) => assert_eq!(told.unwrap().endpoint, at(leads), "{named}"),
                None => assert!(told.unwrap_err().contains("another place"), "{named}"),
            }
        }
        // What is here for a card from elsewhere is another place, too.
        let web = at("http://agent.example/.well-known/agent-card.json");
        assert!(found(&card(json!([spoken("http://127.0.0.1/")])), &web).is_err());
        // The first that is spoken and there is taken.
        let many = json!([
            { "url": "http://localhost:4020/g", "protocolBinding": "GRPC", "protocolVersion": "1.0" },
            spoken("http://elsewhere/"),
            spoken("http://localhost:4020/here"),
        ]);
        let told = found(&card(many), &from).unwrap();
        assert_eq!((told.endpoint.path(), told.streams), ("/here", true));
    }

    #[test]
    fn a_card_that_is_not_spoken_says_why() {
        let from = at("http://a/.well-known/agent-card.json");
        let mut strict = card(json!([spoken("http://a/")]));
        strict["capabilities"]["extensions"] = json!([{ "uri": "urn:strange", "required": true }]);
        let rest = json!([{ "url": "http://a/", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" }]);
        let old =
            json!([{ "url": "http://a/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3" }]);
        let tenant = json!([{ "url": "http://a/", "protocolBinding": "JSONRPC", "tenant": "t" }]);
        for (card, why) in [
            (strict, "urn:strange"),
            (json!({ "name": "a", "url": "http://a/", "protocolVersion": "0.3.0" }), "0.3.0"),
            (card(rest), "HTTP+JSON"),
            (card(old), "JSONRPC 0.3"),
            (card(tenant), "tenant"),
            (card(json!([])), "no interface"),
            (card(json!([7, null, "x"])), "no interface"),
        ] {
            let told = found(&card, &from).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        // Ours is known, also where it is required.
        let mut paid = card(json!([spoken("http://a/")]));
        paid["capabilities"]["extensions"] = json!([{ "uri": EXTENSIONS[0], "required": true }]);
        assert!(found(&paid, &from).is_ok());
    }
}
