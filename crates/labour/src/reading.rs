//! The reading machine: a picture of a page in, its lines of text out.
//!
//! PP-OCRv4's small networks (PaddlePaddle): one finds lines ([`crate::text_lines`]), the other reads
//! each by itself, 48 pixels high, and says for every few pixels which character stands there, or none
//! (A. Graves and others, *Connectionist Temporal Classification*, ICML 2006): equal neighbours are one
//! character, and "none" parts them. It knows English and simplified Chinese. Lines may slant, and
//! run from above to below; a page that is upside down is not turned round.
//!
//! A picture is brought to a shorter side of at least [`LEAST_SIDE`] pixels for finding lines, as the
//! networks' makers do it, and to a longer one of at most [`MOST_SIDE`]; lines are read from the picture
//! as it came. The same picture gives the same bytes: a lane of one thread, each line by itself, whole
//! pixels and parts per million.
//!
//! Bounds: [`MOST_LINES`] are read, and the answer says how many were not; a line is at most
//! [`MOST_WIDTH`] wide when it is 48 high, and squeezed beyond.

use std::time::Instant;

use serde::Serialize;

use crate::LabourError;
use crate::cache::{Cache, read_genuine};
use crate::fetch::{FetchProgress, fetch, unwatched};
use crate::lanes::Lanes;
use crate::manifest::manifest;
use crate::meter::{Measured, Meter};
use crate::picture::{Format, MAX_BYTES, Picture, decode, prepare_page};
use crate::runtime::{Network, pins};
use crate::tensor::Tensor;
use crate::text_lines::{Map, Point, Slanted};
use crate::vision::PictureInfo;
use crate::worker::{Pins, Work, Worker, WorkerInfo};

/// Pages read at the same time.
pub const LANES: usize = 2;
/// The most lines of a page that are read.
pub const MOST_LINES: usize = 256;
/// The shorter side that a small picture is stretched to, pixels.
pub const LEAST_SIDE: usize = 736;
/// The longer side that a large picture is shrunk to, pixels.
pub const MOST_SIDE: usize = 1_600;
/// The widest that a line is read, pixels.
pub const MOST_WIDTH: usize = 3_200;

/// Sides that the finding network takes are multiples of this.
const STEP: usize = 32;
/// How high a line is read, pixels.
const LINE_HEIGHT: usize = 48;
/// The least width of a line's input; shorter lines have grey after them.
const LEAST_WIDTH: usize = 320;
/// Mean probability below which a line is not believed.
const BELIEVED: f64 = 0.5;
/// A line this many times higher than long runs from above to below.
const UPRIGHT: f64 = 1.5;

const MILLION: f64 = 1e6;

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextLine {
    /// What it says.
    pub text: String,
    /// How sure the network was, the mean over its characters, parts per million.
    pub score_ppm: u32,
    /// Its corners, pixels to the right and down: left upper, right upper, right lower, left lower.
    pub corners: [[u32; 2]; 4],
}

/// What the machine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The model, with the head of its finding and of its reading network's sha256.
    pub model: String,
    /// The picture.
    pub picture: PictureInfo,
    /// The lines as they are read: rows from above, each from the left.
    pub lines: Vec<TextLine>,
    /// Lines that were found beyond [`MOST_LINES`], and not read.
    pub unread: usize,
}

impl Page {
    /// Canonical JSON: fixed key order, no space, integers only.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers in derived structs: serialising them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The whole text, a line of the page a line.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// The two networks of a lane.
struct Eyes {
    finder: Network,
    reader: Network,
}

/// A machine that reads. Share it behind an `Arc`.
pub struct ReadingWorker {
    info: WorkerInfo,
    pins: Pins,
    meter: Meter,
    /// What the reading network's outputs mean; the first means none.
    characters: Vec<String>,
    lanes: Lanes<Eyes>,
}

impl ReadingWorker {
    /// Loads the machine, fetching in silence what is not in the cache. Blocks.
    ///
    /// # Errors
    /// As [`ReadingWorker::load_with`].
    pub fn load(cache: &Cache) -> Result<Self, LabourError> {
        Self::load_with(cache, &unwatched)
    }

