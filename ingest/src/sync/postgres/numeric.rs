//! PostgreSQL's binary numeric as a whole number of a decimal's smallest unit.
//!
//! Four 16-bit numbers (digits, weight of the first, sign, places shown), then digits to the base 10,000.

const NEGATIVE: u16 = 0x4000;

/// The value at `scale`, exactly.
///
/// # Errors
/// What is wrong with it: no number, or more digits than a decimal of `precision` and `scale` has.
pub(super) fn decimal(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, String> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (Some(count), Some(weight), Some(sign), Some(_)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("a numeric that is cut short".to_owned());
    };
    if !matches!(sign, 0 | NEGATIVE) {
        return Err("NaN or infinity".to_owned());
    }
    let too_long = || format!("a value with more digits than decimal({precision},{scale}) holds");
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) {
        return Err("a numeric that is cut short".to_owned());
    }
    let mut sum: i128 = 0;
    for (place, digit) in digits.into_iter().enumerate().filter(|(_, digit)| *digit != 0) {
        let exponent = 4 * (i32::from(weight as i16) - place as i32) + i32::from(scale);
        let part = match u32::try_from(exponent) {
            Ok(exponent) => {
                10_i128.checked_pow(exponent).and_then(|unit| unit.checked_mul(i128::from(digit)))
            }
            Err(_) => {
                let unit = 10_i128.checked_pow(exponent.unsigned_abs());
                unit.filter(|unit| i128::from(digit) % unit == 0).map(|unit| i128::from(digit) / unit)
            }
        };
        sum = part.and_then(|part| sum.checked_add(part)).ok_or_else(too_long)?;
    }
    if 10_i128.checked_pow(u32::from(precision)).is_some_and(|limit| sum >= limit) {
        return Err(too_long());
    }
    Ok(if sign == NEGATIVE { -sum } else { sum })
}
