//! What a person asks: words and files.

use market::Digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::Plan;
use crate::quoted::{NAME, quoted};
use crate::service::Service;

/// The most files of one order. Each may be hired for [`MAX_TRIES`](crate::MAX_TRIES) times, and a job
/// hires at most [`market::MAX_CHILDREN`] times, a paragraph included.
pub const MAX_INPUTS: usize = 20;
/// The most bytes of a person's words.
pub const MAX_WORDS: usize = 2_000;
/// The most bytes of a text that a foreman reads itself.
const MAX_TEXT: u64 = 256 << 10;
/// The most bytes of a file's name; what is longer is cut where the order is made.
const MAX_NAME: usize = 512;
/// The most bytes of a media type.
const MAX_MEDIA_TYPE: usize = 100;

/// A file of an order. Its bytes lie elsewhere, under their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// What it is called; a stranger's text, shown and never obeyed.
    pub name: String,
    /// What it is, by its own bytes: `image/jpeg`.
    pub media_type: String,
    /// How long it is.
    pub bytes: u64,
    /// Its bytes' digest.
    pub digest: Digest,
}

/// What a person asks, and of which services the foreman may make it. It is the brief of a composite
/// job, as [`to_json`](Self::to_json) writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// The person's own words.
    pub words: String,
    /// Files, in the person's order.
    pub inputs: Vec<Input>,
    /// What was for sale when it was asked, ascending: so that everyone who reads the order makes the
    /// same plan of it.
    pub services: Vec<Service>,
}

/// Why an order cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderProblem {
    /// It cannot be read.
    #[error("this is no order: {0}")]
    Unreadable(String),
    /// There is nothing to work on.
    #[error("no file was given: name the pictures or files that it is about")]
    NoInputs,
    /// A person is asked nothing.
    #[error("nothing is asked: say in words what a person should do")]
    NoWords,
    /// There are too many files.
    #[error(
        "{given} files are more than the {MAX_INPUTS} of one order: hire for some of them first"
    )]
    TooManyInputs {
        /// How many were given.
        given: usize,
    },
    /// The words are too long.
    #[error("the words are longer than {MAX_WORDS} bytes: say it shorter")]
    TooManyWords,
    /// A file is too large for the machines that would take it.
    #[error("{} has {bytes} bytes, and machines for {} take at most {most}", quoted(.name, NAME), .service.title())]
    TooLarge {
        /// Which.
        name: String,
        /// How long it is.
        bytes: u64,
        /// For which work.
        service: Service,
        /// How long it may be.
        most: u64,
    },
    /// A file is empty.
    #[error("{} is empty: there is nothing to look at", quoted(.name, NAME))]
    Empty {
        /// Which.
        name: String,
    },
    /// Nobody sells what it needs.
    #[error("nobody here sells `{}`, which {} needs", .service.name(), quoted(.name, NAME))]
    NotForSale {
        /// What.
        service: Service,
        /// For which file.
        name: String,
    },
    /// The words ask for work on pictures, and this is none.
    #[error("{} is no picture (it is {media_type}): give JPEG, PNG or WebP files", quoted(.name, NAME))]
    NoPicture {
        /// Which.
        name: String,
        /// What it is.
        media_type: String,
    },
}

/// What the person's words ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// It is about pictures: other files would be a mistake.
    pub pictures: bool,
    /// To say what kinds of file they are.
    pub kinds: bool,
    /// To read what is written on them.
    pub reading: bool,
    /// To write it as a paragraph.
    pub paragraph: bool,
}

impl Wishes {
    /// Reads a person's words, by the words alone that they hold: no grammar, so nothing to be
    /// surprised by.
    fn of(words: &str) -> Wishes {
        let lower = words.to_lowercase();
        let has = |wanted: &[&str]| {
            lower.split(|c: char| !c.is_alphanumeric()).any(|word| wanted.contains(&word))
        };
        Wishes {
            pictures: has(&[
                "picture",
                "pictures",
                "photo",
                "photos",
                "photograph",
                "photographs",
                "image",
                "images",
            ]),
            kinds: has(&["sort", "kind", "kinds", "type", "types", "format", "formats"]),
            reading: has(&[
                "read",
                "reads",
                "text",
                "texts",
                "written",
                "says",
                "say",
                "transcribe",
                "ocr",
                "index",
                "scan",
                "scans",
            ]),
            paragraph: has(&[
                "paragraph",
                "describe",
                "description",
                "summary",
                "summarise",
                "summarize",
                "story",
            ]),
        }
    }
}

impl Input {
    /// Whether it is a short text, which a foreman reads itself.
    pub(crate) fn is_text(&self) -> bool {
        self.media_type.starts_with("text/") && self.bytes <= MAX_TEXT
    }

    pub(crate) fn is_picture(&self) -> bool {
        matches!(self.media_type.as_str(), "image/jpeg" | "image/png" | "image/webp")
    }
}

