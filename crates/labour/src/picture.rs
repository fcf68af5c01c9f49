//! Pictures from strangers, and what the network sees of them.
//!
//! **Decoding** ([`decode`]): JPEG, PNG, WebP, told by their first bytes. Of an animation the first
//! frame is used. EXIF orientation is applied. Transparent pixels lie on white, as on a page.
//! Sixteen-bit and grey pictures become 8-bit RGB; colour profiles are not applied.
//!
//! Bounds: [`MAX_BYTES`] in; [`MAX_SIDE`], [`MAX_PIXELS`] and [`MAX_UNPACKED`], checked on what the
//! header announces, before anything is allocated for it. The worst, a progressive
//! JPEG of 40 megapixels, takes 350 MB and a second (measured). A picture cut short is refused:
//! nobody should pay for a guess about half a picture.
//!
//! **Preparing** ([`prepare`]): as EfficientNet's own evaluation does it. The central square of side
//! `224/(224+32) · min(width, height)` is cut out and resampled to 224×224 with a cubic filter
//! (a = −½) that widens as it shrinks, so that nothing aliases; then `(x − 127) / 128`, in planes.
//! Done here in plain `f32` and fixed order, so that the same pixels give the same bits. About 1.5
//! ms for a photograph of 640×427.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{
    DynamicImage, GenericImageView as _, ImageDecoder, ImageError, ImageFormat, ImageReader,
    Limits, RgbImage,
};
use serde::Serialize;

use crate::LabourError;
use crate::efficientnet::SIDE;
use crate::tensor::Tensor;

/// The heaviest file read: 8 MiB.
pub const MAX_BYTES: usize = 8 << 20;
/// The most pixels along a side.
pub const MAX_SIDE: u32 = 8192;
/// The most pixels in all: 40 million.
pub const MAX_PIXELS: u64 = 40_000_000;
/// The most memory that unpacked pixels may take: 256 MiB.
pub const MAX_UNPACKED: u64 = 256 << 20;

/// The kinds of file that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG, also the first frame of an animated one.
    Png,
    /// WebP, lossy or lossless, also the first frame of an animated one.
    Webp,
}

impl Format {
    /// The media type, e.g. `image/jpeg`.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Webp => "image/webp",
        }
    }
}

/// A decoded picture, upright, opaque, 8-bit RGB.
#[derive(Clone, Debug)]
pub struct Picture {
    pixels: RgbImage,
    format: Format,
}

