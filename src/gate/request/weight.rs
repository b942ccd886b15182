//! Weights of ranges in `Accept` and `Accept-Language`.

/// Returns the text of a weight, if this parameter of a range is one: `q=`, in any case (RFC 9110,
/// 12.4.2).
pub(super) fn weight_in(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then_some(value)
}

/// Parses a weight of RFC 9110, 0 to 1, into thousandths; 0 if it is invalid. Digits after the
/// third are left out, and the 0 before the point may be missing, as some programs send it.
pub(super) fn thousandths(weight: &str) -> u32 {
    let (whole, rest) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = rest.bytes().all(|byte| byte.is_ascii_digit());
    let own = match whole {
        "1" => 1_000,
        "0" => 0,
        "" if !rest.is_empty() => 0,
        _ => return 0,
    };
    let places = rest.bytes().chain(*b"000").take(3).fold(0, |sum, byte| sum * 10 + u32::from(byte.wrapping_sub(b'0')));
    let most_is_zero = own == 0 || rest.bytes().all(|byte| byte == b'0');
    if digits && most_is_zero { own + places } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_number_from_0_to_1_and_everything_else_weighs_nothing() {
        for (weight, expected) in [
            ("1", 1_000),
            ("1.", 1_000),
            ("1.000", 1_000),
            ("0.5", 500),
            ("0.05", 50),
            ("0.001", 1),
            ("0.9999", 999),
            (".2", 200),
            ("0", 0),
            ("0.000", 0),
        ] {
            assert_eq!(thousandths(weight), expected, "{weight}");
        }
        let long = format!("0.{}", "9".repeat(400));
        assert_eq!(thousandths(&long), 999);
        for weight in
            ["", ".", "1.001", "2", "-1", "-0.5", "+0.5", "1e-1", "0.5x", "0.x", "0,5", " 0.5", "NaN", "inf", "00.5"]
        {
            assert_eq!(thousandths(weight), 0, "{weight:?}");
        }
    }

    #[test]
    fn the_name_of_a_weight_is_q_in_any_case() {
        assert_eq!([weight_in("q=0.5"), weight_in("Q=0.5")], [Some("0.5"); 2]);
        for other in ["q", "q =1", "level=1", "", "=1", "qq=1"] {
            assert_eq!(weight_in(other), None, "{other:?}");
        }
    }
}
