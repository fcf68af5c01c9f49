//! Pictures from strangers: what is read, and what is refused before it can do harm.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use labour::LabourError;
use labour::picture::{Format, MAX_BYTES, decode, format_of, prepare};
use proptest::prelude::*;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("it is encoded");
    bytes.into_inner()
}

/// A picture in which every pixel differs from its neighbours, so that it does not compress away.
fn busy(width: u32, height: u32) -> DynamicImage {
    let hash = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 7;
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, _] = hash(x, y).to_le_bytes();
        Rgb([r, g, b])
    })
    .into()
}

fn png_header(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([depth, colour, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(13u32.to_be_bytes());
    png.extend(&chunk);
    png.extend(crc32(&chunk).to_be_bytes());
    // An empty IDAT, so that a decoder gets as far as the pixels.
    png.extend(0u32.to_be_bytes());
    png.extend(b"IDAT");
    png.extend(crc32(b"IDAT").to_be_bytes());
    png
}

/// CRC-32 as PNG uses it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 },
        )
    })
}

fn refused(bytes: &[u8]) -> LabourError {
    let error = decode(bytes).expect_err("it is refused");
    assert!(error.is_input_error(), "{error}");
    error
}

#[test]
fn the_three_formats_are_read() {
    for (format, ours) in [
        (ImageFormat::Jpeg, Format::Jpeg),
        (ImageFormat::Png, Format::Png),
        (ImageFormat::WebP, Format::Webp),
    ] {
        let picture = decode(&encoded(&busy(61, 37), format)).unwrap();
        assert_eq!((picture.width(), picture.height(), picture.format()), (61, 37, ours));
    }
}

#[test]
fn nothing_is_no_picture() {
    assert!(matches!(refused(b""), LabourError::NoPicture));
}

#[test]
fn text_is_no_picture() {
    assert!(matches!(refused(b"{\"picture\": true}"), LabourError::NotAPicture { .. }));
}

#[test]
fn another_format_is_named() {
    let error = refused(b"GIF89a\x01\x00\x01\x00");
    assert!(error.to_string().contains("a GIF"), "{error}");
}

#[test]
fn a_header_that_announces_ten_gigapixels_is_refused() {
    let error = refused(&png_header(100_000, 100_000, 8, 2));
    assert!(
        matches!(error, LabourError::PictureTooLarge { width: 100_000, height: 100_000 }),
        "{error}"
    );
}

#[test]
fn sides_within_bounds_may_still_be_too_many_pixels() {
    let error = refused(&png_header(8192, 8192, 8, 2));
    assert!(matches!(error, LabourError::PictureTooLarge { width: 8192, .. }), "{error}");
}

#[test]
fn pixels_within_bounds_may_still_be_too_much_memory() {
    // 36 megapixels of eight bytes: 288 MB.
    let error = refused(&png_header(6000, 6000, 16, 6));
    assert!(matches!(error, LabourError::PictureTooLarge { width: 6000, .. }), "{error}");
}

#[test]
fn a_highly_compressed_picture_beyond_the_bounds_is_refused() {
    let flat = DynamicImage::new_luma8(8000, 5001);
    let bomb = encoded(&flat, ImageFormat::Png);
    assert!(bomb.len() < 200_000, "{} bytes unpack to 40 MB", bomb.len());
    assert!(matches!(refused(&bomb), LabourError::PictureTooLarge { .. }));
}

#[test]
fn a_highly_compressed_picture_within_the_bounds_is_read() {
    let flat = encoded(&DynamicImage::new_luma8(4000, 4000), ImageFormat::Png);
    assert_eq!(decode(&flat).unwrap().width(), 4000);
}

#[test]
fn a_jpeg_of_the_largest_size_that_its_header_can_tell_is_refused() {
    let mut jpeg = encoded(&busy(16, 16), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).expect("a frame header");
    jpeg[frame + 5..frame + 9].fill(0xff);
    let error = refused(&jpeg);
    assert!(matches!(error, LabourError::PictureTooLarge { width: 65535, .. }), "{error}");
}

#[test]
fn a_file_that_is_too_heavy_is_refused_unread() {
    let mut bytes = encoded(&busy(8, 8), ImageFormat::Png);
    bytes.resize(MAX_BYTES + 1, 0);
    assert!(matches!(refused(&bytes), LabourError::PictureTooHeavy { .. }));
}