    /// Loads the machine and tells how fetching goes. Blocks.
    ///
    /// # Errors
    /// Whatever [`fetch`] meets; [`LabourError::BrokenModel`] or [`LabourError::Runtime`] if what was
    /// fetched cannot be used.
    pub fn load_with(
        cache: &Cache,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let model = fetch(cache, manifest("pp-ocrv4")?, progress)?;
        let runtime = fetch(cache, manifest("onnxruntime")?, progress)?;
        let [(finder, pinned_finder), (reader, pinned_reader)] = model.files() else {
            return Err(broken(&model.manifest().name, "it has not two files"));
        };
        let finder = read_genuine(finder, pinned_finder)?;
        let reader = read_genuine(reader, pinned_reader)?;
        let mut characters = None;
        let lanes = Lanes::new(LANES, || {
            let network = |model: &[u8]| Network::load_for_any_length(runtime.path(), model);
            let eyes = Eyes { finder: network(&finder)?, reader: network(&reader)? };
            characters = characters.take().or_else(|| eyes.reader.note("character"));
            Ok(eyes)
        })?;
        let characters = characters
            .ok_or_else(|| broken(&pinned_reader.name, "it does not name its characters"))?;
        let named = characters.lines().map(str::to_owned);
        let characters = std::iter::once(String::new()).chain(named).chain([" ".to_owned()]);

        let pinned = model.manifest();
        let both = |length: usize| {
            format!("{}+{}", &pinned_finder.sha256[..length], &pinned_reader.sha256[..length])
        };
        let info = WorkerInfo {
            name: "text/read",
            summary: pinned.summary.clone(),
            model: format!("{}@{}", pinned.name, both(8)),
            licence: pinned.licence.clone(),
            takes: [Format::Jpeg, Format::Png, Format::Webp].map(Format::media_type).to_vec(),
            gives: "application/json",
            max_bytes: MAX_BYTES,
        };
        let pins = Pins { weights: both(64), ..pins(&model, &runtime) };
        let meter = Meter::new("page");
        Ok(ReadingWorker { info, pins, meter, characters: characters.collect(), lanes })
    }

    /// Reads a page.
    ///
    /// # Errors
    /// An input error for a bad picture.
    pub fn read(&self, picture: &[u8]) -> Result<Page, LabourError> {
        self.lanes.with(|eyes| {
            let started = Instant::now();
            let picture = decode(picture)?;
            let mut found = find(&mut eyes.finder, &picture)?;
            let unread = found.len().saturating_sub(MOST_LINES);
            found.truncate(MOST_LINES);
            let mut lines = Vec::new();
            for corners in found {
                lines.extend(self.line(&mut eyes.reader, &picture, corners)?);
            }
            self.meter.add(1, started.elapsed());
            Ok(Page {
                model: self.info.model.clone(),
                picture: PictureInfo {
                    format: picture.format(),
                    width: picture.width(),
                    height: picture.height(),
                },
                lines,
                unread,
            })
        })
    }

    /// Reads a line, if it can be believed.
    fn line(
        &self,
        reader: &mut Network,
        picture: &Picture,
        corners: [Point; 4],
    ) -> Result<Option<TextLine>, LabourError> {
        let chances = reader.run_shaped(&straightened(picture, corners))?;
        let [1, steps, outputs] = chances.shape[..] else {
            return Err(unusable(format!("an answer of shape {:?}", chances.shape)));
        };
        if outputs != self.characters.len() || chances.data.len() != steps * outputs {
            let known = self.characters.len();
            return Err(unusable(format!("{outputs} outputs for {known} characters")));
        }
        let (mut text, mut sum, mut count, mut before) = (String::new(), 0.0, 0_u32, 0);
        for step in chances.data.chunks_exact(outputs) {
            let (mut likeliest, mut chance) = (0, f32::MIN);
            for (index, &value) in step.iter().enumerate() {
                if value > chance {
                    (likeliest, chance) = (index, value);
                }
            }
            if likeliest != 0 && likeliest != before {
                text.push_str(&self.characters[likeliest]);
                sum += f64::from(chance);
                count += 1;
            }
            before = likeliest;
        }
        let text = text.trim();
        let score = if count == 0 { 0.0 } else { sum / f64::from(count) };
        if text.is_empty() || score < BELIEVED {
            return Ok(None);
        }
        let (width, height) = (picture.width(), picture.height());
        let corners = corners.map(|Point { x, y }| {
            // Within the picture, so it fits.
            let whole = |at: f64, most: u32| at.round().clamp(0.0, f64::from(most)) as u32;
            [whole(x, width), whole(y, height)]
        });
        let score_ppm = (score.clamp(0.0, 1.0) * MILLION).round() as u32;
        Ok(Some(TextLine { text: text.to_owned(), score_ppm, corners }))
    }
}

/// The lines of a picture, by their corners in its pixels, in reading order.
fn find(finder: &mut Network, picture: &Picture) -> Result<Vec<[Point; 4]>, LabourError> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (across, down) = looked_at(width, height);
    let answer = finder.run_shaped(&prepare_page(picture, across, down))?;
    if answer.shape != [1, 1, down, across] || answer.data.len() != across * down {
        return Err(unusable(format!("a map of shape {:?}", answer.shape)));
    }
    let map = Map { width: across, height: down, values: &answer.data };
    let scale = |Point { x, y }: Point| Point {
        x: x / across as f64 * width as f64,
        y: y / down as f64 * height as f64,
    };
    Ok(map.lines().iter().map(|line: &Slanted| line.corners().map(scale)).collect())
}

