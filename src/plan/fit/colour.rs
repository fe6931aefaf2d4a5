//! Colours as people write them, and as Slack and Discord want them.

use serde_json::Value;

/// The colour as a number, 0 to `0xffffff`; `None` if it is none. Takes `#rrggbb`, `#rgb`, `good`,
/// `warning`, `danger` and numbers.
pub(super) fn parse(colour: &Value) -> Option<u32> {
    match colour {
        Value::Number(number) => {
            let number = u32::try_from(number.as_u64()?).ok()?;
            (number <= 0xff_ffff).then_some(number)
        }
        Value::String(text) => parse_text(text),
        _ => None,
    }
}

/// The same of a text.
pub(super) fn parse_text(text: &str) -> Option<u32> {
    match text {
        "good" => return Some(0x2e_b8_86),
        "warning" => return Some(0xda_a0_38),
        "danger" => return Some(0xa3_02_00),
        _ => {}
    }
    let digits = text.strip_prefix('#').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    match digits.len() {
        6 => Some(number),
        3 => Some([8, 4, 0].iter().fold(0, |sum, shift| {
            (sum << 8) | (((number >> shift) & 0xf) * 0x11)
        })),
        _ => None,
    }
}

/// As Slack wants it: one of its names, or `#rrggbb`.
pub(super) fn for_slack(colour: &Value) -> Option<String> {
    match colour.as_str() {
        Some(name @ ("good" | "warning" | "danger")) => Some(name.to_owned()),
        _ => parse(colour).map(|number| format!("#{number:06x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_people_write_them() {
        let written = [
            "#dd4b39", "#fff", "good", "1e88e5", "#12345", "red", "#ggg", "",
        ];
        let read = written.map(parse_text);
        let white = Some(0xff_ff_ff);
        let expected = [
            Some(0xdd_4b_39),
            white,
            Some(0x2e_b8_86),
            Some(0x1e_88_e5),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(read, expected);
        assert_eq!(parse(&0x100_0000.into()), None);
        assert_eq!(for_slack(&"#FA0".into()).as_deref(), Some("#ffaa00"));
    }
}