#[test]
fn a_picture_cut_short_anywhere_is_refused() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encoded(&busy(64, 48), format);
        // A PNG is complete without its last chunk, which is empty.
        let needed = if format == ImageFormat::Png { whole.len() - 12 } else { whole.len() };
        for length in (1..needed).step_by(whole.len() / 97 + 1).chain([needed - 9]) {
            refused(&whole[..length]);
        }
    }
}

/// An animated WebP of 40×30: a red frame, then a blue one.
const ANIMATION: &str = concat!(
    "524946468400000057454250565038580a000000020000002700001d0000414e494d060000000000",
    "00000000414e4d46280000000000000000002700001d0000640000025650384c0f0000002f274007",
    "000710fd8ffe0722a2ff0100414e4d46280000000000000000002700001d0000640000005650384c",
    "0f0000002f274007000710d1fffe0722a2ff0100",
);

#[test]
fn of_an_animation_the_first_frame_is_seen() {
    let byte = |i: usize| u8::from_str_radix(&ANIMATION[i..i + 2], 16).expect("hex");
    let animation: Vec<u8> = (0..ANIMATION.len()).step_by(2).map(byte).collect();
    let picture = decode(&animation).unwrap();
    assert_eq!((picture.width(), picture.height()), (40, 30));
    let tensor = prepare(&picture);
    let (red, blue) = (tensor.data[0], tensor.data[2 * 224 * 224]);
    assert!(red > 0.99 && blue < -0.99, "{red} {blue}");
}

#[test]
fn what_is_transparent_lies_on_white() {
    let clear = RgbaImage::from_pixel(20, 20, Rgba([0, 0, 0, 0]));
    let white = RgbImage::from_pixel(20, 20, Rgb([255, 255, 255]));
    let clear = decode(&encoded(&clear.into(), ImageFormat::Png)).unwrap();
    let white = decode(&encoded(&white.into(), ImageFormat::Png)).unwrap();
    assert_eq!(prepare(&clear), prepare(&white));
}

#[test]
fn exif_orientation_is_applied() {
    let jpeg = encoded(&busy(40, 20), ImageFormat::Jpeg);
    // APP1 with a TIFF of one entry: tag 0x0112 (orientation), type SHORT, count 1, value 6.
    let mut app1 =
        b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
            .to_vec();
    app1.extend([0; 4]);
    let turned = [&jpeg[..2], &app1, &jpeg[2..]].concat();
    let picture = decode(&turned).unwrap();
    assert_eq!((picture.width(), picture.height()), (20, 40));
}

#[test]
fn one_colour_stays_that_colour_at_any_size() {
    for (width, height) in [(1, 1), (2, 900), (900, 2), (224, 224), (256, 256), (1000, 700)] {
        let grey = RgbImage::from_pixel(width, height, Rgb([191, 127, 63]));
        let picture = decode(&encoded(&grey.into(), ImageFormat::Png)).unwrap();
        let tensor = prepare(&picture);
        assert_eq!(tensor.shape, [1, 3, 224, 224]);
        for (plane, colour) in tensor.data.chunks(224 * 224).zip([0.5, 0.0, -0.5]) {
            assert!(plane.iter().all(|v| (v - colour).abs() < 1e-4), "{width}×{height}");
        }
    }
}

#[test]
fn a_square_of_256_is_cropped_and_not_resampled() {
    let picture = busy(256, 256);
    let tensor = prepare(&decode(&encoded(&picture, ImageFormat::Png)).unwrap());
    let pixels = picture.into_rgb8();
    for (x, y) in [(0, 0), (17, 200), (223, 223)] {
        let Rgb(rgb) = *pixels.get_pixel(x + 16, y + 16);
        for (plane, value) in rgb.into_iter().enumerate() {
            let found = tensor.data[(plane * 224 + y as usize) * 224 + x as usize];
            assert!((found - (f32::from(value) - 127.0) / 128.0).abs() < 1e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_at_all_make_the_decoder_fail_otherwise_than_by_an_error(
        format in 0..3usize,
        tail in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let head: &[u8] = [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"RIFF\x80\0\0\0WEBPVP8 "][format];
        if let Err(error) = decode(&[head, &tail].concat()) {
            prop_assert!(error.is_input_error());
        }
    }

    #[test]
    fn a_damaged_picture_is_read_or_refused(
        format in 0..3usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let format = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP][format];
        let mut bytes = encoded(&busy(33, 29), format);
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        match decode(&bytes) {
            Ok(picture) => { prepare(&picture); }
            Err(error) => prop_assert!(error.is_input_error()),
        }
    }

    #[test]
    fn the_format_is_told_without_reading_on(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Err(error) = format_of(&bytes) {
            prop_assert!(error.is_input_error());
        }
    }
}