/// Width and height at which lines are looked for.
fn looked_at(width: usize, height: usize) -> (usize, usize) {
    let (shorter, longer) = (width.min(height) as f64, width.max(height) as f64);
    let wanted = (LEAST_SIDE as f64 / shorter).max(1.0);
    let scale = wanted.min(MOST_SIDE as f64 / longer);
    let side = |side: usize| {
        let steps = (side as f64 * scale / STEP as f64).round() as usize;
        (steps * STEP).clamp(STEP, MOST_SIDE)
    };
    (side(width), side(height))
}

/// A line as the reading network takes it: level, 48 high, `x / 127.5 − 1`, blue first, then grey.
fn straightened(picture: &Picture, corners: [Point; 4]) -> Tensor {
    let apart = |a: Point, b: Point| ((a.x - b.x).powi(2) + (a.y - b.y).powi(2)).sqrt();
    let [a, b, c, d] = corners;
    let (length, height) = (apart(a, b).max(apart(d, c)), apart(a, d).max(apart(b, c)));
    // From above to below: what is right becomes up.
    let upright = height >= UPRIGHT * length;
    let ([a, b, c, d], length, height) =
        if upright { ([b, c, d, a], height, length) } else { ([a, b, c, d], length, height) };
    let height = height.max(1.0);
    let width = (LINE_HEIGHT as f64 * length / height).ceil();
    let width = (width as usize).clamp(1, MOST_WIDTH);
    let room = width.max(LEAST_WIDTH);
    // Looks per pixel, so that none of a large picture's pixels is left out.
    let looks = |from: f64, to: usize| ((from / to as f64).ceil() as usize).clamp(1, 16);
    let (across, down) = (looks(length, width), looks(height, LINE_HEIGHT));
    let mut data = vec![0_f32; 3 * LINE_HEIGHT * room];
    for y in 0..LINE_HEIGHT {
        for x in 0..width {
            let mut sum = [0_f32; 3];
            for i in 0..down * across {
                let part = |at: usize, look: usize, of: usize, side: usize| {
                    (at as f64 + (look as f64 + 0.5) / of as f64) / side as f64
                };
                let u = part(x, i % across, across, width);
                let v = part(y, i / across, down, LINE_HEIGHT);
                let between = |a: f64, b: f64, c: f64, d: f64| {
                    (1.0 - v) * ((1.0 - u) * a + u * b) + v * ((1.0 - u) * d + u * c)
                };
                let place = (between(a.x, b.x, c.x, d.x), between(a.y, b.y, c.y, d.y));
                // A pixel's middle is half a pixel from its edge.
                let light = picture.light((place.0 - 0.5) as f32, (place.1 - 0.5) as f32);
                (0..3).for_each(|plane| sum[plane] += light[plane]);
            }
            for (plane, sum) in sum.iter().enumerate() {
                let light = sum / (down * across) as f32;
                data[((2 - plane) * LINE_HEIGHT + y) * room + x] = light / 127.5 - 1.0;
            }
        }
    }
    Tensor { shape: vec![1, 3, LINE_HEIGHT, room], data }
}

fn broken(file: &str, reason: &str) -> LabourError {
    LabourError::BrokenModel { file: file.to_owned(), reason: reason.to_owned() }
}

fn unusable(message: String) -> LabourError {
    LabourError::Runtime { doing: "give a usable answer", message }
}

impl Worker for ReadingWorker {
    fn describe(&self) -> &WorkerInfo {
        &self.info
    }

    fn pins(&self) -> &Pins {
        &self.pins
    }

    fn measured(&self) -> Measured {
        self.meter.measured()
    }

    fn work(&self, input: &[u8]) -> Result<Work, LabourError> {
        let bytes = self.read(input)?.to_json();
        Ok(Work { media_type: self.info.gives, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_are_stretched_large_ones_shrunk_and_none_leaves_the_bounds() {
        assert_eq!(looked_at(384, 191), (1_472, 736));
        assert_eq!(looked_at(4_000, 3_000), (1_600, 1_216));
        assert_eq!(looked_at(1_000, 800), (992, 800));
        for (width, height) in [(1, 1), (8_192, 1), (1, 8_192), (8_192, 4_882)] {
            let (across, down) = looked_at(width, height);
            for side in [across, down] {
                assert!(side % STEP == 0 && (STEP..=MOST_SIDE).contains(&side), "{width} {height}");
            }
        }
    }
}
