//! Discovery: what is settled here is listed, ranked by who paid, and kept over restarts; what is
//! only claimed is not.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use mandates::Key;
use money::Party;
use payments::auth_capture::lifecycle::Lifecycle;
use payments::channel::wire::Payload;
use payments::channel::{Collect, TillLimits};
use payments::extensions::Declared;
use payments::facilitator::{Catalogue, discovery};
use payments::wire::{FacilitatorRequest, PaymentPayload, Resource};
use payments::{BuyerLimits, EmbeddedFacilitator, Facilitator as _, GateLimits, Offer};
use serde_json::{Value, json};
use settlement::escrow::{Act, EscrowState, Fee, SignedEscrow};
use town::boutique::{declared, extras, guest};
use town::vouchers::{COSTS, Client, keeper};
use town::{Town, canal, escrow, http, musd, person, seller};

/// A payment that says of what it pays for, as a stock client echoes it.
fn telling(town: &Town, payer: &Key, number: u64, url: &str) -> PaymentPayload {
    let mut payment = town.payment(payer, number);
    payment.resource = Some(Resource {
        url: url.into(),
        description: Some("sweeps yards\u{7}".into()),
        mime_type: Some("application/json".into()),
        service_name: Some("Town".into()),
        tags: Some(vec!["work".into(), "WORK".into(), "\n".into()]),
    });
    let said = json!({ "bazaar": {
        "info": {
            "input": { "type": "http", "method": "GET", "queryParams": { "yard": "front" } },
            "output": { "type": "json", "example": { "swept": true } },
        },
        "schema": { "type": "object", "required": ["input"] },
    } });
    payment.extensions = said.as_object().cloned();
    payment
}

async fn post(url: &str, payment: &PaymentPayload) -> reqwest::Response {
    let request = FacilitatorRequest {
        x402_version: 2,
        payment_payload: payment.clone(),
        payment_requirements: payment.accepted.clone(),
    };
    http().post(url).json(&request).send().await.unwrap()
}

/// Settles over HTTP; what is said of the extensions.
async fn settle(url: &str, payment: &PaymentPayload) -> (Value, Option<Value>) {
    use base64::Engine as _;
    let response = post(&format!("{url}/settle"), payment).await;
    let said = response.headers().get("extension-responses").map(|header| {
        let text = base64::engine::general_purpose::STANDARD.decode(header).unwrap();
        serde_json::from_slice(&text).unwrap()
    });
    (response.json().await.unwrap(), said)
}

async fn ask(url: &str) -> (u16, Value) {
    let response = http().get(url).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn listed(url: &str) -> Vec<String> {
    let (status, answer) = ask(&format!("{url}/discovery/resources")).await;
    assert_eq!(status, 200);
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|i| i["resource"].as_str().unwrap().to_string()).collect()
}

