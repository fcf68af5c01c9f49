//! `machina pay URL`: buys an answer, or with `--a2a` an agent's task, under the shopper's mandate.

use std::io::{IsTerminal as _, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::Access;
use crate::cli::{Arguments, Pay};
use crate::failure::Failure;
use crate::report::{AgentOrder, PayOrder, PayReport};
use crate::say;

/// The largest body that is sent, in bytes.
const MAX_BODY: u64 = 16 * 1024 * 1024;

pub async fn run(arguments: &Arguments, pay: &Pay) -> Result<(), Failure> {
    let order = order(pay)?;
    let access = Access::find(arguments).await?;
    let report = {
        let _progress = say::Progress::start(&format!("asking {}", pay.url));
        access.pay(order).await
    };
    access.close().await;
    let report = report?;
    tell(arguments, pay, &report)
}

/// The order that the command line describes.
///
/// # Errors
/// If the data cannot be read, or is too large, or an agent is asked nothing.
pub fn order(pay: &Pay) -> Result<PayOrder, Failure> {
    if pay.a2a && pay.words.is_none() && pay.data.is_none() {
        return Err(Failure::misuse("nothing is asked of the agent")
            .hint("write what it is to be told after the address, or give it a file by `--data`"));
    }
    let (body, name) = match pay.data.as_deref() {
        None => (Vec::new(), None),
        Some("@-") => (read("standard input", std::io::stdin().lock())?, None),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let file = std::fs::File::open(path)
                    .map_err(|e| Failure::misuse(format!("the file {path} cannot be read: {e}")))?;
                (read(path, file)?, Some(path))
            }
            None => (text.as_bytes().to_vec(), None),
        },
    };
    let method = pay
        .method
        .clone()
        .unwrap_or_else(|| if pay.a2a || pay.data.is_some() { "POST" } else { "GET" }.to_string());
    let media_type = pay
        .content_type
        .clone()
        .or_else(|| pay.data.is_some().then(|| media_type(&body, name).to_string()));
    Ok(PayOrder {
        url: pay.url.clone(),
        method: method.to_uppercase(),
        media_type,
        body: STANDARD.encode(body),
        max: pay.max.clone(),
        scheme: pay.scheme.clone(),
        agent: pay.a2a.then(|| AgentOrder { words: pay.words.clone() }),
    })
}

fn read(name: &str, source: impl std::io::Read) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    source
        .take(MAX_BODY + 1)
        .read_to_end(&mut body)
        .map_err(|e| Failure::misuse(format!("{name} cannot be read: {e}")))?;
    if body.len() as u64 > MAX_BODY {
        return Err(Failure::misuse(format!("{name} is larger than {} MB", MAX_BODY >> 20)));
    }
    Ok(body)
}

/// What data is, by how it begins, or by its file's name.
pub fn media_type(body: &[u8], name: Option<&str>) -> &'static str {
    match body {
        [0xff, 0xd8, 0xff, ..] => return "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => return "image/png",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return "image/webp",
        [b'{' | b'[', ..] if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
            return "application/json";
        }
        _ => {}
    }
    match name.and_then(|n| n.rsplit_once('.')).map(|(_, end)| end) {
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some(_) => "application/octet-stream",
        None if std::str::from_utf8(body).is_ok() => "text/plain; charset=utf-8",
        None => "application/octet-stream",
    }
}

fn tell(arguments: &Arguments, pay: &Pay, report: &PayReport) -> Result<(), Failure> {
    let body = STANDARD
        .decode(&report.body)
        .map_err(|_| Failure::new("the running economy sent an answer that cannot be read"))?;
    let failed = report.status >= 400;
    if arguments.json {
        super::print(true, report, String::new)?;
    } else {
        match &report.paid {
            Some(paid) => eprintln!(
                "{} {} to {} ({}); the mandate leaves {}",
                say::good("paid"),
                paid.amount,
                paid.payee.short(),
                paid.transaction.as_ref().map_or_else(
                    || "by a voucher of a channel".to_string(),
                    |t| format!("transaction {t}")
                ),
                paid.mandate_left
            ),
            None if !failed => eprintln!("{}", say::dim("it was free")),
            None => {}
        }
        write_answer(pay, &body)?;
    }
    if failed {
        return Err(Failure::new(format!("{} answered with status {}", pay.url, report.status)));
    }
    Ok(())
}

fn write_answer(pay: &Pay, body: &[u8]) -> Result<(), Failure> {
    if let Some(path) = &pay.output {
        return std::fs::write(path, body).map_err(|e| {
            Failure::new(format!("the answer could not be written to {}: {e}", path.display()))
        });
    }
    let mut out = std::io::stdout().lock();
    let written = out.write_all(body).and_then(|()| {
        // A line of its own at a terminal; the exact bytes in a pipe.
        if std::io::stdout().is_terminal() && !body.ends_with(b"\n") {
            out.write_all(b"\n")
        } else {
            Ok(())
        }
    });
    written.map_err(|e| Failure::new(format!("the answer could not be written: {e}")))
}