/// Another view of a picture: a part of it, perhaps mirrored. Shares are parts per thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// How much of each side is kept, at least 1.
    pub keep: u16,
    /// Where in the rest of the width it begins.
    pub left: u16,
    /// Where in the rest of the height it begins.
    pub top: u16,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl Picture {
    /// Another view of it, as a file of this format.
    ///
    /// # Errors
    /// [`LabourError::NotAPicture`] if it cannot be written so.
    pub fn seen(&self, view: View, format: Format) -> Result<Vec<u8>, LabourError> {
        let part = |side: u32, share: u16| side * u32::from(share.min(1_000)) / 1_000;
        let (width, height) = (self.width(), self.height());
        let (across, down) = (part(width, view.keep).max(1), part(height, view.keep).max(1));
        let (left, top) = (part(width - across, view.left), part(height - down, view.top));
        let mut seen = self.pixels.view(left, top, across, down).to_image();
        if view.mirrored {
            image::imageops::flip_horizontal_in_place(&mut seen);
        }
        let format = match format {
            Format::Jpeg => ImageFormat::Jpeg,
            Format::Png => ImageFormat::Png,
            Format::Webp => ImageFormat::WebP,
        };
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(seen)
            .write_to(&mut file, format)
            .map_err(|error| LabourError::NotAPicture { reason: error.to_string() })?;
        Ok(file.into_inner())
    }

    /// Pixels from left to right.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// The light at a place between pixels, red, green, blue, 0 to 255: of the four pixels around, each
    /// as much as it is near. Beyond the edge it is as at the edge.
    pub(crate) fn light(&self, x: f32, y: f32) -> [f32; 3] {
        let near = |at: f32, side: u32| {
            let at = at.clamp(0.0, (side - 1) as f32);
            let first = (at as u32).min(side - 1);
            (first, (first + 1).min(side - 1), at - first as f32)
        };
        let (left, right, across) = near(x, self.width());
        let (top, bottom, down) = near(y, self.height());
        let at = |x, y| self.pixels.get_pixel(x, y).0.map(f32::from);
        let (a, b, c, d) = (at(left, top), at(right, top), at(left, bottom), at(right, bottom));
        std::array::from_fn(|i| {
            let upper = a[i] + (b[i] - a[i]) * across;
            let lower = c[i] + (d[i] - c[i]) * across;
            upper + (lower - upper) * down
        })
    }

    /// The kind of file it came from.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// The kind of picture that these bytes begin as, if it is one that is read here. Looks at the first
/// bytes only.
///
/// # Errors
/// [`LabourError::NoPicture`], [`LabourError::UnsupportedPicture`] or [`LabourError::NotAPicture`].
pub fn format_of(bytes: &[u8]) -> Result<Format, LabourError> {
    if bytes.is_empty() {
        return Err(LabourError::NoPicture);
    }
    let format = image::guess_format(bytes).map_err(|_| LabourError::NotAPicture {
        reason: "it does not begin like any kind of picture".into(),
    })?;
    let other = match format {
        ImageFormat::Jpeg => return Ok(Format::Jpeg),
        ImageFormat::Png => return Ok(Format::Png),
        ImageFormat::WebP => return Ok(Format::Webp),
        ImageFormat::Gif => "a GIF",
        ImageFormat::Tiff => "a TIFF",
        ImageFormat::Bmp => "a BMP",
        ImageFormat::Ico => "an icon",
        ImageFormat::Avif => "an AVIF",
        _ => "a rare kind of picture",
    };
    Err(LabourError::UnsupportedPicture { format: other })
}

/// Decodes a picture within the bounds that the module's head states.
///
/// # Errors
/// Only such that [`LabourError::is_input_error`].
pub fn decode(bytes: &[u8]) -> Result<Picture, LabourError> {
    if bytes.len() > MAX_BYTES {
        return Err(LabourError::PictureTooHeavy { bytes: bytes.len(), limit: MAX_BYTES });
    }
    let format = format_of(bytes)?;
    // The decoders are other people's code, and arithmetic traps in this program: a hostile picture
    // that finds a hole there costs its sender an answer, and no one else anything.
    catch_unwind(AssertUnwindSafe(|| unpack(bytes, format))).unwrap_or_else(|_| {
        Err(LabourError::NotAPicture { reason: "the decoder could not cope with it".into() })
    })
}

fn unpack(bytes: &[u8], format: Format) -> Result<Picture, LabourError> {
    let image_format = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Webp => ImageFormat::WebP,
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_UNPACKED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image_format);
    reader.limits(limits.clone());
    let outline = match format {
        Format::Jpeg => outline_of_jpeg(bytes),
        Format::Png => outline_of_png(bytes),
        // Its decoder reads the header without allocating for it, and refuses what is cut short.
        Format::Webp => Outline { size: None, whole: true },
    };
    let announced = outline.size;
    if let Some((width, height)) = announced.filter(|&(width, height)| !fits(width, height)) {
        return Err(LabourError::PictureTooLarge { width, height });
    }
    let mut decoder = reader.into_decoder().map_err(|e| refusal(e, announced))?;

    let (width, height) = decoder.dimensions();
    if !fits(width, height) || decoder.total_bytes() > MAX_UNPACKED {
        return Err(LabourError::PictureTooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(LabourError::NotAPicture { reason: "it has no pixels".into() });
    }
    if !outline.whole {
        return Err(LabourError::NotAPicture { reason: "it is cut short".into() });
    }
    let refused = |e| refusal(e, Some((width, height)));
    decoder.set_limits(limits).map_err(refused)?;
    let orientation = decoder.orientation().map_err(refused)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refused)?;
    image.apply_orientation(orientation);
    Ok(Picture { pixels: on_white(image), format })
}

/// Our words for the image library's error.
fn refusal(error: ImageError, size: Option<(u32, u32)>) -> LabourError {
    match (error, size) {
        (ImageError::Limits(_), Some((width, height))) => {
            LabourError::PictureTooLarge { width, height }
        }
        (error, _) => LabourError::NotAPicture { reason: error.to_string() },
    }
}

/// What a file's structure tells before any decoder sees it.
#[derive(Default)]
struct Outline {
    /// Width and height that the header announces.
    size: Option<(u32, u32)>,
    /// Whether the end is there, where the decoder would not miss it.
    whole: bool,
}

/// The size in a PNG's first chunk (W3C PNG, 11.2.1). The decoder itself misses a missing end.
fn outline_of_png(bytes: &[u8]) -> Outline {
    let side = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    Outline { size: side(16).zip(side(20)), whole: true }
}

/// Walks a JPEG's markers (ITU-T T.81, annex B) to its end-of-image marker; without one, the decoder
/// would paint the missing part grey. One pass; thumbnails inside segments are skipped.
fn outline_of_jpeg(bytes: &[u8]) -> Outline {
    let mut outline = Outline::default();
    let mut at = 2;
    loop {
        // To the next marker, over entropy-coded data with its stuffed zeros and restart markers.
        let rest = bytes.get(at..).unwrap_or(&[]);
        let Some(skip) = rest.iter().position(|&b| b == 0xff) else { return outline };
        let marker = &rest[skip + 1..];
        at += skip + 1;
        match *marker {
            [] => return outline,
            [0xd9, ..] => return Outline { whole: true, ..outline },
            [0xff, ..] => {}
            [0x00 | 0x01 | 0xd0..=0xd8, ..] => at += 1,
            [kind, high, low, ref segment @ ..] => {
                // SOF0 to SOF15, less the three numbers that mean something else.
                let frame = matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
                if let (true, &[_, h1, h0, w1, w0, ..]) = (frame, segment) {
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    outline.size.get_or_insert((side(w1, w0), side(h1, h0)));
                }
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
            [_, ..] => return outline,
        }
    }
}

/// Whether so many pixels are unpacked at all.
fn fits(width: u32, height: u32) -> bool {
    let pixels = u64::from(width) * u64::from(height);
    width <= MAX_SIDE && height <= MAX_SIDE && pixels <= MAX_PIXELS
}

/// Opaque RGB: what is transparent lets white through.
fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    let blend = |colour: u8, alpha: u8| {
        let (colour, alpha) = (u32::from(colour), u32::from(alpha));
        // At most (255·255 + 127) / 255, so it fits.
        ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0;
        image::Rgb([blend(r, a), blend(g, a), blend(b, a)])
    })
}