#[tokio::test]
async fn a_settled_payment_lists_its_offer_and_no_other_does() {
    let town = Town::begin().await;
    let (_, url) = town.listing(town.catalogue()).await;
    let payer = guest(&town, 0x21).await;
    let (_, supported) = ask(&format!("{url}/supported")).await;
    let listed_too = supported["extensions"].as_array().unwrap().contains(&json!("bazaar"));
    assert!(listed_too);

    let payment = telling(&town, &payer, 1, "https://a.example/yard?key=secret#x");
    post(&format!("{url}/verify"), &payment).await;
    assert!(listed(&url).await.is_empty(), "verified is not settled");
    let poor = telling(&town, &person(0x30), 1, "https://poor.example/");
    let (answer, said) = settle(&url, &poor).await;
    assert_eq!((&answer["success"], said), (&json!(false), None));
    assert!(listed(&url).await.is_empty(), "refused is not settled");

    let (answer, said) = settle(&url, &payment).await;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(said.unwrap(), json!({ "bazaar": { "status": "success" } }));
    let (_, answer) = ask(&format!("{url}/discovery/resources")).await;
    assert_eq!(answer["x402Version"], 2);
    assert_eq!(answer["pagination"], json!({ "limit": 20, "offset": 0, "total": 1 }));
    let item = &answer["items"][0];
    assert_eq!(item["resource"], "https://a.example/yard", "neither query nor fragment");
    assert_eq!((&item["type"], &item["x402Version"]), (&json!("http"), &json!(2)));
    assert_eq!(item["accepts"][0], serde_json::to_value(town.terms()).unwrap());
    assert_eq!(item["description"], "sweeps yards");
    assert_eq!((&item["serviceName"], &item["tags"]), (&json!("Town"), &json!(["work"])));
    assert_eq!(item["lastUpdated"], town::START.to_string());
    assert_eq!(item["extensions"]["bazaar"]["info"]["input"]["method"], "GET");
    assert_eq!(
        item["outcomes"],
        json!({ "payers": 1, "settled": 1, "volume": "10000", "score": 5 })
    );
    // Again, it is refused by the chain, and counts nothing.
    let (answer, said) = settle(&url, &payment).await;
    assert_eq!((&answer["success"], said), (&json!(false), None));
    let (_, answer) = ask(&format!("{url}/discovery/resources")).await;
    assert_eq!(answer["items"][0]["outcomes"]["settled"], 1);
    // A payment that says nothing lists nothing.
    let (answer, said) = settle(&url, &town.payment(&payer, 2)).await;
    assert_eq!((&answer["success"], said), (&json!(true), None));
    assert_eq!(listed(&url).await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_in_a_description_is_said_and_not_listed() {
    let town = Town::begin().await;
    let (_, url) = town.listing(town.catalogue()).await;
    let payer = guest(&town, 0x21).await;
    type Change = fn(&mut Value, &mut Resource);
    let cases: [(&str, Change); 14] = [
        ("no info", |b, _| drop(b.as_object_mut().unwrap().remove("info"))),
        ("no schema", |b, _| drop(b.as_object_mut().unwrap().remove("schema"))),
        ("a schema that it breaks", |b, _| b["schema"] = json!({ "required": ["other"] })),
        ("a schema from elsewhere", |b, _| b["schema"] = json!({ "$ref": "http://a.example" })),
        ("another type", |b, _| b["info"]["input"]["type"] = json!("ftp")),
        ("another method", |b, _| b["info"]["input"]["method"] = json!("TRACE")),
        ("a body without a type", |b, _| b["info"]["input"]["method"] = json!("POST")),
        ("a member too many", |b, _| b["info"]["input"]["evil"] = json!(1)),
        ("a tool without a schema", |b, _| {
            b["info"]["input"] = json!({ "type": "mcp", "toolName": "t" });
        }),
        ("too large", |b, _| b["info"]["output"]["example"] = json!("x".repeat(9000))),
        ("control characters", |b, _| b["info"]["output"]["example"] = json!("\u{1b}[2J")),
        ("no address", |_, r| r.url = "yard".into()),
        ("a script", |_, r| r.url = "javascript:alert(1)".into()),
        ("a password", |_, r| r.url = "https://u:p@a.example/".into()),
    ];
    for (number, (case, change)) in (1..).zip(cases) {
        let mut payment = telling(&town, &payer, number, "https://a.example/yard");
        let mut resource = payment.resource.clone().unwrap();
        let said = payment.extensions.as_mut().unwrap().get_mut("bazaar").unwrap();
        change(said, &mut resource);
        payment.resource = Some(resource);
        let (answer, said) = settle(&url, &payment).await;
        assert_eq!(answer["success"], true, "{case}: the money moves all the same");
        let said = said.unwrap_or_else(|| panic!("{case}: nothing is said"));
        assert_eq!(said["bazaar"]["status"], "rejected", "{case}");
        assert!(!said["bazaar"]["rejectedReason"].as_str().unwrap().is_empty());
    }
    assert!(listed(&url).await.is_empty());
}

#[tokio::test]
async fn rank_is_by_different_payers_and_self_dealing_does_not_list() {
    let town = Town::begin().await;
    // 0x31 and the seller have one owner.
    let kin = person(0x31).party();
    let related = Arc::new(move |a: Party, b: Party| a == kin && b == seller());
    let catalogue = Arc::new(Catalogue::in_memory(town.clock.clone(), related));
    let (_, url) = town.listing(catalogue).await;
    let mut numbers = 1..;
    let mut pay = async |payer: u8, resource: &str| {
        let key = guest(&town, payer).await;
        let payment = telling(&town, &key, numbers.next().unwrap(), resource);
        assert_eq!(settle(&url, &payment).await.0["success"], true);
    };
    for _ in 0..9 {
        pay(0x21, "https://often.example/").await;
    }
    for payer in [0x22, 0x23, 0x24] {
        pay(payer, "https://liked.example/").await;
    }
    pay(0x21, "https://once.example/").await;
    pay(0x31, "https://kin.example/").await;
    pay(0x5e, "https://self.example/").await;
    assert_eq!(
        listed(&url).await,
        ["https://liked.example/", "https://often.example/", "https://once.example/"]
    );
    // What nobody paid for within a week is not shown,
    town.clock.advance(discovery::LISTED_FOR - Duration::from_secs(60));
    assert_eq!(listed(&url).await.len(), 3);
    town.clock.advance(Duration::from_secs(120));
    assert_eq!(listed(&url).await, Vec::<String>::new());
}

#[tokio::test]
async fn pages_filters_and_searches_answer_as_the_sdk_reads_them() {
    let town = Town::begin().await;
    let (_, url) = town.listing(town.catalogue()).await;
    let payer = guest(&town, 0x21).await;
    for number in 1..=5 {
        let resource = format!("https://a.example/yard/{number}");
        assert_eq!(
            settle(&url, &telling(&town, &payer, number, &resource)).await.0["success"],
            true
        );
    }
    let mut tool = telling(&town, &payer, 6, "https://b.example/mcp");
    tool.extensions.as_mut().unwrap()["bazaar"]["info"]["input"] =
        json!({ "type": "mcp", "toolName": "weigh", "inputSchema": { "type": "object" } });
    assert_eq!(settle(&url, &tool).await.0["success"], true);

    let count = async |query: &str| {
        let (status, answer) = ask(&format!("{url}/discovery/{query}")).await;
        assert_eq!(status, 200, "{query}: {answer}");
        let items = answer.get("items").or(answer.get("resources")).unwrap();
        (items.as_array().unwrap().len(), answer)
    };
    let payee = alloy_primitives::Address::from(seller()).to_string().to_lowercase();
    for (query, expected) in [
        ("resources".to_string(), 6),
        ("resources?type=http".into(), 5),
        ("resources?type=mcp".into(), 1),
        ("resources?network=eip155:402402&scheme=exact&extensions=bazaar".into(), 6),
        ("resources?network=eip155:1".into(), 0),
        ("resources?scheme=upto".into(), 0),
        ("resources?extensions=other".into(), 0),
        (format!("resources?payTo={payee}"), 6),
        ("resources?payTo=0x0000000000000000000000000000000000000001".into(), 0),
        ("resources?limit=4&offset=4".into(), 2),
        ("resources?offset=999999999".into(), 0),
        ("search?query=weigh".into(), 1),
        ("search?query=SWEEPS%20nothing".into(), 6),
        ("search?query=yard&type=mcp".into(), 1),
        ("search?query=weigh&type=http".into(), 0),
        ("search?query=zzz".into(), 0),
    ] {
        assert_eq!(count(&query).await.0, expected, "{query}");
    }
    // More words that fit come first.
    let (_, answer) = count("search?query=weigh%20example").await;
    assert_eq!(answer["resources"][0]["resource"], "https://b.example/mcp");
    let mut seen = 0;
    let mut cursor = Value::Null;
    loop {
        let next = cursor.as_str().map(|c| format!("&cursor={c}")).unwrap_or_default();
        let (found, answer) = count(&format!("search?query=town&limit=4{next}")).await;
        seen += found;
        cursor = answer["pagination"]["cursor"].clone();
        assert_eq!(answer["partialResults"], !cursor.is_null());
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, 6, "each once");
    for bad in [
        "resources?limit=0",
        "resources?limit=101",
        "resources?limit=x",
        "resources?offset=-1",
        "search",
        "search?query=",
        "search?query=%20-%20",
        "search?query=a&cursor=zz",
        &format!("search?query={}", "a".repeat(401)),
    ] {
        let (status, answer) = ask(&format!("{url}/discovery/{bad}")).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{bad}");
    }
}

#[tokio::test]
async fn the_catalogue_is_there_after_a_restart_and_a_torn_line_is_dropped() {
    let town = Town::begin().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalogue.jsonl");
    let open =
        || Arc::new(Catalogue::open(&path, town.clock.clone(), Arc::new(|_, _| false)).unwrap());
    let payer = guest(&town, 0x21).await;
    let before = {
        let (_, url) = town.listing(open()).await;
        for number in 1..=3 {
            let payment = telling(&town, &payer, number, "https://a.example/yard");
            assert_eq!(settle(&url, &payment).await.0["success"], true);
        }
        ask(&format!("{url}/discovery/resources")).await
    };
    assert_eq!(before.1["items"][0]["outcomes"]["settled"], 3);
    // The power failed while a line was written.
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"paid":{"entry":{"resource":"https://t"#).unwrap();
    for _ in 0..2 {
        let (_, url) = town.listing(open()).await;
        assert_eq!(ask(&format!("{url}/discovery/resources")).await, before);
    }
    let (_, url) = town.listing(open()).await;
    let payment = telling(&town, &payer, 4, "https://a.example/yard");
    assert_eq!(settle(&url, &payment).await.0["success"], true);
    let (_, url) = town.listing(open()).await;
    let (_, answer) = ask(&format!("{url}/discovery/resources")).await;
    assert_eq!(answer["items"][0]["outcomes"]["settled"], 4);
}

#[tokio::test]
async fn our_own_offers_are_listed_by_our_own_buyers_payments() {
    let town = Town::begin().await;
    let (facilitator, url) = town.listing(town.catalogue()).await;
    let shop = town.boutique_with(facilitator, extras(), declared()).await;
    let buyer = town.buyer_with(0x21, musd(50_000), musd(50_000), BuyerLimits::default()).await;
    buyer.buy(&shop.purchase("sweep")).await.unwrap();
    let (_, answer) = ask(&format!("{url}/discovery/search?query=odd%20jobs")).await;
    assert_eq!(answer["resources"][0]["resource"], shop.url);
    assert_eq!(answer["resources"][0]["extensions"]["bazaar"]["info"]["input"]["bodyType"], "text");
}

#[tokio::test]
async fn a_facilitator_without_a_catalogue_has_no_discovery() {
    let town = Town::begin().await;
    let plain = EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone());
    assert!(!plain.supported().extensions.iter().any(|e| e == "bazaar"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/discovery/resources", listener.local_addr().unwrap());
    let router = payments::facilitator::router(Arc::new(plain));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    assert_eq!(http().get(&url).send().await.unwrap().status(), 404);
}

/// The same payment, which says of what it pays for.
fn says(town: &Town, payment: PaymentPayload, url: &str) -> PaymentPayload {
    let PaymentPayload { resource, extensions, .. } = telling(town, &person(0x21), 1, url);
    PaymentPayload { resource, extensions, ..payment }
}

/// Who paid for the one thing that is listed, how often and how much; nothing if none is.
async fn outcomes(url: &str) -> Value {
    let (_, answer) = ask(&format!("{url}/discovery/resources")).await;
    assert!(answer["items"].as_array().unwrap().len() < 2, "{answer}");
    let outcomes = &answer["items"][0]["outcomes"];
    json!([outcomes["payers"], outcomes["settled"], outcomes["volume"]])
}

#[tokio::test]
async fn what_is_claimed_of_a_channel_counts_each_unit_once_and_over_restarts() {
    let town = Town::begin().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalogue.jsonl");
    // 0x33 and the seller have one owner.
    let kin = person(0x33).party();
    let open = || {
        let related = Arc::new(move |a: Party, b: Party| a == kin && b == seller());
        Arc::new(Catalogue::open(&path, town.clock.clone(), related).unwrap())
    };
    let claim = async |facilitator: &EmbeddedFacilitator, client: &Client, total: u128| {
        let payload = Payload::Claim {
            claims: vec![canal::claim(&client.key, &client.config, 9 * COSTS, total)],
            claim_authorizer_signature: None,
        };
        let payment = client.wrap(&payload);
        let claimed = facilitator.settle(&payment, &client.asked).await.unwrap();
        assert!(claimed.success, "{claimed:?}");
    };
    // The facilitator as it is after a start, and where it is asked what it lists.
    let start = async || {
        let catalogue = open();
        let (_, url) = town.listing(catalogue.clone()).await;
        (canal::facilitator(&town, &keeper()).listing(catalogue), url)
    };

    let (facilitator, url) = start().await;
    let clients = [0x31, 0x32, 0x33].map(|number| Client::new(&town, number, 1));
    for client in &clients {
        town.give(client.key.party(), musd(1_000_000)).await;
        let deposit = client.deposit(&town, 9 * COSTS, COSTS, 1);
        let deposit = says(&town, deposit, "https://a.example/yard");
        assert!(facilitator.settle(&deposit, &client.asked).await.unwrap().success);
    }
    assert_eq!(
        outcomes(&url).await,
        json!([null, null, null]),
        "what is deposited may be taken back"
    );
    let [first, second, kin] = &clients;
    claim(&facilitator, first, 2 * COSTS).await;
    assert_eq!(outcomes(&url).await, json!([1, 1, "20000"]));
    claim(&facilitator, first, 2 * COSTS).await;
    claim(&facilitator, first, COSTS).await;
    assert_eq!(outcomes(&url).await, json!([1, 1, "20000"]), "the same again is no more");
    // It is remembered which channel is for what, and how much of it was counted: by the lines that
    // were added, and by the summary that the first start made of them.
    drop((facilitator, start().await));
    let (facilitator, url) = start().await;
    claim(&facilitator, first, 2 * COSTS).await;
    assert_eq!(outcomes(&url).await, json!([1, 1, "20000"]));
    claim(&facilitator, first, 3 * COSTS).await;
    claim(&facilitator, second, COSTS).await;
    assert_eq!(outcomes(&url).await, json!([2, 3, "40000"]));
    claim(&facilitator, kin, COSTS).await;
    assert_eq!(outcomes(&url).await, json!([2, 3, "40000"]), "who is related counts nothing");
    // A channel whose deposit said nothing is for nothing.
    let silent = Client::funded(&town, 0x34, 1, 9 * COSTS).await;
    claim(&facilitator, &silent, COSTS).await;
    assert_eq!(outcomes(&url).await, json!([2, 3, "40000"]));
}

#[tokio::test]
async fn what_is_captured_from_an_escrow_counts_and_what_goes_back_does_not() {
    let town = Town::begin().await;
    let (facilitator, url) = town.listing(town.catalogue()).await;
    let payer = guest(&town, 0x21).await;
    let terms = escrow::terms(&town);
    let asked = escrow::asked(&town, terms);
    let nothing = json!([null, null, null]);
    let act = async |signed: &SignedEscrow, act: Act, left: u64| {
        let state = EscrowState {
            collected: true,
            capturable: U256::from(left),
            refundable: U256::from(town::PRICE - left),
        };
        let word = Lifecycle::new(signed.payment.clone(), act, &state);
        let payment = escrow::wrap(asked.clone(), signed.clone());
        let payment = PaymentPayload { payload: word.write(), ..payment };
        let done = facilitator.settle(&payment, &asked).await.unwrap();
        assert!(done.success, "{done:?}");
    };
    let authorized = async |number: u64| {
        let signed = escrow::order(&town, payer.party(), number, terms);
        let signed = escrow::sign(&town, &payer, signed);
        let payment = escrow::wrap(asked.clone(), signed.clone());
        let payment = says(&town, payment, "https://a.example/yard");
        assert!(facilitator.settle(&payment, &asked).await.unwrap().success);
        signed
    };
    let voided = authorized(1).await;
    act(&voided, Act::Void, town::PRICE).await;
    let captured = authorized(2).await;
    assert_eq!(outcomes(&url).await, nothing);
    let capture = |amount: u64| Act::Capture { amount: U256::from(amount), fee: Fee::default() };
    act(&captured, capture(4_000), town::PRICE).await;
    assert_eq!(outcomes(&url).await, json!([1, 1, "4000"]));
    act(&captured, capture(1_000), town::PRICE - 4_000).await;
    assert_eq!(outcomes(&url).await, json!([1, 2, "5000"]));
    act(&captured, Act::Void, town::PRICE - 5_000).await;
    assert_eq!(outcomes(&url).await, json!([1, 2, "5000"]));

    // A charge is both at once.
    let mut upfront = asked.clone();
    upfront.extra.as_mut().unwrap().insert("paymentFlow".into(), "upfront".into());
    let signed = escrow::order(&town, payer.party(), 3, terms);
    let signed = escrow::sign(&town, &payer, signed);
    let payment = escrow::wrap(upfront.clone(), signed);
    let payment = says(&town, payment, "https://a.example/yard");
    assert!(facilitator.settle(&payment, &upfront).await.unwrap().success);
    assert_eq!(outcomes(&url).await, json!([1, 3, "15000"]));
}

/// As sellers and buyers do it here, each by itself.
#[tokio::test]
async fn our_own_offers_are_listed_when_they_are_paid_from_channels_and_through_escrow() {
    let town = Town::begin().await;
    let (facilitator, url) = town.listing(town.catalogue()).await;
    let listed = || Declared { listing: declared().listing, ..Declared::default() };
    let through_escrow = |offer: &mut Offer| {
        escrow::only(escrow::terms(&town))(offer);
        offer.declared = listed();
    };
    let shop = town.shop_of(facilitator, GateLimits::default(), through_escrow).await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    buyer.buy(&shop.purchase("sweep")).await.unwrap();
    assert_eq!(outcomes(&url).await, json!([1, 1, "10000"]));

    let catalogue = town.catalogue();
    let facilitator = canal::facilitator(&town, &keeper()).listing(catalogue.clone());
    let (_, url) = town.listing(catalogue).await;
    let from_channels = |offer: &mut Offer| offer.declared = listed();
    let limits = (GateLimits::default(), TillLimits::default());
    let shop = town.channel_shop_of(Arc::new(facilitator), limits.0, limits.1, from_channels).await;
    for job in ["sweep", "dust"] {
        buyer.buy_by(&shop.purchase(job), Some("batch-settlement")).await.unwrap();
    }
    assert_eq!(outcomes(&url).await, json!([null, null, null]), "not claimed yet");
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, 2 * COSTS);
    assert_eq!(outcomes(&url).await, json!([1, 1, "20000"]));
}
