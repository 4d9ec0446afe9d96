//! Number formats from their definitions, independent of the library.

pub const CODES: u8 = 126;
/// Of E2M1 codes 0 to 7.
pub const LEVELS: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// Value of E4M3 code 0 to 126.
pub fn e4m3(code: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(code >> 3), f64::from(code & 7));
    if exponent == 0 {
        mantissa * 2f64.powi(-9)
    } else {
        (8.0 + mantissa) * 2f64.powi(exponent - 10)
    }
}

/// Value of E5M2 code 0 to 123.
pub fn e5m2(code: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(code >> 2), f64::from(code & 3));
    if exponent == 0 {
        mantissa * 2f64.powi(-16)
    } else {
        (4.0 + mantissa) * 2f64.powi(exponent - 17)
    }
}

/// E4M3 code of y >= 0: nearest, ties to even, saturating; by looking at all of them.
pub fn nearest_e4m3(y: f64) -> u8 {
    nearest(y.min(448.0), (0..=CODES).map(e4m3))
}

/// The nearest E2M1 level of y >= 0, ties to the even code.
pub fn level(y: f64) -> f64 {
    LEVELS[usize::from(nearest(y.min(6.0), LEVELS.into_iter()))]
}

fn nearest(y: f64, values: impl Iterator<Item = f64>) -> u8 {
    let (mut best, mut distance) = (0, f64::INFINITY);
    for (code, value) in (0u8..).zip(values) {
        let d = (value - y).abs();
        if d < distance || (d == distance && code % 2 == 0) {
            (best, distance) = (code, d);
        }
    }
    best
}