/// The picture as EfficientNet-Lite0 takes it: shape 1×3×224×224.
pub fn prepare(picture: &Picture) -> Tensor {
    prepare_for(picture, SIDE)
}

/// The picture as a network takes it: shape 1×3×`to`×`to`. `to` is at least 1.
pub fn prepare_for(picture: &Picture, to: usize) -> Tensor {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let side = crop_side(width.min(height), to);
    let columns = taps((width - side) / 2, side, to);
    let rows = taps((height - side) / 2, side, to);
    let mut data = vec![0f32; 3 * to * to];
    resample(picture, &columns, &rows, |plane, y, x, value| {
        data[(plane * to + y) * to + x] = (value - 127.0) / 128.0;
    });
    Tensor { shape: vec![1, 3, to, to], data }
}

/// The whole picture, stretched or shrunk to `width`×`height`, in planes: shape 1×3×height×width,
/// blue first, `x / 127.5 − 1`, as PP-OCR's networks were taught.
pub(crate) fn prepare_page(picture: &Picture, width: usize, height: usize) -> Tensor {
    let columns = taps(0, picture.width() as usize, width);
    let rows = taps(0, picture.height() as usize, height);
    let mut data = vec![0f32; 3 * width * height];
    resample(picture, &columns, &rows, |plane, y, x, value| {
        data[((2 - plane) * height + y) * width + x] = value / 127.5 - 1.0;
    });
    Tensor { shape: vec![1, 3, height, width], data }
}

/// Resamples a picture, and tells plane (red, green, blue), row, column and light, 0 to 255, of each
/// pixel: first along the rows, for those rows that are needed, then down the columns.
fn resample(
    picture: &Picture,
    columns: &[Tap],
    rows: &[Tap],
    mut put: impl FnMut(usize, usize, usize, f32),
) {
    let (width, to) = (picture.width() as usize, columns.len());
    let source = picture.pixels.as_raw();
    let top = rows.first().map_or(0, |tap| tap.first);
    let bottom = rows.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(top);
    let mut narrow = vec![0f32; (bottom - top) * to * 3];
    for (y, line) in (top..bottom).zip(narrow.chunks_exact_mut(to * 3)) {
        let row = &source[y * width * 3..][..width * 3];
        for (tap, pixel) in columns.iter().zip(line.chunks_exact_mut(3)) {
            let mut sum = [0f32; 3];
            for (rgb, weight) in row[tap.first * 3..].chunks_exact(3).zip(&tap.weights) {
                sum[0] += f32::from(rgb[0]) * weight;
                sum[1] += f32::from(rgb[1]) * weight;
                sum[2] += f32::from(rgb[2]) * weight;
            }
            pixel.copy_from_slice(&sum);
        }
    }
    let mut line = vec![0f32; to * 3];
    for (y, tap) in rows.iter().enumerate() {
        line.fill(0.0);
        let lines = narrow[(tap.first - top) * to * 3..].chunks_exact(to * 3);
        for (from, weight) in lines.zip(&tap.weights) {
            line.iter_mut().zip(from).for_each(|(sum, value)| *sum += value * weight);
        }
        for (x, pixel) in line.chunks_exact(3).enumerate() {
            for (plane, value) in pixel.iter().enumerate() {
                // The cubic filter overshoots at edges; light does not.
                put(plane, y, x, value.clamp(0.0, 255.0));
            }
        }
    }
}

/// Side of the central square: of the shorter side `to` of `to` + 32 parts, at least a pixel.
fn crop_side(shorter: usize, to: usize) -> usize {
    (shorter * to / (to + 32)).max(1)
}

/// The source pixels, from `first` on, that make one resampled pixel. The weights sum to 1.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// Taps that shrink, or stretch, `length` pixels from `start` on to `to` pixels.
fn taps(start: usize, length: usize, to: usize) -> Vec<Tap> {
    let scale = length as f64 / to as f64;
    let widen = scale.max(1.0);
    let reach = 2.0 * widen;
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Float to integer conversion saturates; both ends lie within the crop.
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(length);
        let weight = |x: usize| cubic((x as f64 + 0.5 - centre) / widen);
        let sum: f64 = (first..end).map(weight).sum();
        let weights = (first..end).map(|x| (weight(x) / sum) as f32).collect();
        Tap { first: start + first, weights }
    };
    (0..to).map(tap).collect()
}

/// Keys' cubic convolution kernel with a = −½ (IEEE Trans. ASSP 29(6), 1981, eq. 15).
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}
