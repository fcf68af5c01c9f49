//! Refuses a payment that is bound to another request; see [`crate::extensions::binding`].

use alloy_primitives::{B256, Bytes as SignatureBytes};
use http::request::Parts;
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::reply::Reply;
use crate::channel::voucher;
use crate::channel::wire::{ChannelConfig, Voucher};
use crate::extensions::binding::{self, Bound};
use crate::mpp::ByCredential;
use crate::offer::Offer;
use crate::order::Order;
use crate::wire::{PaymentPayload, PaymentRequirements};

/// The code of a payment that is not bound, where the offer takes no other.
const REQUIRED: &str = "request_binding_required";
/// The code of one that says to be bound, and does not say how.
const UNTOLD: &str = "invalid_request_binding";
/// The code of one that is bound to something else.
const MISMATCH: &str = "request_binding_mismatch";

/// Checks an order's binding. What is refused leaves no trace.
pub(super) fn check_order(
    offer: &Offer,
    parts: &Parts,
    payment: &PaymentPayload,
    asked: &PaymentRequirements,
    order: &Order,
    body: &[u8],
) -> Result<(), Box<Reply>> {
    let salt = binding::salt(payment.extensions.as_ref()).map_err(untold)?;
    let marked = binding::is_marked(order.nonce());
    match salt {
        Some(salt) => {
            let is_nonce = |request| binding::nonce(salt, request) == order.nonce();
            is_for(offer, parts, asked, body, is_nonce)
        }
        None if marked => {
            Err(untold("the payment is bound to a request, and its salt was left out"))
        }
        // A credential's number follows from its challenge, which is for one request.
        None if is_required(offer) && parts.extensions.get::<ByCredential>().is_none() => {
            Err(required(offer))
        }
        None => Ok(()),
    }
}

/// Checks a voucher's binding, whose own signature was found good. What is refused leaves no trace.
pub(super) fn check_voucher(
    offer: &Offer,
    parts: &Parts,
    config: &ChannelConfig,
    voucher: &Voucher,
    signature: Option<&SignatureBytes>,
    body: &[u8],
) -> Result<(), Box<Reply>> {
    if !binding::is_marked(config.salt) {
        return if is_required(offer) { Err(required(offer)) } else { Ok(()) };
    }
    let Some(signature) = signature else {
        return Err(untold(
            "each voucher of this channel is bound to a request, and this one's binding was left out",
        ));
    };
    let ways = offer.requirements();
    let Some(asked) = ways.iter().find(|way| way.scheme == crate::channel::SCHEME) else {
        return Ok(());
    };
    let (chain_id, total) = (offer.token.chain_id, voucher.max_claimable_amount.0);
    is_for(offer, parts, asked, body, |request| {
        let hash = binding::voucher_hash(chain_id, voucher.channel_id, total, request);
        voucher::signed_by(hash, signature, config.payer_authorizer)
    })
}

pub(super) fn is_required(offer: &Offer) -> bool {
    offer.declared.binding.is_some_and(|binding| binding.required)
}

/// Whether a binding is to this request.
///
/// The path is the one that buyers ask for: before a gate whose router has cut a prefix off, the
/// offer's own. A slash at its end may be missing.
fn is_for(
    offer: &Offer,
    parts: &Parts,
    asked: &PaymentRequirements,
    body: &[u8],
    is_it: impl Fn(B256) -> bool,
) -> Result<(), Box<Reply>> {
    let seen = parts.uri.path();
    let public = path_of(&offer.url);
    let path = if public.ends_with(seen) { public } else { seen };
    let media_type = parts.headers.get(header::CONTENT_TYPE);
    let bound = Bound {
        terms: asked,
        resource: &offer.url,
        method: parts.method.as_str(),
        path,
        query: parts.uri.query().unwrap_or_default(),
        media_type: media_type.map_or(b"", |value| value.as_bytes()),
        body: Sha256::digest(body).into(),
    };
    let short = path.strip_suffix('/').filter(|short| !short.is_empty());
    if is_it(bound.digest()) || short.is_some_and(|path| is_it(Bound { path, ..bound }.digest())) {
        return Ok(());
    }
    let message = "this payment was signed for another request; sign a new one for this request";
    Err(Box::new(Reply::refuse(StatusCode::CONFLICT, MISMATCH, message)))
}

/// The path of an address, as it is written there.
fn path_of(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + "://".len());
    let path = url[after..].find('/').map_or("/", |at| &url[after + at..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

fn required(offer: &Offer) -> Box<Reply> {
    Box::new(Reply::quote(offer, Some(REQUIRED.into())))
}

fn untold(message: &str) -> Box<Reply> {
    Box::new(Reply::refuse(StatusCode::BAD_REQUEST, UNTOLD, message))
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn the_path_of_an_address_is_what_follows_its_host() {
        for (url, path) in [
            ("http://localhost:4020/m/vision/classify", "/m/vision/classify"),
            ("http://localhost:4020/s/stall/a%20b?x=/y", "/s/stall/a%20b"),
            ("http://localhost:4020", "/"),
            ("mcp://tool/classify", "/classify"),
            ("/work", "/work"),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