impl Order {
    /// An order; names that are too long are cut. What foremen and people sell is no work that a plan
    /// is made of.
    pub fn new(words: &str, inputs: Vec<Input>, services: &[Service]) -> Order {
        let mut services: Vec<Service> =
            services.iter().copied().filter(|s| Service::HIRED.contains(s)).collect();
        services.sort_unstable();
        services.dedup();
        let inputs = inputs
            .into_iter()
            .map(|input| Input { name: crate::quoted::plain(&input.name, NAME), ..input })
            .collect();
        Order { words: words.to_owned(), inputs, services }
    }

    /// Canonical JSON: fixed key order, no space.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, whole numbers and lists in derived structs: serialising them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads an order that somebody sent.
    ///
    /// # Errors
    /// What is wrong with it; its bounds are kept before anything else is looked at.
    pub fn from_json(bytes: &[u8]) -> Result<Order, OrderProblem> {
        if bytes.len() as u64 > Service::Compose.max_bytes() {
            return Err(OrderProblem::Unreadable("it is too long".into()));
        }
        let order: Order = serde_json::from_slice(bytes)
            .map_err(|error| OrderProblem::Unreadable(error.to_string()))?;
        let too_long = order
            .inputs
            .iter()
            .any(|i| i.name.len() > MAX_NAME || i.media_type.len() > MAX_MEDIA_TYPE);
        if too_long || order.services.len() > Service::ALL.len() {
            return Err(OrderProblem::Unreadable("a name in it is too long".into()));
        }
        Ok(order)
    }

    /// Whether it can be put before a person: words, and whatever files they are about.
    ///
    /// # Errors
    /// What is missing or too much.
    pub fn suits_a_person(&self) -> Result<(), OrderProblem> {
        if self.words.trim().is_empty() {
            return Err(OrderProblem::NoWords);
        }
        if self.words.len() > MAX_WORDS {
            return Err(OrderProblem::TooManyWords);
        }
        match self.inputs.len() {
            given if given > MAX_INPUTS => Err(OrderProblem::TooManyInputs { given }),
            _ => Ok(()),
        }
    }

    /// What is to be done for it. The same order gives the same plan, always.
    ///
    /// # Errors
    /// Why it cannot be planned, and what to do.
    pub fn plan(&self) -> Result<Plan, OrderProblem> {
        if self.words.len() > MAX_WORDS {
            return Err(OrderProblem::TooManyWords);
        }
        match self.inputs.len() {
            0 => return Err(OrderProblem::NoInputs),
            given if given > MAX_INPUTS => return Err(OrderProblem::TooManyInputs { given }),
            _ => {}
        }
        let wishes = Wishes::of(&self.words);
        let mut wanted = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let services = self.services_for(input, wishes)?;
            if input.bytes == 0 {
                return Err(OrderProblem::Empty { name: input.name.clone() });
            }
            for service in services.iter().copied() {
                if input.bytes > service.max_bytes() {
                    let (name, bytes) = (input.name.clone(), input.bytes);
                    let most = service.max_bytes();
                    return Err(OrderProblem::TooLarge { name, bytes, service, most });
                }
            }
            wanted.push(services);
        }
        let sells = |service| self.services.contains(&service);
        // A paragraph that nobody writes is assembled in plain sentences: said in the answer.
        let writes = wishes.paragraph && sells(Service::Write);
        // Sorted by kind, and with an index of what they say.
        let indexes = wishes.kinds && wishes.reading;
        Ok(Plan::new(self.clone(), wanted, writes, indexes))
    }

    /// What is done with a file, at least one thing.
    fn services_for(&self, input: &Input, wishes: Wishes) -> Result<Vec<Service>, OrderProblem> {
        let sells = |service| self.services.contains(&service);
        // To be sorted is for files of all kinds; what is written on pictures is read besides.
        if wishes.kinds && wishes.reading && sells(Service::FileKind) {
            let reads = input.is_picture() && sells(Service::Read);
            return Ok([Service::FileKind]
                .into_iter()
                .chain(reads.then_some(Service::Read))
                .collect());
        }
        let wanted = match input.is_picture() {
            true if wishes.kinds && !wishes.reading && !wishes.pictures => Service::FileKind,
            // Reading is asked for, and somebody reads: else it is at least said what is shown.
            true if wishes.reading && sells(Service::Read) => Service::Read,
            true => Service::Classify,
            false if wishes.pictures && !wishes.kinds => {
                let (name, media_type) = (input.name.clone(), input.media_type.clone());
                return Err(OrderProblem::NoPicture { name, media_type });
            }
            false => Service::FileKind,
        };
        if sells(wanted) {
            Ok(vec![wanted])
        } else {
            Err(OrderProblem::NotForSale { service: wanted, name: input.name.clone() })
        }
    }
}
